"""`pagewarden demo`: the first thing that a newcomer runs."""

import asyncio
import json
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Annotated

import typer
from rich.console import Console

from emulator import scenario as scenarios
from emulator.demo.monitoring import prometheus_program
from emulator.demo.play import Conduct, Verdict, play
from emulator.demo.screen import print_summary, watching
from emulator.demo.stage import PAGEWARDEN, BrokerKind, last_words, stage
from emulator.errors import EmulatorError
from emulator.timeline import of_the_operator

DECODE_LOG = "decode.log"
REASONS_SHOWN = 3
_TITLE_WIDTH_MIN = 20  # on a terminal that is narrower still, the terminal itself wraps


def register(app: typer.Typer) -> None:
    """Add `demo` to `pagewarden`."""
    app.command("demo")(demo)


def demo(
    scenario: Annotated[
        str, typer.Option(help="What breaks: a name (--list), or the path of a .toml file.")
    ] = "straight-line",
    replay: Annotated[
        list[Path] | None,
        typer.Option(help="Recorded errors instead: kernel logs, SmartMem CSV. May be repeated."),
    ] = None,
    more: Annotated[
        list[Path] | None, typer.Argument(help="More files for --replay.", metavar="[FILE]...")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0, help="Stop then, if it has not ended by itself.")
    ] = None,
    broker: Annotated[
        BrokerKind, typer.Option(help="auto: Mosquitto if it is installed, else the embedded one.")
    ] = BrokerKind.AUTO,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same faults.")] = 1,
    keep: Annotated[
        Path | None, typer.Option(help="Keep sockets, logs and journal in this folder.")
    ] = None,
    list_scenarios: Annotated[
        bool, typer.Option("--list", help="List the scenarios and what should happen in them.")
    ] = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Go on until Ctrl-C; Prometheus looks on if it is installed."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one object at the end.")] = False,
) -> None:
    """Watch failing pages being retired: broker, emulated host and agent as real processes.

    The emulated host has 512 GiB, Xen, dom0 and two guests whose workload checks
    every word it reads. Pages go bad, the agent hears of it over MQTT, and takes
    them out of use. It ends by itself when every case rests, and then holds what
    the agent says against the host's own frame table, domains and guests.

    Scenarios that --list marks (feed) are of simulated days or more, and played
    by `pagewarden feed --scenario NAME`.

    \b
    Examples:
      pagewarden demo
      pagewarden demo --scenario save-restore
      pagewarden demo --scenario busy-host --watch
      pagewarden demo --scenario fast-resume   (a guest comes to harm: noticed)
      pagewarden demo --replay /var/log/kern.log --json

    \b
    Exit codes: 0 the agent told the truth and no guest came to harm; 1 otherwise.
    """
    if list_scenarios:
        _print_scenarios(Console())
        return
    files = [*(replay or []), *(more or [])]
    console = Console()
    try:
        with _folder(keep) as folder:
            host = _host(scenario, files, seed, folder)
            if files:
                _tell_decoded(folder / DECODE_LOG, is_kept=keep is not None)
            found = None if files else scenarios.load(scenario)
            run = Run(folder, broker, host, found, seconds, is_watched=watch)
            verdict = asyncio.run(_run(console, run, quiet=as_json))
    except EmulatorError as error:
        typer.echo(f"pagewarden: {error}", err=True)
        raise typer.Exit(1) from None
    except asyncio.CancelledError:
        raise typer.Exit(143) from None
    _report(console, verdict, as_json=as_json)
    raise typer.Exit(0 if verdict.truth_agrees else 1)


@dataclass(frozen=True, slots=True)
class Run:
    """What is to be run: see `stage`. One that is watched goes on until Ctrl-C."""

    folder: Path
    broker: BrokerKind
    host: tuple[str, ...]
    scenario: scenarios.Scenario | None  # None: a recording is replayed
    seconds: float | None
    is_watched: bool = False


async def _run(console: Console, run: Run, *, quiet: bool) -> Verdict:
    _end_on(signal.SIGTERM, signal.SIGHUP)
    enough = _enough_on(signal.SIGINT) if run.is_watched else None
    agent = {} if run.scenario is None else run.scenario.agent
    staged = stage(run.folder, run.broker, run.host, agent, is_watched=run.is_watched)
    async with staged as running:
        _tell_links(running.links)
        with watching(console, running, quiet=quiet) as watch:
            return await play(running, watch, _conduct(run, enough))


