"""`pagewarden bridge`: a real host's errors, read as they happen and brought to its agent."""

import asyncio
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from pydantic import BaseModel

from agent.adapters.broker_settings import BrokerSettings, parse_url
from agent.adapters.this_host import ThisHost
from agent.bridge.run import Setting, Summary, run
from agent.bridge.service import SETTLE_SECONDS, Plan
from agent.bridge.wanted import Wanted, parse
from agent.commands.decode import tell
from agent.commands.feed import Mqtt
from agent.commands.options import JsonOption
from agent.commands.reading import (
    BootTimeOption,
    Manner,
    PageSize,
    ZoneOption,
    parse_host,
)
from agent.contract.errors import AgentError

ROOTS_STATE = Path("/var/lib/pagewarden/bridge")


class Level(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Bridged(BaseModel):
    """How a run ended, for `--json`. All but `read` and `refused` count ereports."""

    host: str
    source: str
    boot_id: UUID
    read: int
    ereports: int
    errors: int
    refused: int
    published: int
    applied: int
    lost: int
    kept: int


def register(app: typer.Typer) -> None:
    app.command("bridge")(bridge)


def parse_source(text: str) -> Wanted:
    try:
        return parse(text)
    except AgentError as error:
        raise typer.BadParameter(str(error)) from None


@dataclass(frozen=True, slots=True)
class Listen:
    """Where metrics are served."""

    host: str
    port: int


def parse_listen(text: str) -> Listen:
    """`PORT` or `HOST:PORT`."""
    host, _, port = text.rpartition(":")
    if not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise typer.BadParameter(f"neither PORT nor HOST:PORT: {text!r} (try 9465)")
    return Listen(host or "127.0.0.1", int(port))


def bridge(
    *,
    source: Annotated[
        Wanted,
        typer.Option("--from", parser=parse_source, metavar="SOURCE", help="Where to read; above."),
    ],
    host: Annotated[
        str, typer.Option("--host", parser=parse_host, metavar="NAME", help="The agent's `host`.")
    ],
    broker: Annotated[
        str, typer.Option("--broker", metavar="URL", help="mqtt://host:port or mqtts://host:port")
    ],
    follow: Annotated[
        bool,
        typer.Option("--follow/--once", help="Go on until told to stop, or end when all is read."),
    ] = True,
    state: Annotated[
        Path | None,
        typer.Option("--state", metavar="DIR", help="Where it remembers; default: see above."),
    ] = None,
    settle: Annotated[
        float,
        typer.Option("--settle", min=0.1, help="Seconds of quiet after which a block is complete."),
    ] = SETTLE_SECONDS,
    keep_max: Annotated[
        int, typer.Option("--keep-max", min=1, help="Ereports kept for an agent that is away.")
    ] = 100_000,
    patience: Annotated[
        float, typer.Option("--patience", min=0.1, help="With --once: seconds to wait for it.")
    ] = 60.0,
    metrics: Annotated[
        Listen | None,
        typer.Option(
            "--metrics", parser=parse_listen, metavar="[HOST:]PORT", help="Serve /metrics here."
        ),
    ] = None,
    protocol: Annotated[Mqtt, typer.Option("--protocol", help="Version of MQTT.")] = Mqtt.V5,
    username: Annotated[str | None, typer.Option("--username", help="For the broker.")] = None,
    password_file: Annotated[
        Path | None, typer.Option("--password-file", help="Its first line is the password.")
    ] = None,
    ca_file: Annotated[Path | None, typer.Option("--ca-file", help="For mqtts://.")] = None,
    cert_file: Annotated[Path | None, typer.Option("--cert-file", help="Ours, for mqtts.")] = None,
    key_file: Annotated[Path | None, typer.Option("--key-file", help="Its key.")] = None,
    zone: ZoneOption = None,
    boot_time: BootTimeOption = None,
    page_size: Annotated[
        PageSize | None,
        typer.Option("--page-size", help="The machine's page in bytes; default: as it is here."),
    ] = None,
    log_level: Annotated[Level, typer.Option("--log-level", help="Least to tell.")] = Level.INFO,
    as_json: JsonOption = False,
) -> None:
    """Bring a real host's memory errors to its agent, as they happen.

    \b
    SOURCE is one of
      journal                kernel messages in systemd's journal (journalctl)
      file:PATH              a log that is written to, through its rotations
      rasdaemon-db[:PATH]    what rasdaemon wrote to its database
      mcelog-device[:PATH]   /dev/mcelog of a kernel or of a Xen dom0
    Read each error from one of them only: two that tell of the same errors
    count them twice.

    Nothing is lost and nothing counts twice, whatever is killed or restarted:
    how far the source was read and the numbers of what was found there are
    written down together, and kept until the agent says that it applied them.
    What it may not lose lies in --state: /var/lib/pagewarden/bridge for root,
    else ~/.local/state/pagewarden/bridge. One bridge at a time uses it, and it
    must not be deleted while the host is up: numbers would be used again.

    The first time a source is read from its start, the journal from that of
    this boot. Errors keep the times that the source says. Each is numbered in
    the boot of the host that it happened in: what is older than all boots that
    the bridge has seen is numbered in one boot of its own, the past. Dates
    without a zone are in this machine's zone, seconds since boot are of this
    boot.

    A block of lines is complete when nothing followed for --settle seconds.
    While --keep-max ereports are not applied, nothing more is read; from
    /dev/mcelog, which would forget them, it is, and the oldest ones are dropped,
    counted and told. Lines about a memory error that cannot be read are told
    one a second, and all are counted.

    SIGTERM ends it cleanly. With --once it ends when all is read and applied,
    for cron. With --metrics it serves /metrics and /healthz.

    \b
    Examples:
      pagewarden bridge --from journal --host hv-1 --broker mqtt://127.0.0.1
      pagewarden bridge --from file:/var/log/kern.log --host hv-1 \\
          --broker mqtts://broker.example --ca-file ca.pem --metrics 9465
      pagewarden bridge --from mcelog-device --host xen-1 --broker mqtt://10.0.0.1
      pagewarden bridge --from rasdaemon-db --once --json --host hv-1 \\
          --broker mqtt://127.0.0.1

    Exit codes: 0 told to stop, or all is applied; 1 something it needs is not
    there, or with --once not all is applied (one line says what); 2 wrong usage.
    """
    if not follow and source.path is not None and not source.path.exists():
        raise AgentError(f"{source.path}: not there, and with --once nothing is waited for")
    plan = Plan(host, follow, settle, keep_max, patience)
    files = Files(password_file, ca_file, cert_file, key_file)
    manner = Manner(
        zone=zone or ThisHost().zone(), boot_ns=boot_time or 0, page_size=page_size or _page()
    )
    setting = Setting(
        plan,
        source,
        manner.unsaid(datetime.now(UTC)),
        _broker(broker, host, protocol, username, files),
        state or _default_state(),
        None if metrics is None else (metrics.host, metrics.port),
        log_level.value,
    )
    _conclude(setting, asyncio.run(run(setting)), as_json=as_json)


@dataclass(frozen=True, slots=True)
class Files:
    """What the way to the broker needs, besides its address."""

    password: Path | None
    ca: Path | None
    cert: Path | None
    key: Path | None


def _broker(
    url: str, host: str, protocol: Mqtt, username: str | None, files: Files
) -> BrokerSettings:
    try:
        parse_url(url)
    except AgentError as error:
        raise typer.BadParameter(str(error), param_hint="--broker") from None
    return BrokerSettings(
        url,
        # One source a host: a second one takes the connection of the first.
        client_id=f"pagewarden-bridge-{host}",
        protocol="5" if protocol is Mqtt.V5 else "3.1.1",
        session_expiry_seconds=0,
        username=username,
        password=_secret(files.password),
        ca_file=files.ca,
        cert_file=files.cert,
        key_file=files.key,
    )


def _secret(path: Path | None) -> str | None:
    """The first line of a file that holds a secret."""
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").partition("\n")[0]
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        raise AgentError(f"--password-file: {path} cannot be read: {why}") from None


def _page() -> PageSize:
    """The page of this machine; the usual one, where it is none that Linux runs with."""
    here = str(os.sysconf("SC_PAGE_SIZE"))
    return PageSize(here) if here in set(PageSize) else PageSize.KIB4


def _default_state() -> Path:
    if os.geteuid() == 0:
        return ROOTS_STATE
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(home) / "pagewarden" / "bridge"


def _conclude(setting: Setting, summary: Summary, *, as_json: bool) -> None:
    bridged = Bridged(
        host=setting.plan.host,
        source=setting.wanted.name,
        boot_id=summary.boot_id,
        kept=summary.kept,
        **asdict(summary.totals),
    )
    if as_json:
        typer.echo(bridged.model_dump_json())
    else:
        tell(
            f"{bridged.read} lines or records read, {bridged.refused} refused; "
            f"{bridged.ereports} ereports ({bridged.errors} errors), {bridged.applied} applied, "
            f"{bridged.kept} kept, {bridged.lost} lost"
        )
