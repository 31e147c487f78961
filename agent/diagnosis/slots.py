"""A bounded table of pages: a key finds its row, and the least recently touched rows make room.

The rows are columns side by side, so that a batch reads and writes all of its pages at once. A row
is 16 bytes, 8 more for each time, and 8 to 12 in the index. Memory is asked for once, but comes
only as rows are used, so that a healthy host costs nothing.

When the table is full, a sixteenth of it goes at a time: finding the least recent costs one pass
over all of it, and each pass makes room for many. So a page that must make room costs sixteen looks
at a row, however large the table is.

Rows move when the table is saved and restored, and nobody may notice: what is evicted follows from
`touched` alone, the ordinal of the record that touched a page last, which no two pages share.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.contract.columns import I64, Bools
from agent.diagnosis.index import NOBODY, Index

NEVER = -1  # in `times`: no error yet; sorts below every time
_SHARE_EVICTED = 16
_SAMPLED = 4096


@dataclass(frozen=True, slots=True, eq=False)
class SlotsKept:
    """The rows of a table at one time."""

    keys: I64
    times: I64
    stamps: I64

    def columns(self) -> dict[str, NDArray[Any]]:
        """All pages, the least recently touched first: equal tables give equal columns."""
        rows = np.flatnonzero(self.stamps)
        rows = rows[np.argsort(self.stamps[rows])]
        stamps = self.stamps[rows]
        return {
            "keys": self.keys[rows],
            "times": self.times[:, rows].T,
            "latched": (stamps & 1).astype(np.bool_),
            "touched": (stamps >> 1) - 1,
        }


class Slots:
    """At most `rows_max` pages, each with `width` times (rising, `NEVER` first) and a latch."""

    def __init__(self, rows_max: int, width: int) -> None:
        self.rows_max = rows_max
        self.width = width
        self.keys: I64 = np.zeros(rows_max + 1, np.int64)
        self.keys[NOBODY] = NEVER
        self.times: I64 = np.zeros((width, rows_max + 1), np.int64)  # a column a place
        # 2 × (touched + 1) + latched; 0 for a row in no use.
        self._stamps: I64 = np.zeros(rows_max + 1, np.int64)
        self._index = Index(self.keys)
        self._begun = 0  # rows 1 to here hold a page, or are `_free` again
        self._free: I64 = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return self._begun - len(self._free)

    def in_use(self) -> I64:
        """The rows that hold a page."""
        return np.flatnonzero(self._stamps[: self._begun + 1])

    def find(self, keys: I64) -> I64:
        """The row of each of `keys`; `NOBODY` for those that are not there."""
        return self._index.find(keys)

    def unlatch(self, rows: I64) -> None:
        self._stamps[rows] &= ~1

    def latched(self, rows: I64) -> Bools:
        latched: Bools = (self._stamps[rows] & 1).astype(np.bool_)
        return latched

    def touched(self, rows: I64) -> I64:
        touched: I64 = (self._stamps[rows] >> 1) - 1
        return touched

    def stamp(self, rows: I64, touched: I64, latched: Bools) -> None:
        """Say when `rows` were touched, and which are latched; of the same row twice, the last."""
        self._stamps[rows] = ((touched + 1) << 1) | latched

    def rows_of(self, keys: I64) -> tuple[I64, int]:
        """The row of each of `keys`, new ones included; how many other pages had to go for them.

        There may be at most `rows_max` keys. New rows are to be stamped before the next call.
        """
        rows = self._index.find(keys)
        strange = np.flatnonzero(rows == NOBODY)
        if not len(strange):
            return rows, 0
        new, which = np.unique(keys[strange], return_inverse=True)
        evicted = self._make_room(len(new), rows)
        rows[strange] = self._add(new)[which]
        return rows, evicted

    def _make_room(self, wanted: int, busy: I64) -> int:
        """Let pages go, none of the `busy` rows, if there is no room for so many more."""
        over = len(self) + wanted - self.rows_max
        if over <= 0:
            return 0
        least = self._least_recent(max(over, self.rows_max // _SHARE_EVICTED), busy)
        self.drop(least)
        return len(least)

    def _least_recent(self, count: int, busy: I64) -> I64:
        """So many rows, none of the `busy` ones; all others if there are fewer."""
        rows = self._likely(count, busy)
        if len(rows) < count:
            rows = self._idle(np.flatnonzero(self._stamps[: self._begun + 1]), busy)
        count = min(count, len(rows))
        return rows[np.argpartition(self._stamps[rows], count - 1)[:count]]

    def _likely(self, count: int, busy: I64) -> I64:
        """All rows touched before some moment at which, by a sample, there were enough of them: to
        choose among these is several times faster than among all, and to the same end.
        """
        stamps = self._stamps[: self._begun + 1]
        sample = stamps[:: max(1, len(stamps) // _SAMPLED)]
        rank = min(len(sample) - 1, int(len(sample) * (count + len(busy)) / len(stamps) * 1.25) + 8)
        early = np.flatnonzero(stamps < np.partition(sample, rank)[rank])
        return self._idle(early[stamps[early] != 0], busy)

    def _idle(self, rows: I64, busy: I64) -> I64:
        is_busy = np.zeros(len(self._stamps), np.bool_)
        is_busy[busy] = True
        return rows[~is_busy[rows]]

    def drop(self, rows: I64) -> None:
        """Let the pages of these distinct rows go."""
        self._index.remove(self.keys[rows], rows)
        self._stamps[rows] = 0
        self._free = np.concatenate((self._free, rows))

    def _add(self, keys: I64) -> I64:
        again = self._free[max(0, len(self._free) - len(keys)) :]
        self._free = self._free[: len(self._free) - len(again)]
        begun = self._begun + len(keys) - len(again)
        rows = np.concatenate((again, np.arange(self._begun + 1, begun + 1)))
        self._begun = begun
        self.keys[rows] = keys
        self.times[:, rows] = NEVER
        self._index.add(keys, rows)
        return rows

    def copied(self) -> "SlotsKept":
        """As they are now, in as little time as it takes to copy them."""
        end = self._begun + 1
        return SlotsKept(
            self.keys[:end].copy(), self.times[:, :end].copy(), self._stamps[:end].copy()
        )

    def fill(self, keys: I64, times: I64, latched: Bools, touched: I64) -> None:
        """Take over the pages of `columns`, into an empty table, as many as fit: the most recent.

        The table they come from may have been wider or narrower: the newest times are kept.
        """
        recent = slice(-self.rows_max, None)
        rows = self._add(keys[recent])
        kept = min(self.width, times.shape[1])
        self.times[self.width - kept :, rows] = times[recent, times.shape[1] - kept :].T
        self.stamp(rows, touched[recent], latched[recent])
