"""`pagewarden break`: break a running emulated host on purpose, through its control socket.

What they need is imported when they run: this file is read for every command of `pagewarden`.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from emulator.errors import EmulatorError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from emulator.edges.truth import RulesTruth, RuleTruth, Truth

_HELP = """
Break a running emulated host on purpose, through its control socket.

\b
Examples:
  pagewarden break host reboot
  pagewarden break host reboot --replace-dimm CPU0_C3_D0
  pagewarden break call exchange fail --times 2
  pagewarden break call "*" slow --seconds 5 --times unlimited
  pagewarden break domain db-pv crash
  pagewarden break list
  pagewarden break clear

\b
Exit codes: 0 done; 1 no emulator answers there, or it cannot be, and one line
on stderr says why; 2 the command line is wrong.
"""

Reply = TypeVar("Reply", bound="BaseModel")

SocketsOption = Annotated[Path, typer.Option(help="Directory of the emulator's sockets.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the answer as one JSON object.")]
_SOCKETS = Path("run")


def register(app: typer.Typer) -> None:
    breaking = typer.Typer(help=_HELP, no_args_is_help=True)
    breaking.command("host")(host)
    breaking.command("call")(call)
    breaking.command("domain")(domain)
    breaking.command("list")(list_rules)
    breaking.command("clear")(clear)
    app.add_typer(breaking, name="break")


def host(
    do: Annotated[str, typer.Argument(help="crash, hang or reboot.")],
    *,
    replace_dimm: Annotated[
        str | None, typer.Option(help="Come back with another DIMM in this slot, a sound one.")
    ] = None,
    sockets: SocketsOption = _SOCKETS,
    as_json: JsonOption = False,
) -> None:
    """Crash, hang or reboot the host.

    A crashed or rebooted one comes back by itself after host.reboot_seconds,
    with a new boot_id; a hung one answers nobody until it is rebooted.
    """
    from emulator.edges.truth import ControlCall, HostRequest, Truth  # noqa: PLC0415 - see above

    wanted = {"do": do, "replace_dimm": replace_dimm}
    truth = _asked(sockets, ControlCall.HOST, Truth, lambda: HostRequest.model_validate(wanted))
    _print(truth, _state, as_json=as_json)


def domain(
    name: Annotated[str, typer.Argument(help="Its name.")],
    do: Annotated[str, typer.Argument(help="crash.")],
    *,
    sockets: SocketsOption = _SOCKETS,
    as_json: JsonOption = False,
) -> None:
    """Crash a guest: it stops for good, and keeps its memory until it is destroyed."""
    from emulator.edges.truth import ControlCall, DomainBreakRequest, Truth  # noqa: PLC0415 - see the top

    wanted = {"name": name, "do": do}
    truth = _asked(
        sockets, ControlCall.DOMAIN, Truth, lambda: DomainBreakRequest.model_validate(wanted)
    )
    _print(truth, lambda _: f"domain {name}: {do} is done", as_json=as_json)


def call(
    name: Annotated[str, typer.Argument(help="The call, as in exchange; * is any call.")],
    do: Annotated[
        str,
        typer.Argument(
            help="refuse, fail, try_again, damage, hang, lose_answer, slow, half_way, fast_path, "
            "crash_domain, crash_host, reboot_host or change_owner."
        ),
    ],
    *,
    times: Annotated[str, typer.Option(help="How often: a number, or unlimited.")] = "1",
    skip: Annotated[int, typer.Option(help="Let so many calls by first.")] = 0,
    seconds: Annotated[float | None, typer.Option(help="How slow; for slow alone.")] = None,
    sockets: SocketsOption = _SOCKETS,
    as_json: JsonOption = False,
) -> None:
    """Have something happen to the next calls of a name.

    \b
    Examples:
      pagewarden break call exchange fail --times 2
      pagewarden break call offline crash_host --skip 2
      pagewarden break call suspend slow --seconds 10
    """
    from emulator.edges.truth import ControlCall, RulesTruth  # noqa: PLC0415 - see the top
    from emulator.mischief import Rule  # noqa: PLC0415 - as above

    wanted = {"call": name, "do": do, "times": times, "skip": skip, "seconds": seconds}
    rules = _asked(sockets, ControlCall.MISCHIEF, RulesTruth, lambda: Rule.model_validate(wanted))
    _print(rules, _listed, as_json=as_json)


def list_rules(*, sockets: SocketsOption = _SOCKETS, as_json: JsonOption = False) -> None:
    """List what is still to happen, each with its number."""
    from emulator.edges.truth import ControlCall, RulesTruth  # noqa: PLC0415 - see the top

    _print(_asked(sockets, ControlCall.MISCHIEF, RulesTruth), _listed, as_json=as_json)


def clear(
    number: Annotated[int | None, typer.Argument(help="Of `break list`; default: all.")] = None,
    *,
    sockets: SocketsOption = _SOCKETS,
    as_json: JsonOption = False,
) -> None:
    """Have it happen no more."""
    from emulator.edges.truth import ClearRequest, ControlCall, RulesTruth  # noqa: PLC0415 - see the top

    rules = _asked(
        sockets, ControlCall.MISCHIEF_CLEAR, RulesTruth, lambda: ClearRequest(number=number)
    )
    _print(rules, _listed, as_json=as_json)


def _asked(
    sockets: Path,
    path: str,
    model: type[Reply],
    request: "Callable[[], BaseModel] | None" = None,
) -> Reply:
    """The answer of the control socket; without one, exit code 1 and a line that says why."""
    from pydantic import ValidationError  # noqa: PLC0415 - see the top of this file

    from agent.contract.codec import one_line  # noqa: PLC0415 - as above
    from emulator.demo.asking import ask  # noqa: PLC0415 - as above

    try:
        body = None if request is None else request()
        return asyncio.run(ask(sockets / "control.sock", path, model, body))
    except ValidationError as error:
        why = one_line(error)
    except EmulatorError as error:
        why = str(error)
    typer.echo(f"pagewarden: {why}", err=True)
    raise typer.Exit(1)


def _print(reply: Reply, words: Callable[[Reply], str], *, as_json: bool) -> None:
    typer.echo(reply.model_dump_json() if as_json else words(reply))


def _state(truth: "Truth") -> str:
    return f"host {truth.host} is {truth.state}"


def _listed(found: "RulesTruth") -> str:
    return "\n".join(map(_line, found.rules)) or "nothing is to happen"


def _line(armed: "RuleTruth") -> str:
    rule = armed.rule
    how = "".join(
        f" {word} {value}"
        for word, value in {"after": rule.skip, "seconds": rule.seconds}.items()
        if value
    )
    return f"{armed.number}: {rule.call} {rule.do}{how}, {armed.happened} of {rule.times} happened"
