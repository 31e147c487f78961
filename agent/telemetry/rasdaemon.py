"""rasdaemon's database (`ras-mc_event.db`, SQLite): the rows of two of its tables.

    mc_event     id timestamp err_count err_type err_msg label … address grain … driver_detail
    mce_record   id timestamp mcgcap … status addr misc … walltime … cpu … socketid … bank
                 cpuvendor … bank_name … mc_location

A whole number of SQLite is signed, and these are not: a valid STATUS is negative. IPID and SYND of
AMD's machine checks are not kept, but what rasdaemon read out of them is: the kind of the bank, the
channel and the chip select. Columns and tables differ by version and by how rasdaemon was built.

Most errors are in both tables. So the rows are told as a log would tell them, in the order of their
time, the machine check first, and the rule is the log's: it is one error if both have one address,
or if the mce_record has none and is the mc_event's neighbour. A row counts as a line.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from typing import Protocol, runtime_checkable

from agent.contract.errors import AgentError
from agent.telemetry import mc_event
from agent.telemetry.exact import nanoseconds
from agent.telemetry.held import LOGGED
from agent.telemetry.instant import instant_ns
from agent.telemetry.machine_check import MachineCheck, judged
from agent.telemetry.once import Once
from agent.telemetry.prefixes import Stamped, Unsaid
from agent.telemetry.record import UNTIMED, Outcome, Refused
from agent.telemetry.source import Opening, Source

MAGIC = b"SQLite format 3\0"
EVENTS, CHECKS = "mc_event", "mce_record"

# What must be there. What may be there is read as nothing where it is not.
_NEEDED = {
    EVENTS: ("id", "timestamp", "err_count", "err_type", "address"),
    CHECKS: ("id", "timestamp", "status", "addr"),
}
_WELCOME = {
    EVENTS: ("err_msg", "label", "driver_detail"),
    CHECKS: (
        *("misc", "mcgcap", "walltime", "cpu", "socketid", "bank", "cpuvendor", "cpuid"),
        *("bank_name", "mc_location"),
    ),
}
# Tables about memory that are not read.
_UNREAD = ("extlog_event", "cxl_general_media_event", "cxl_dram_event", "cxl_poison_event")

_BITS_64 = (1 << 64) - 1
_UMC = 0x96 << 32  # IPID: a memory controller of AMD
_LOCATION = re.compile(r"memory_channel=(\d{1,3})(?:,csrow=(\d))?", re.ASCII)

Cell = int | str | float | bytes | None


@runtime_checkable
class Database(Protocol):
    """A source that can be asked for the rows of its tables."""

    def columns(self, table: str) -> Sequence[str]:
        """The names of its columns; none if there is no such table.

        Raises:
            AgentError: if the database cannot be read.
        """
        ...

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
        """These columns of all rows, in the order of `id`.

        Raises:
            AgentError: if the database cannot be read to its end.
        """
        ...


class _CellError(ValueError):
    """A cell that cannot be read; the text names its column."""


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of one of the tables, and when it was written."""

    table: str
    time_ns: int | None
    outcome: Outcome


def is_database(begins: Opening) -> bool:
    """True if the input is a database of SQLite."""
    return begins.head.startswith(MAGIC)


def decode(source: Source, unsaid: Unsaid) -> Iterator[Outcome]:
    """The errors that the rows report."""
    if not isinstance(source, Database):
        yield Refused(1, "a database is read from its file: a pipe cannot be asked for rows")
        return
    try:
        yield from _decoded(source, unsaid)
    except AgentError as error:
        yield Refused(1, str(error))


