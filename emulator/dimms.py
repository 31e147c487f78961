"""Where an address lies: which DIMM, and where on it.

Pages go round the DIMMs, one a channel; on a DIMM, two pages share a row of 8 KiB, and rows go
round 16 banks and two ranks. Simple beside a real memory controller, and like one in what matters:
each address has one place, and neighbours in a row are neighbours in address.

    frame = (((row × 2 + rank) × 16 + bank) × 2 + half) × dimms + dimm
"""

from collections.abc import Mapping
from dataclasses import dataclass
from zlib import crc32

from agent.contract.ereport import Module
from agent.contract.frames import PAGE_SHIFT, PAGE_SIZE

_COLUMN_BYTES = 8
_COLUMNS_A_PAGE = PAGE_SIZE // _COLUMN_BYTES
_BANKS = 16
_RANKS = 2
_PART = "PGWD-DDR5-4800"


@dataclass(frozen=True, slots=True)
class Place:
    """One column of one row; `bank` counts flat within the rank."""

    dimm: int
    rank: int
    bank: int
    row: int
    column: int


def labels(dimms: int) -> tuple[str, ...]:
    """As the silk screen says it: one DIMM in each channel of one socket."""
    return tuple(f"CPU0_C{channel}_D0" for channel in range(dimms))


def modules(dimms: int, seed: int, replaced: Mapping[str, int]) -> tuple[Module, ...]:
    """The DIMM in each slot; `replaced` is how often there was put another one."""
    return tuple(
        Module(label=label, part=_PART, serial=_serial(f"{seed}/{label}/{replaced.get(label, 0)}"))
        for label in labels(dimms)
    )


def _serial(of: str) -> str:
    return f"{crc32(of.encode()):08X}"


def place_of(address: int, dimms: int) -> Place:
    on_dimm, dimm = divmod(address >> PAGE_SHIFT, dimms)
    rows, half = divmod(on_dimm, 2)
    rows, bank = divmod(rows, _BANKS)
    row, rank = divmod(rows, _RANKS)
    column = half * _COLUMNS_A_PAGE + address % PAGE_SIZE // _COLUMN_BYTES
    return Place(dimm, rank, bank, row, column)
