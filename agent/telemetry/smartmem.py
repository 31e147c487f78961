"""SmartMem: histories of DIMMs in production, a CSV with one row a corrected error.

Columns are found by name, whatever their case and order. An empty cell says that it is not known;
an address of 0 says so too, because the data sets write it for want of one. Rows are not in the
order of time, and stay in the order of the file.

    MciAddr                   system address, decimal         LogTime   seconds since 1970 UTC
    CpuId ChannelId DimmId    the DIMM: `CPU0_C4_D0`          BankId    within its BankgroupId
    error_type_full_name      CE, CE.READ, CE.SCRUB, UE.…
"""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, TypeVar

from agent.telemetry.coordinates import BANKS_IN_GROUP
from agent.telemetry.exact import nanoseconds, whole
from agent.telemetry.prefixes import Unsaid
from agent.telemetry.record import Decoded, Outcome, Refused, checked

COLUMNS = (
    "LogTime",
    "MciAddr",
    "CpuId",
    "ChannelId",
    "DimmId",
    "RankId",
    "BankgroupId",
    "BankId",
    "RowId",
    "ColumnId",
    "error_type_full_name",
)
_TELLTALE = frozenset({"logtime", "mciaddr", "error_type_full_name"})

Value = TypeVar("Value")


class _CellError(ValueError):
    """A cell that cannot be read; the text names its column."""


def is_smartmem(opening: Sequence[str], _unsaid: Unsaid) -> bool:
    """True if the first line is a header with the columns that only SmartMem has."""
    header = opening[0].lower() if opening else ""
    return _TELLTALE.issubset(name.strip() for name in header.split(","))


def decode(lines: Iterable[str], _unsaid: Unsaid) -> Iterator[Outcome]:
    """The errors that the rows report."""
    rows = iter(lines)
    header = [name.strip().lower() for name in next(rows, "").split(",")]
    absent = [name for name in COLUMNS if name.lower() not in header]
    if absent:
        yield Refused(1, f"SmartMem header without the column {', '.join(absent)}")
        return
    where = {name: header.index(name.lower()) for name in COLUMNS}
    for number, row in enumerate(rows, 2):
        if row.strip():
            yield _row(number, row, where, len(header))


def _row(number: int, row: str, where: dict[str, int], width: int) -> Outcome:
    try:
        cells = next(csv.reader([row], strict=True))
    except csv.Error as error:
        return Refused(number, f"not a row of CSV: {error}")
    if len(cells) != width:
        return Refused(number, f"{len(cells)} cells where the header has {width}")
    try:
        return _record(number, {name: cells[at].strip() for name, at in where.items()})
    except _CellError as error:
        return Refused(number, str(error))


def _record(number: int, cells: dict[str, str]) -> Outcome:
    time_ns = _read(cells, "LogTime", nanoseconds, "seconds since 1970")
    if time_ns is None:
        raise _CellError("LogTime: empty, so the time of the error is not known")
    cpu, channel, dimm = (_whole(cells, name) for name in ("CpuId", "ChannelId", "DimmId"))
    group, bank = _whole(cells, "BankgroupId"), _whole(cells, "BankId")
    return checked(
        Decoded(
            line=number,
            time_ns=time_ns,
            kind=_kind(cells["error_type_full_name"]),
            address=_whole(cells, "MciAddr") or None,
            dimm=None if None in (cpu, channel, dimm) else f"CPU{cpu}_C{channel}_D{dimm}",
            rank=_whole(cells, "RankId"),
            bank=None if group is None or bank is None else group * BANKS_IN_GROUP + bank,
            row=_whole(cells, "RowId"),
            column=_whole(cells, "ColumnId"),
            detail=cells["error_type_full_name"],
        )
    )


def _read(
    cells: dict[str, str], column: str, read: Callable[[str], Value | None], wanted: str
) -> Value | None:
    """The value of a cell, or None if it is empty."""
    text = cells[column]
    if not text:
        return None
    value = read(text)
    if value is None:
        raise _CellError(f"{column}: not {wanted} (got {text[:40]!r})")
    return value


def _whole(cells: dict[str, str], column: str) -> int | None:
    return _read(cells, column, whole, "a whole number")


def _kind(name: str) -> Literal["ce", "ue"]:
    match name.upper().partition(".")[0]:
        case "CE":
            return "ce"
        case "UE":
            return "ue"
        case _:
            raise _CellError(f"error_type_full_name: neither CE nor UE (got {name[:40]!r})")
