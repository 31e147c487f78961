"""Rows of rasdaemon's tables, broken in the ways that a database can hold: any value in any cell.

SQLite keeps what it is given, whatever a column was declared as. Ids stay in order, because the
database sees to that; times do not.
"""

from collections.abc import Iterator, Mapping, Sequence
from random import Random

from agent.telemetry.rasdaemon import MAGIC, Cell

_WHEN = "2023-04-15 11:{minute:02}:{second:02} +0000"
_DETAIL = " err_code:0x0080:0x0090 PhysicalRankId:0x1 Row:0x27b2 Column:0xa0 Bank:0x1 BankGroup:0x5"
_WHOLE: Mapping[str, Mapping[str, Cell]] = {
    "mc_event": {
        "err_count": 2,
        "err_type": "Corrected",
        "err_msg": "memory read error",
        "label": "CPU_SrcID#0_Chan#1_DIMM#0",
        "address": 0x12345680,
        "driver_detail": _DETAIL,
    },
    "mce_record": {
        "mcgcap": 0xF000C16,
        "status": 0x8C00008000010091 - (1 << 64),
        "addr": 0x12345680,
        "misc": 0x40584E86,
        "walltime": 1681559382,
        "cpu": 3,
        "cpuid": 0x50654,
        "socketid": 1,
        "bank": 7,
        "cpuvendor": 0,
        "bank_name": "Unified Memory Controller (bank=17)",
        "mc_location": "memory_channel=1,csrow=2",
    },
}
_ODD: tuple[Cell, ...] = (
    *(None, 0, 1, 2, -1, 1 << 63 - 1, -(1 << 63), 2.5, 1e300, float("inf"), b"", b"\xff\x00", ""),
    *("Uncorrected", "Info", "0x12", "１２", "a" * 60_000, "Row:" + "9" * 400, "x:1 " * 10_000),
    *("2023-04-31 25:00:00 +0000", "2023-04-15 11:49:42", "9999-12-31 23:59:59 -1200", "\x00\n"),
)
_BROKEN_CELLS = (0, 0, 0, 0, 1, 1, 2, 4)
_ADDRESSES = tuple(0x12345680 + 64 * at for at in range(8))


class Rows:
    """A database whose two tables have `count` rows between them."""

    def __init__(self, seed: int, count: int) -> None:
        self._seed = seed
        self._count = count

    @property
    def head(self) -> bytes:
        return MAGIC

    def chunks(self) -> Iterator[bytes]:
        yield self.head

    def columns(self, table: str) -> Sequence[str]:
        return ("id", "timestamp", *_WHOLE[table]) if table in _WHOLE else ()

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
        rng = Random(f"{self._seed} {table}")
        for number in range(1, self._count // 2 + 1):
            cells = _cells(rng, table, number)
            yield tuple(cells[name] for name in columns)


def _cells(rng: Random, table: str, number: int) -> dict[str, Cell]:
    second = number // 10
    when = _WHEN.format(minute=second // 60 % 60, second=second % 60)
    cells: dict[str, Cell] = {"timestamp": when, **_WHOLE[table]}
    cells["address" if "address" in cells else "addr"] = rng.choice(_ADDRESSES)
    for name in rng.choices(tuple(cells), k=rng.choice(_BROKEN_CELLS)):
        cells[name] = rng.choice(_ODD)
    return {"id": number, **cells}
