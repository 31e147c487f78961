"""`pagewarden offline`, `evacuate`, `online` and `cancel`: what operators ask of the agent."""

import re
from dataclasses import dataclass
from typing import Annotated

import typer

from agent.commands.following import call_off, carry_out, new_id
from agent.commands.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    SocketOption,
    socket_of,
)
from agent.contract.frames import MFN_MAX
from agent.contract.requests import Ask, Wish, is_of_a_case


@dataclass(frozen=True, slots=True)
class Span:
    """Both pages included."""

    first: int
    last: int


_NUMBER = r"0[xX][0-9a-fA-F]+|\d+"
_PAGES = re.compile(rf"({_NUMBER})(?:-({_NUMBER}))?")


def register(app: typer.Typer) -> None:
    app.command("offline")(offline)
    app.command("evacuate")(evacuate)
    app.command("online")(online)
    app.command("cancel")(cancel)


def parse_pages(text: str) -> Span:
    """First and last page of `MFN` or `START-END`, each hexadecimal (`0x…`) or decimal."""
    found = _PAGES.fullmatch(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is not a page: 4660, 0x1234 or 0x1000-0x1fff")
    first = _number(found[1])
    last = first if found[2] is None else _number(found[2])
    if last < first:
        raise typer.BadParameter(f"{text!r} ends before it begins")
    if last > MFN_MAX:
        raise typer.BadParameter(f"{text!r}: page numbers end at {MFN_MAX:#x}")
    return Span(first, last)


def _number(text: str) -> int:
    return int(text, 16 if text[:2].lower() == "0x" else 10)


def parse_id(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text):
        raise typer.BadParameter(f"{text!r} is not 1 to 64 letters, digits, dots or dashes")
    return text


PagesArgument = Annotated[
    Span,
    typer.Argument(parser=parse_pages, metavar="MFN|START-END", help="Hexadecimal or decimal."),
]
WaitOption = Annotated[bool, typer.Option("--wait", help="Show progress until it is over.")]
IdOption = Annotated[
    str | None,
    typer.Option("--id", parser=parse_id, metavar="NAME", help="Asked twice, it is one request."),
]


def offline(
    pages: PagesArgument,
    beyond_cap: Annotated[
        bool, typer.Option("--beyond-cap", help="Whatever is retired already.")
    ] = False,
    wait: WaitOption = False,
    request_id: IdOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have pages taken out of use, one or a range, while guests go on running.

    Each page gets a case, as one that is going bad does, and climbs the same
    ladder. A page that has a case already is that case; one that is parked or
    could not be retired is asked for again. The request is written down before
    anything is done and outlives the agent.

    The cap on retired memory holds, because a slip of a digit is a large range.
    With --beyond-cap it does not, and those pages leave room under the cap for
    pages that go bad.

    \b
    Examples:
      pagewarden offline 0x1234 --wait
      pagewarden offline 4096-8191 --beyond-cap
      pagewarden offline 0x1000-0x1fff --wait --json | tail -1 | jq .came
      pagewarden offline 0x1234 --id ticket-4711

    Exit codes: 0 asked for, with --wait: all of them are retired; 1 they are not
    (each reason is told, and for how many), or no agent answers; 2 wrong usage.
    With --json and --wait there is a line for each change, the last one the end.
    """
    ask = Ask(
        id=request_id or new_id(),
        wish=Wish.OFFLINE,
        first=pages.first,
        last=pages.last,
        beyond_cap=beyond_cap,
    )
    carry_out(socket_of(config, socket), ask, wait=wait, as_json=as_json)


def evacuate(
    dimm: Annotated[
        str, typer.Option("--dimm", metavar="LABEL", help="The DIMM, as ereports name it.")
    ],
    wait: WaitOption = False,
    request_id: IdOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have all pages of a DIMM taken out of use, before it is replaced, say.

    Which pages those are comes from the host's firmware. They are worked through
    in order, a bounded number at a time; where it is outlives the agent. A reboot
    of the host ends it: the DIMM may be another one then.

    The cap on retired memory does not apply: it is there for pages that go bad,
    and this is an operator taking memory out. Pages stay out of use until they
    are brought back by `pagewarden online`.

    \b
    Examples:
      pagewarden evacuate --dimm CPU0_C1_D0 --wait
      pagewarden evacuate --dimm CPU0_C1_D0 --wait --json | jq .left

    Exit codes: 0 asked for, with --wait: all of it is out of use; 1 it is not
    (what is left is summed up by reason), or no agent answers; 2 wrong usage.
    Ctrl-C ends the watching, not the evacuation.
    """
    ask = Ask(id=request_id or new_id(), wish=Wish.EVACUATE, dimm=dimm)
    carry_out(socket_of(config, socket), ask, wait=wait, as_json=as_json)


def online(
    pages: PagesArgument,
    wait: WaitOption = False,
    request_id: IdOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring pages back into use that the agent took, and close their cases.

    A stop of a guest that has begun goes to its end first. A page that had an
    uncorrected error is never brought back: to touch it could end the host. One
    that goes bad again gets a new case.

    \b
    Examples:
      pagewarden online 0x1234 --wait
      pagewarden online 0x0-0xffff --wait

    Exit codes: 0 asked for, with --wait: all of them are back; 1 they are not
    (each reason is told, and for how many), or no agent answers; 2 wrong usage.
    """
    ask = Ask(id=request_id or new_id(), wish=Wish.ONLINE, first=pages.first, last=pages.last)
    carry_out(socket_of(config, socket), ask, wait=wait, as_json=as_json)


def cancel(
    name: Annotated[
        str, typer.Argument(help="As `cases` or `requests` lists it.", metavar="CASE|REQUEST")
    ],
    wait: WaitOption = False,
    request_id: IdOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give up a case that is open or parked, or what is left of a request.

    CASE: its page stays in use. If the page was marked, the mark is taken off. A
    stop of its guest that has begun goes to its end first, so the guest runs
    whatever comes of the page.

    REQUEST: no page more of it is begun. Those that are under way, 1,024 at most,
    go to their end; what it took stays out of use, and `online` brings that back.

    \b
    Examples:
      pagewarden cancel c17
      pagewarden cancel c17 --wait
      pagewarden cancel ticket-4711 --wait

    Exit codes: 0 asked for, with --wait: the page is in use, or nothing of the
    request is under way; 1 it is not (the reason is told), there is no such case
    or request, it is over, or no agent answers; 2 wrong usage.
    """
    path = socket_of(config, socket)
    if is_of_a_case(name):
        ask = Ask(id=request_id or new_id(), wish=Wish.CANCEL, case=name)
        carry_out(path, ask, wait=wait, as_json=as_json)
    else:
        call_off(path, parse_id(name), wait=wait, as_json=as_json)
