"""`pagewarden feed`: recorded errors, sent to a running agent as if they happened now."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
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
from agent.adapters.recordings import Unopened, opened
from agent.commands.decode import printable, tell
from agent.commands.options import JsonOption
from agent.commands.reading import (
    AUTO,
    BootTimeOption,
    FilesArgument,
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
from agent.contract.ereport import BATCH_MAX
from agent.contract.errors import AgentError


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
    files: FilesArgument,
    *,
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
    """Send recorded memory errors to a running agent, and wait until it has applied them all.

    Reads what `pagewarden decode` reads and publishes it as a host's own source
    would: numbered, in batches, kept until the agent says that they are durable,
    and sent again when it asks, when the connection was lost, or when it takes
    too long. Nothing is lost and nothing counts twice, even if broker or agent
    are restarted meanwhile.

    Ereports keep their recorded times. With --speed they also arrive at their
    recorded distances: --speed 3600 plays an hour in a second. Records that are
    out of order do not wait.

    Each run is a new boot of the host. With --boot-id an interrupted run is
    continued: what the agent already applied is not sent again.

    \b
    Examples:
      pagewarden feed --broker mqtt://127.0.0.1:1883 --host hv-1 /var/log/kern.log
      pagewarden feed --broker mqtt://127.0.0.1 --host hv-1 --speed 3600 dimm.csv
      zcat kern.log.*.gz | pagewarden feed --broker mqtt://127.0.0.1 --host hv-1 -

    Exit codes: 0 all is applied; 1 it is not, or nothing was decoded; 2 wrong
    usage, or a file is not there.
    """
    manner = Manner(form, year, zone, boot_time or 0, page_size, record_bytes)
    plan = Plan(host, boot_id or uuid4(), batch, speed, patience)
    settings = _settings(broker, host, protocol)
    tally = Tally()
    started = monotonic()
    try:
        applied = asyncio.run(_feed(files, manner, plan, settings, tally))
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


async def _feed(
    files: list[str], manner: Manner, plan: Plan, settings: BrokerSettings, tally: Tally
) -> int:
    """How many ereports were applied, which is all of them."""
    with opened(files) as recordings, _progress() as watcher:
        feeder = Feeder(plan, settings, watcher)
        await feeder.run(records(recordings, manner, tally, watcher.refused))
        return feeder.applied


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