def _decoded(database: Database, unsaid: Unsaid) -> Iterator[Outcome]:
    columns = {table: set(database.columns(table)) for table in (CHECKS, EVENTS)}
    if not any(columns.values()):
        yield Refused(1, f"a database without the tables {EVENTS} and {CHECKS}: not rasdaemon's")
    for table in _UNREAD:
        if database.columns(table) and any(True for _ in database.rows(table, ("id",))):
            yield Refused(1, f"the table {table} is not read")
    for table, there in columns.items():
        missing = [name for name in _NEEDED[table] if there and name not in there]
        if missing:
            yield Refused(1, f"the table {table} has no column {', '.join(missing)}")
            columns[table] = set()
    rows = (_rows(database, table, there, unsaid) for table, there in columns.items() if there)
    yield from _once(merge(*rows, key=lambda row: row.time_ns or 0))


def _once(rows: Iterator[_Row]) -> Iterator[Outcome]:
    once = Once()
    for row in rows:
        said = Stamped("", time_ns=row.time_ns)
        yield from once.overdue(0, row.time_ns)
        if row.table == EVENTS:
            yield from once.event(mc_event.LOGGED, said, row.outcome)
        else:
            yield from once.poor(LOGGED, said, (row.outcome,))
    yield from once.rest()


def _rows(database: Database, table: str, there: set[str], unsaid: Unsaid) -> Iterator[_Row]:
    columns = [name for name in _NEEDED[table] + _WELCOME[table] if name in there]
    read = {EVENTS: _event, CHECKS: _check}[table]
    for values in database.rows(table, columns):
        cells = dict(zip(columns, values, strict=True))
        line = cells["id"] if isinstance(cells["id"], int) else 0
        time_ns = instant_ns(_text(cells, "timestamp"), unsaid)
        try:
            outcome = read(cells, line, time_ns)
        except _CellError as error:
            outcome = Refused(line, f"{table}: {error}")
        yield _Row(table, time_ns, outcome)


def _event(cells: Mapping[str, Cell], line: int, time_ns: int | None) -> Outcome:
    return mc_event.recorded(
        line,
        time_ns,
        kind=_text(cells, "err_type"),
        count=_number(cells, "err_count") or 0,
        message=_text(cells, "err_msg").strip(),
        label=_text(cells, "label"),
        address=(_number(cells, "address") or 0) & _BITS_64,
        detail=_text(cells, "driver_detail").strip(),
    )


def _check(cells: Mapping[str, Cell], line: int, time_ns: int | None) -> Outcome:
    walltime = _number(cells, "walltime") or 0
    check = MachineCheck(
        status=(_number(cells, "status") or 0) & _BITS_64,
        cpu=_number(cells, "cpu"),
        bank=_number(cells, "bank"),
        addr=_unsigned(cells, "addr"),
        misc=_unsigned(cells, "misc"),
        mcgcap=_unsigned(cells, "mcgcap"),
        time_ns=nanoseconds(str(walltime)),
        socket=_number(cells, "socketid"),
        vendor=_number(cells, "cpuvendor"),
        cpuid=_unsigned(cells, "cpuid"),
    )
    if not check.time_ns and time_ns is None:
        return Refused(line, UNTIMED)
    return judged(_with_amds_place(check, cells), line, time_ns or 0)


def _with_amds_place(check: MachineCheck, cells: Mapping[str, Cell]) -> MachineCheck:
    """With IPID and SYND again, as far as rasdaemon's words for them go."""
    if not check.is_amd or not _text(cells, "bank_name").startswith("Unified Memory Controller"):
        return check
    place = _LOCATION.match(_text(cells, "mc_location"))
    channel, csrow = place.groups(default="0") if place else ("0", "0")
    return replace(check, ipid=_UMC | int(channel) << 20, synd=int(csrow))


def _unsigned(cells: Mapping[str, Cell], name: str) -> int | None:
    number = _number(cells, name)
    return None if number is None else number & _BITS_64


def _number(cells: Mapping[str, Cell], name: str) -> int | None:
    """A whole number, or None where there is none."""
    cell = cells.get(name)
    if cell is not None and not isinstance(cell, int):
        raise _CellError(f"{name} is not a whole number (got {str(cell)[:40]!r})")
    return cell


def _text(cells: Mapping[str, Cell], name: str) -> str:
    cell = cells.get(name)
    return cell if isinstance(cell, str) else ""
