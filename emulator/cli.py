"""The emulator's own commands: `emulator` and those below it, `break`, and the hidden `broker`.

What they need is imported when they run: this file is read for every command of `pagewarden`.
"""

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from emulator import breaking
from emulator.describing import command as describing
from emulator.errors import EmulatorError, first_of
from emulator.recording import command as recording

if TYPE_CHECKING:
    from emulator.edges.host import Script
    from emulator.edges.truth import Ready

_EMULATOR_HELP = """
Run an emulated host: failing memory, a Xen-like hypervisor, guests that notice.

It publishes ereports over MQTT as a real host would, and answers on four
Unix sockets: hypercall.sock and toolstack.sock are what an agent works with,
hypercall-unprivileged.sock is what anybody may ask, control.sock tells the
truth and breaks more on request (`pagewarden break`).

A host that crashes comes back by itself, under a new boot_id.

What breaks when is a scenario, or a recording with --replay. Once all sockets
listen it prints one line, `ready`. It runs until SIGTERM or Ctrl-C. Messages
are kept until an agent has applied them, and a broker that is away is tried
again for ever.

\b
Examples:
  pagewarden emulator --config config/emulator.toml
  pagewarden emulator --scenario busy-host --seed 7 --sockets /tmp/pw
  pagewarden decode --json dmesg.txt > recorded.jsonl
  pagewarden emulator --replay recorded.jsonl --memory "1 TiB"
  curl --unix-socket run/control.sock http://emulator/v1/truth

\b
Exit codes: 0 stopped as asked; 1 it could not run, and one line on stderr
says why; 2 the command line is wrong.
"""

_BROKER_HELP = """
Run the embedded MQTT 3.1.1 broker on loopback, for demos without Mosquitto.

Never for production. Needs the extra: pip install 'pagewarden[demo]'.
Prints `ready` once it listens.
"""


def register(app: typer.Typer) -> None:
    """Add the emulator's commands to `pagewarden`."""
    group = typer.Typer(invoke_without_command=True, help=_EMULATOR_HELP)
    group.callback()(emulator)
    describing.register(group)
    recording.register(group)
    app.add_typer(group, name="emulator")
    app.command("broker", help=_BROKER_HELP, hidden=True)(broker)
    breaking.register(app)


def emulator(
    context: typer.Context,
    *,
    config: Annotated[
        Path | None, typer.Option(help="TOML file; without one, the documented defaults.")
    ] = None,
    scenario: Annotated[
        str | None, typer.Option(help="What breaks when: a name, or the path of a .toml file.")
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(help="Ereports as JSON lines, in place of a scenario; see `decode --json`."),
    ] = None,
    sockets: Annotated[Path | None, typer.Option(help="Directory of the sockets.")] = None,
    broker: Annotated[str | None, typer.Option(help="mqtt://HOST:PORT of the broker.")] = None,
    protocol: Annotated[str | None, typer.Option(help="MQTT 5 or 3.1.1.")] = None,
    seed: Annotated[int | None, typer.Option(help="Same seed, same faults.")] = None,
    memory: Annotated[str | None, typer.Option(help='The host\'s memory, as in "512 GiB".')] = None,
    metrics: Annotated[
        str | None, typer.Option(help="HOST:PORT of a page with the truth, for Prometheus.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print `ready` as JSON.")] = False,
) -> None:
    """Run an emulated host until it is told to stop; unless it was another command below it."""
    if context.invoked_subcommand is not None:
        _refuse_options_of_another(context)
        return
    chosen: dict[tuple[str, ...], object] = {
        ("scenario",): scenario,
        ("sockets",): sockets,
        ("broker", "url"): broker,
        ("broker", "protocol"): protocol,
        ("seed",): seed,
        ("host", "memory"): memory,
        ("metrics",): metrics,
    }
    overrides = {key: value for key, value in chosen.items() if value is not None}
    _run(lambda: _emulate(_script(config, overrides, replay), _announce(json=json)))


def _refuse_options_of_another(context: typer.Context) -> None:
    for name, value in context.params.items():
        if value:
            raise typer.BadParameter(
                f"--{name} before `{context.invoked_subcommand}` is an option of the emulator that "
                "runs; put the command's own options behind it"
            )


def broker(
    port: Annotated[int, typer.Option(min=1, max=65535, help="On 127.0.0.1.")] = 1883,
) -> None:
    """Run the embedded broker until it is told to stop."""
    _run(lambda: _serve(port))


def _script(
    path: Path | None, overrides: dict[tuple[str, ...], object], replay: Path | None
) -> "Script":
    from emulator import config, scenario  # noqa: PLC0415 - see the top of this file
    from emulator.edges.host import Script, replayed  # noqa: PLC0415 - as above
    from emulator.replay import Recording  # noqa: PLC0415 - as above

    settings = config.load(path, overrides)
    if replay is not None:
        return replayed(settings, Recording(replay))
    return Script(settings, scenario.load_live(settings.scenario))


async def _emulate(script: "Script", announce: Callable[["Ready"], None]) -> None:
    from emulator.edges.host import Host  # noqa: PLC0415 - see the top of this file

    async with _stop_signal() as stop:
        await Host(script, _say).run(stop, announce)


async def _serve(port: int) -> None:
    from emulator.broker import broker as serving  # noqa: PLC0415 - see the top of this file

    async with _stop_signal() as stop, serving(port):
        typer.echo("ready")
        await stop.wait()


@asynccontextmanager
async def _stop_signal() -> AsyncGenerator[asyncio.Event]:
    """Set by SIGTERM or SIGINT as long as the context lasts."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _run(make: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run to the end; whatever goes wrong is one line on stderr and exit code 1."""
    failed = None
    try:
        asyncio.run(_quietly(make))
    except* EmulatorError as errors:
        failed = str(first_of(errors))
    except* Exception as errors:  # noqa: BLE001 - nobody is above: a line in place of a traceback
        first = first_of(errors)
        failed = f"the emulator failed: {type(first).__name__}: {first}"
    if failed is not None:
        typer.echo(f"pagewarden: {failed}", err=True)
        raise typer.Exit(1)


async def _quietly(make: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """The MQTT client leaves loose ends when a broker dies on it: a line, no traceback."""
    asyncio.get_running_loop().set_exception_handler(
        lambda _, found: _say(f"a loose end: {found['message']} ({found.get('exception')!r})")
    )
    await make()


def _announce(*, json: bool) -> Callable[["Ready"], None]:
    return (lambda ready: typer.echo(ready.model_dump_json())) if json else _announce_in_words


def _announce_in_words(ready: "Ready") -> None:
    typer.echo(f"ready host={ready.host} boot_id={ready.boot_id} sockets={ready.sockets}")


def _say(line: str) -> None:
    typer.echo(f"emulator: {line}", err=True)