def _conduct(run: Run, enough: asyncio.Event | None) -> Conduct:
    events = () if run.scenario is None else run.scenario.timeline
    return Conduct(
        seconds=run.seconds,
        operator=tuple(of_the_operator(events)),
        replays=run.scenario is None,
        enough=enough,
    )


def _enough_on(number: signal.Signals) -> asyncio.Event:
    """Set by the first of these signals; the next one does what it usually does."""
    enough, loop = asyncio.Event(), asyncio.get_running_loop()

    def seen() -> None:
        enough.set()
        loop.remove_signal_handler(number)

    loop.add_signal_handler(number, seen)
    return enough


def _tell_links(links: dict[str, str]) -> None:
    """On stderr: stdout may be for a machine."""
    if not links:
        return
    if prometheus_program() is None:
        typer.echo(
            "Prometheus would look on if it were installed: apt install prometheus", err=True
        )
    width = max(map(len, links))
    for name, url in links.items():
        typer.echo(f"{name:<{width}}  {url}", err=True)
    typer.echo("Ctrl-C ends it, with the verdict.", err=True)


def _end_on(*signals: signal.Signals) -> None:
    """Have each of `signals` end this task as Ctrl-C does, so that no process is left behind."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    for number in signals:
        if task is not None:
            loop.add_signal_handler(number, task.cancel)


@contextmanager
def _folder(keep: Path | None) -> Generator[Path, None, None]:
    """Where the sockets and the journal of this run lie; gone afterwards unless kept."""
    if keep is not None:
        yield _kept(keep)
        return
    folder = Path(tempfile.mkdtemp(prefix="pagewarden-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _kept(folder: Path) -> Path:
    """`folder`, made if it is not there, and with no earlier run in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "pagewarden.db").exists():
            return folder.resolve()
    except OSError as error:
        raise EmulatorError(f"--keep {folder}: cannot be made: {error.strerror}") from None
    raise EmulatorError(f"--keep {folder}: an earlier run is kept there; name another folder")


def _host(scenario: str, files: list[Path], seed: int, folder: Path) -> tuple[str, ...]:
    """The options of the emulated host."""
    chance = ("--seed", str(seed))
    if not files:
        scenarios.load_live(scenario)  # complain before anything is started
        return ("--scenario", scenario, *chance)
    return ("--replay", str(_decoded(files, folder)), *chance)


def _decoded(files: list[Path], folder: Path) -> Path:
    """The recorded errors of `files`, as `pagewarden decode` reads them."""
    recording, refused = folder / "recorded.jsonl", folder / DECODE_LOG
    command = [*PAGEWARDEN, "decode", "--json", *map(str, files)]
    with recording.open("wb") as out, refused.open("wb") as err:
        code = subprocess.run(command, stdout=out, stderr=err, check=False).returncode  # noqa: S603 - our own program
    if code != 0:
        raise EmulatorError(f"--replay: nothing could be read: {last_words(refused)}")
    return recording


def _tell_decoded(log: Path, *, is_kept: bool) -> None:
    """The sums of `decode`, and the first of the lines that it refused, with their reasons."""
    sums: list[str] = []
    reasons: list[str] = []
    refused = 0
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            is_sum = line.startswith("pagewarden: ")
            refused += not is_sum
            if is_sum or refused <= REASONS_SHOWN:
                (sums if is_sum else reasons).append(line.rstrip("\n"))
    if refused > REASONS_SHOWN:
        where = f"in {log}" if is_kept else "all of them with --keep FOLDER"
        reasons.append(f"and {refused - REASONS_SHOWN} more: {where}")
    typer.echo("\n".join([*sums, *reasons]), err=True)


def _report(console: Console, verdict: Verdict, *, as_json: bool) -> None:
    if as_json:
        for line in verdict.remarks:
            typer.echo(f"pagewarden: {line}", err=True)
        typer.echo(json.dumps(verdict.summary()))
        return
    print_summary(console, verdict)


def _print_scenarios(console: Console) -> None:
    """A title goes on below itself on a terminal; in a pipe a scenario is a line."""
    found = {name: scenarios.load(name) for name in scenarios.names()}
    titles = {name: f"{s.title}{'' if s.is_live else ' (feed)'}" for name, s in found.items()}
    width = max(map(len, titles), default=0)
    for name, title in titles.items():
        room = console.width - width - 2 if console.is_terminal else len(title)
        for row, part in enumerate(wrap(title, max(room, _TITLE_WIDTH_MIN))):
            typer.echo(f"{'' if row else name:<{width}}  {part}")
