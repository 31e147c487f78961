"""`--from`: which source is wanted, and how it is made.

journal    file:PATH    rasdaemon-db[:PATH]    mcelog-device[:PATH]
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent.adapters.sources.file import FileSource
from agent.adapters.sources.journalctl import JournalSource
from agent.adapters.sources.mcelog_device import DEVICE, DeviceSource
from agent.adapters.sources.port import Reader, Source, Tell
from agent.adapters.sources.rasdaemon_db import DATABASE, DatabaseSource
from agent.adapters.sources.reader import LogReader, RowReader
from agent.adapters.spool import Place
from agent.bridge.keeping import Keeping
from agent.contract.errors import AgentError
from agent.telemetry.prefixes import Unsaid

_SLACK = timedelta(days=1)  # clocks and zones differ

Made = tuple[Source[Any], Callable[[Place], Reader[Any]]]


@dataclass(frozen=True, slots=True)
class Making:
    """What sources are made with. `unsaid` is what the operator says of them."""

    keeping: Keeping
    tell: Tell
    unsaid: Unsaid
    follows: bool
    settle_seconds: float

    def unsaid_now(self) -> Unsaid:
        """What lines leave unsaid: seconds since boot are of this boot, unless said otherwise."""
        now = datetime.fromtimestamp(self.keeping.clock() / 1e9, UTC)
        boot_ns = self.unsaid.boot_ns or self.keeping.boot.began_ns
        return replace(self.unsaid, latest=now + _SLACK, boot_ns=boot_ns)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A source by its kind, and the place it is at; None where there is only one."""

    kind: str
    path: Path | None = None

    @property
    def name(self) -> str:
        return self.kind if self.path is None else f"{self.kind}:{self.path}"

    def made(self, making: Making) -> Made:
        """The source, and what makes its reader."""
        return _MAKERS[self.kind](self.path or Path(), making)


def parse(text: str) -> Wanted:
    """What `--from text` wants.

    Raises:
        AgentError: naming what could be wanted.
    """
    kind, colon, path = text.partition(":")
    if kind not in _MAKERS or (colon and not path) or (kind == "file" and not path):
        raise AgentError(
            f"--from is journal, file:PATH, rasdaemon-db[:PATH] or mcelog-device[:PATH] "
            f"(got {text!r})"
        )
    if kind == "journal" and path:
        raise AgentError(f"--from journal has no path (got {text!r})")
    return Wanted(kind, Path(path) if path else _PATHS.get(kind))


def _journal(_path: Path, making: Making) -> Made:
    boot_id = making.keeping.inventory.boot_id
    source = JournalSource(boot_id, making.tell, follows=making.follows)
    return source, lambda place: LogReader(place, making.unsaid_now)


def _file(path: Path, making: Making) -> Made:
    source = FileSource(path, making.tell)
    return source, lambda place: LogReader(place, making.unsaid_now)


def _device(path: Path, making: Making) -> Made:
    source = DeviceSource(path, making.keeping, making.tell, making.unsaid_now)
    return source, RowReader


def _database(path: Path, making: Making) -> Made:
    source = DatabaseSource(path, making.tell, making.unsaid_now, making.settle_seconds)
    return source, RowReader


_MAKERS: dict[str, Callable[[Path, Making], Made]] = {
    "journal": _journal,
    "file": _file,
    "rasdaemon-db": _database,
    "mcelog-device": _device,
}
_PATHS = {"rasdaemon-db": DATABASE, "mcelog-device": DEVICE}
