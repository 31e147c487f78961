"""`pagewarden feed`: errors, recorded or emulated, sent to a running agent as a host sends them."""

import asyncio
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from time import monotonic
from typing import Annotated
from uuid import UUID, uuid4

import typer
from pydantic import BaseModel
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from agent.adapters.broker_settings import BrokerSettings, parse_url
from agent.adapters.feeder import Feeder, Plan
from agent.adapters.pacing import Pacing, batched, recorded
from agent.adapters.providers import source_of
from agent.adapters.recordings import Unopened, opened
from agent.commands.decode import printable, tell
from agent.commands.options import JsonOption
from agent.commands.reading import (
    AUTO,
    BootTimeOption,
    FormatOption,
    Manner,
    PageSize,
    PageSizeOption,
    RecordBytesOption,
    Tally,
    YearOption,
    ZoneOption,
    parse_host,
    records,
)
from agent.contract.columns import Batch
from agent.contract.ereport import BATCH_MAX
from agent.contract.errors import AgentError
from agent.contract.sources import Source, Wanted


class Mqtt(StrEnum):
    """The versions of MQTT that an agent speaks."""

    V5 = "5"
    V311 = "3.1.1"


class Fed(BaseModel):
    """How a run ended, for `--json`."""

    host: str
    boot_id: UUID
    ereports: int
    errors: int
    refused: int
    applied: int
    seconds: float


def register(app: typer.Typer) -> None:
    app.command("feed")(feed)


def feed(
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FILE]…", help="Recordings, in order; - is standard input."),
    ] = None,
    *,
    scenario: Annotated[
        str | None,
        typer.Option(
            "--scenario", metavar="NAME", help="Emulated errors instead: a name, or a .toml file."
        ),
    ] = None,
    rate: Annotated[
        float,
        typer.Option(
            "--rate", min=0, help="Ereports a second of a scenario; 0 is as fast as they apply."
        ),
    ] = 0.0,
    seed: Annotated[
        int,
        typer.Option("--seed", min=0, max=(1 << 63) - 1, help="Same seed, same scenario."),
    ] = 1,
    broker: Annotated[
        str, typer.Option("--broker", metavar="URL", help="mqtt://host:port or mqtts://host:port")
    ],
    host: Annotated[
        str,
        typer.Option("--host", parser=parse_host, metavar="NAME", help="Whose errors they are."),
    ],
    protocol: Annotated[Mqtt, typer.Option("--protocol", help="Version of MQTT.")] = Mqtt.V5,
    speed: Annotated[
        float, typer.Option("--speed", min=0, help="Times real time; 0 is as fast as they apply.")
    ] = 0.0,
    batch: Annotated[
        int, typer.Option("--batch", min=1, max=BATCH_MAX, help="Ereports in one message.")
    ] = BATCH_MAX,
    patience: Annotated[
        float, typer.Option("--patience", min=0.1, help="Seconds to wait for an agent to apply.")
    ] = 60.0,
    boot_id: Annotated[
        UUID | None, typer.Option("--boot-id", help="Continue this boot; default: a new one.")
    ] = None,
    as_json: JsonOption = False,
    form: FormatOption = AUTO,
    year: YearOption = None,
    zone: ZoneOption = None,
    boot_time: BootTimeOption = None,
    page_size: PageSizeOption = PageSize.KIB4,
    record_bytes: RecordBytesOption = None,
) -> None:
    """Send memory errors to a running agent, recorded or emulated, until it has applied them all.

    Reads what `pagewarden decode` reads and publishes it as a host's own source
    would: numbered, in batches, kept until the agent says that they are durable,
    and sent again when it asks, when the connection was lost, or when it takes
    too long. Nothing is lost and nothing counts twice, even if broker or agent
    are restarted meanwhile.

    Ereports keep their recorded times. With --speed they also arrive at their
    recorded distances: --speed 3600 plays an hour in a second. Records that are
    out of order do not wait.

    With --scenario the errors are those of an emulated host, which may be a
    simulated year in a few seconds; `pagewarden demo --list` tells the names.
    The inventory of its memory is published too. With --rate they come at a
    steady pace. The same scenario and seed make the same ereports, byte for
    byte, but for the boot_id.

    Each run is a new boot of the host. With --boot-id an interrupted run is
    continued: what the agent already applied is not sent again.

    \b
    Examples:
      pagewarden feed --broker mqtt://127.0.0.1:1883 --host hv-1 /var/log/kern.log
      pagewarden feed --broker mqtt://127.0.0.1 --host hv-1 --speed 3600 dimm.csv
      pagewarden feed --broker mqtt://mq-1 --host hv-1 --scenario dimm-dying
      pagewarden feed --broker mqtt://mq-1 --host hv-1 --scenario polled --rate 5
      zcat kern.log.*.gz | pagewarden feed --broker mqtt://127.0.0.1 --host hv-1 -

    Exit codes: 0 all is applied; 1 it is not, or nothing was decoded; 2 wrong
    usage, or a file is not there.
    """
    _check(files, scenario, speed=speed, rate=rate)
    manner = Manner(form, year, zone, boot_time or 0, page_size, record_bytes)
    plan = Plan(host, boot_id or uuid4(), patience)
    pacing = Pacing(batch, speed, rate)
    settings = _settings(broker, host, protocol)
    tally = Tally()
    started = monotonic()
    try:
        if scenario:
            source = source_of(Wanted(scenario, seed, host, plan.boot_id))
            plan = replace(plan, inventory=source.inventory)
            applied = asyncio.run(_play(source, pacing, plan, settings, tally))
        else:
            applied = asyncio.run(_feed(files or [], manner, pacing, plan, settings, tally))
    except Unopened as error:
        tell(str(error))
        raise typer.Exit(2) from None
    fed = Fed(
        host=host,
        boot_id=plan.boot_id,
        ereports=tally.ereports,
        errors=tally.errors,
        refused=tally.refused,
        applied=applied,
        seconds=round(monotonic() - started, 3),
    )
    _conclude(fed, tally, as_json=as_json)


