"""What can be wrong with memory: how much of it, for how long, and where its errors are.

A flaw has a mode, which is how far it reaches, and a persistence. All that is left to chance about
it is drawn from a seed of its own.

    cell, word            one place
    column                one column of a bank, in the rows of one subarray
    row                   all columns of one row
    bank, multi_bank      anywhere in one bank; in all banks of its bank group
    lane                  anywhere on the DIMM: a data line that its ranks share
"""

from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Literal

import numpy as np
from numpy.random import Generator

from agent.contract.columns import I64
from emulator.machine.memory import Geometry, Places

ModeName = Literal["cell", "word", "column", "row", "bank", "multi_bank", "lane"]


class Mode(IntEnum):
    """How far a flaw reaches."""

    CELL = 0
    WORD = 1
    COLUMN = 2
    ROW = 3
    BANK = 4
    MULTI_BANK = 5
    LANE = 6

    @property
    def word(self) -> ModeName:
        """Its name in configuration and reports."""
        return _WORDS[self]


_WORDS: dict[Mode, ModeName] = {
    Mode.CELL: "cell",
    Mode.WORD: "word",
    Mode.COLUMN: "column",
    Mode.ROW: "row",
    Mode.BANK: "bank",
    Mode.MULTI_BANK: "multi_bank",
    Mode.LANE: "lane",
}


class Persistence(Enum):
    """Gone with the next write; there at times; or there for good."""

    TRANSIENT = "transient"
    INTERMITTENT = "intermittent"
    PERMANENT = "permanent"


# Which coordinates of an error are free, within the one place that its flaw was found at.
REACH: dict[Mode, tuple[str, ...]] = {
    Mode.CELL: (),
    Mode.WORD: (),
    Mode.COLUMN: ("row",),
    Mode.ROW: ("column",),
    Mode.BANK: ("row", "column"),
    Mode.MULTI_BANK: ("bank", "row", "column"),
    Mode.LANE: ("rank", "bank_group", "bank", "row", "column"),
}


@dataclass(frozen=True, slots=True)
class Site:
    """The place on one of many hosts at which a flaw is found."""

    dimm: int
    rank: int
    bank_group: int
    bank: int
    row: int
    column: int
    host: int = 0


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong, from `begins_ns` on: then comes its first error.

    It makes `errors` that are corrected, and after `uncorrected_at` of them one that is not.
    """

    mode: Mode
    persistence: Persistence
    site: Site
    begins_ns: int
    errors: int
    uncorrected_at: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.errors < 1:
            raise ValueError(f"a flaw makes at least 1 error (got {self.errors})")
        at = self.uncorrected_at
        if at is not None and not 0 <= at <= self.errors:
            raise ValueError(f"uncorrected_at must be 0 to {self.errors} (got {at})")

    @property
    def errors_of_all_kinds(self) -> int:
        return self.errors + (self.uncorrected_at is not None)


def site_of(address: int, geometry: Geometry, host: int = 0) -> Site:
    """Where a flaw must be to reach `address`."""
    places = geometry.places(np.array([address], np.int64))
    (dimm,) = geometry.dimm_of(places).tolist()
    rank, group, bank, row, column = (
        int(found[0])
        for found in (places.rank, places.bank_group, places.bank, places.row, places.column)
    )
    return Site(dimm, rank, group, bank, row, column, host)


def addresses_of(
    flaw: Flaw, count: int, geometry: Geometry, subarray_rows: int, rng: Generator
) -> I64:
    """Where `count` of its errors are."""
    columns = {
        name: np.array([at], np.int64) for name, at in _found_at(flaw.site, geometry).items()
    }
    for name in REACH[flaw.mode]:
        columns[name] = rng.integers(0, geometry.extents[name], count)
    if flaw.mode is Mode.COLUMN:
        rows = min(subarray_rows, geometry.rows)
        first = min(flaw.site.row // rows * rows, geometry.rows - rows)
        columns["row"] = first + columns["row"] % rows
    return np.broadcast_to(geometry.addresses(Places(**columns)), count)


def _found_at(site: Site, geometry: Geometry) -> dict[str, int]:
    """All coordinates of the place, as `Places` names them."""
    socket, channel, slot = geometry.slot_of(site.dimm)
    return {
        "socket": socket,
        "channel": channel,
        "slot": slot,
        "rank": site.rank,
        "bank_group": site.bank_group,
        "bank": site.bank,
        "row": site.row,
        "column": site.column,
    }
