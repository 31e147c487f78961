"""How `decode` and `feed` read their inputs: the options of both, and one walk over all files.

Refused lines are told as they are met, `file:line: reason`, and counted. So is every host that the
lines name: the pages of two hosts must not be mixed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from agent.adapters.recordings import Recording, StoredDatabase
from agent.contract.topics import checked_host
from agent.telemetry import formats, mce_struct
from agent.telemetry.edac import PAGE_SHIFTS
from agent.telemetry.exact import nanoseconds
from agent.telemetry.prefixes import Unsaid
from agent.telemetry.record import Decoded, Refused
from agent.telemetry.source import Source

# Clocks and zones of two machines differ: a line may be dated this much after its file.
_LATEST_SLACK = timedelta(days=1)
_HOSTS_KEPT_MAX = 8


AUTO = "auto"


class PageSize(StrEnum):
    """The pages that Linux runs with, in bytes."""

    KIB4 = "4096"
    KIB16 = "16384"
    KIB64 = "65536"


def parse_host(name: str) -> str:
    try:
        return checked_host(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def parse_format(name: str) -> str:
    if name not in {AUTO, *formats.NAMES}:
        raise typer.BadParameter(
            f"no such format: {name!r} (one of {', '.join((AUTO, *formats.NAMES))})"
        )
    return name


def parse_zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise typer.BadParameter(f"no such time zone: {name!r} (try Europe/Berlin)") from None


def parse_boot_time(text: str) -> int:
    """Nanoseconds since 1970 from seconds since 1970 or an ISO date; without a zone it is UTC."""
    seconds = nanoseconds(text)
    if seconds is not None:
        return seconds
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"neither an ISO date nor seconds since 1970: {text!r} (try 2024-01-31T12:00:00Z)"
        ) from None
    instant = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    whole_seconds = (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    return whole_seconds * 1_000_000_000


FilesArgument = Annotated[
    list[str], typer.Argument(metavar="FILE…", help="Recordings, in order; - is standard input.")
]
FormatOption = Annotated[
    str,
    typer.Option(
        "--format",
        parser=parse_format,
        metavar="NAME",
        help=f"What the files are: {', '.join(formats.NAMES)}; {AUTO} goes by the content.",
    ),
]
YearOption = Annotated[
    int | None,
    typer.Option(
        "--year",
        min=1970,
        max=2261,
        help="Year of dates that have none; default: the last that is not after the file's own.",
    ),
]
ZoneOption = Annotated[
    tzinfo | None,
    typer.Option(
        "--zone", parser=parse_zone, metavar="ZONE", help="Zone of dates that have none; else UTC."
    ),
]
BootTimeOption = Annotated[
    int | None,
    typer.Option(
        "--boot-time",
        parser=parse_boot_time,
        metavar="TIME",
        help="When the machine booted, for stamps in seconds since boot; default: 1970.",
    ),
]
PageSizeOption = Annotated[
    PageSize, typer.Option("--page-size", help="The machine's page in bytes, for page:0x….")
]
RecordBytesOption = Annotated[
    int | None,
    typer.Option(
        "--record-bytes",
        min=mce_struct.RECORD_BYTES_MIN,
        max=mce_struct.RECORD_BYTES_MAX,
        help="Length of a struct mce, where the file leaves it open.",
    ),
]


@dataclass(frozen=True, slots=True)
class Manner:
    """How to read: the options, without their command line."""

    form: str = AUTO
    year: int | None = None
    zone: tzinfo | None = None
    boot_ns: int = 0
    page_size: PageSize = PageSize.KIB4
    record_bytes: int | None = None

    def unsaid(self, modified: datetime) -> Unsaid:
        """What a recording that was last written to at `modified` leaves unsaid."""
        shifts = {str(1 << shift): shift for shift in PAGE_SHIFTS}
        return Unsaid(
            latest=modified + _LATEST_SLACK,
            year=self.year,
            zone=self.zone or UTC,
            boot_ns=self.boot_ns,
            page_shift=shifts[self.page_size],
            record_bytes=self.record_bytes,
        )


@dataclass(slots=True)
class Tally:
    """What was met so far. `read`: there was something. `lines` are those of text, whatever they
    are about.
    """

    lines: int = 0
    read: bool = False
    ereports: int = 0
    errors: int = 0
    refused: int = 0
    hosts: dict[str, None] = field(default_factory=dict[str, None])

    def count(self, record: Decoded) -> None:
        self.ereports += 1
        self.errors += record.errors
        if record.host and len(self.hosts) < _HOSTS_KEPT_MAX:
            self.hosts.setdefault(record.host)

    def __str__(self) -> str:
        return f"{self.ereports} ereports ({self.errors} errors), {self.refused} lines refused"

    @property
    def warning(self) -> str | None:
        """What the operator should know about the hosts that the lines name."""
        if len(self.hosts) < 2:
            return None
        names = ", ".join(self.hosts)
        return f"lines of several hosts ({names}) were read as one: filter them by host first"


@dataclass(frozen=True, slots=True)
class CountedLines:
    """A source whose chunks somebody counts."""

    head: bytes
    _chunks: Iterator[bytes]

    def chunks(self) -> Iterator[bytes]:
        return self._chunks


def records(
    recordings: Sequence[Recording],
    manner: Manner,
    tally: Tally,
    complain: Callable[[str], None],
) -> Iterator[Decoded]:
    """Every error in `recordings`, file after file; what is refused is told to `complain`."""
    name = None if manner.form == AUTO else manner.form
    for recording in recordings:
        unsaid = manner.unsaid(recording.modified)
        for outcome in formats.decode(_counted(recording, tally), unsaid, name):
            if isinstance(outcome, Refused):
                tally.refused += 1
                complain(f"{recording.name}:{outcome.line}: {outcome.reason}")
            else:
                tally.count(outcome)
                yield outcome


def _counted(recording: Recording, tally: Tally) -> Source:
    """The same recording, whose lines are counted as it is read; a database has none."""
    if isinstance(recording, StoredDatabase):
        tally.read = True
        return recording
    return CountedLines(recording.head, _counting(recording.chunks(), tally))


def _counting(chunks: Iterable[bytes], tally: Tally) -> Iterator[bytes]:
    last = b"\n"
    for chunk in chunks:
        tally.read |= bool(chunk)
        tally.lines += chunk.count(b"\n")
        last = chunk[-1:] or last
        yield chunk
    tally.lines += last != b"\n"