def _settings(url: str, host: str, protocol: Mqtt) -> BrokerSettings:
    try:
        parse_url(url)
    except AgentError as error:
        raise typer.BadParameter(str(error), param_hint="--broker") from None
    return BrokerSettings(
        url,
        # One source a host: a second one takes the connection of the first.
        client_id=f"pagewarden-feed-{host}",
        protocol="5" if protocol is Mqtt.V5 else "3.1.1",
        session_expiry_seconds=0,
    )


def _check(files: list[str] | None, scenario: str | None, *, speed: float, rate: float) -> None:
    """Refuse what does not go together."""
    if bool(files) == bool(scenario):
        raise typer.BadParameter("name files, or a --scenario, and not both", param_hint="FILE")
    if scenario and speed:
        raise typer.BadParameter("is for recordings; a scenario has --rate", param_hint="--speed")
    if files and rate:
        raise typer.BadParameter("is for a scenario; recordings have --speed", param_hint="--rate")


async def _feed(
    files: list[str],
    manner: Manner,
    pacing: Pacing,
    plan: Plan,
    settings: BrokerSettings,
    tally: Tally,
) -> int:
    """How many ereports were applied, which is all of them."""
    with opened(files) as recordings, _progress() as watcher:
        feeder = Feeder(plan, settings, watcher)
        found = records(recordings, manner, tally, watcher.refused)
        await feeder.run(recorded(found, plan.host, plan.boot_id, pacing))
        return feeder.applied


async def _play(
    source: Source, pacing: Pacing, plan: Plan, settings: BrokerSettings, tally: Tally
) -> int:
    """The same for a scenario."""
    with _progress() as watcher:
        feeder = Feeder(plan, settings, watcher)
        batches = _counted(source.batches(pacing.batch_at_rate), tally)
        await feeder.run(batched(batches, pacing))
        return feeder.applied


def _counted(batches: Iterator[Batch], tally: Tally) -> Iterator[Batch]:
    for batch in batches:
        tally.ereports += len(batch)
        tally.errors += int(batch.errors.sum())
        yield batch


def _conclude(fed: Fed, tally: Tally, *, as_json: bool) -> None:
    if tally.warning:
        tell(tally.warning)
    if as_json:
        typer.echo(fed.model_dump_json())
    else:
        tell(f"{tally}, {fed.applied} applied in {fed.seconds:.1f} s as boot {fed.boot_id}")
    raise typer.Exit(0 if fed.ereports else 1)


@dataclass(frozen=True, slots=True)
class _Bar:
    """The progress bar as the feeder's watcher."""

    progress: Progress
    task: TaskID

    def moved(self, made: int, applied: int) -> None:
        self.progress.update(self.task, total=made, completed=applied)

    def troubled(self, reason: str) -> None:
        self._say(f"pagewarden: {reason}")

    def refused(self, text: str) -> None:
        self._say(text)

    def _say(self, text: str) -> None:
        self.progress.console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _progress() -> Generator[_Bar]:
    """A bar on stderr, where that is a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("applied"),
        BarColumn(),
        TextColumn("{task.completed:,} of {task.total:,} ereports"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield _Bar(progress, progress.add_task("applied", total=0))
