"""A bounded table of pages: a key finds its row, and the least recently touched rows make room.

The rows are columns side by side, so that a batch reads and writes all of its pages at once. They
start small and double, so that a healthy host costs nothing. When the table is full, a sixteenth of
it goes at a time: finding the least recent costs one pass, and each pass makes room for many.

Rows move when the table is saved and restored, and nobody may notice: what is evicted follows from
`touched` alone, the ordinal of the record that touched a page last, which no two pages share.
"""

from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.contract.columns import I64, Bools

NEVER = -1  # in `times`: no error yet; sorts below every time
_ROWS_AT_FIRST = 64
_SHARE_EVICTED = 16


class Slots:
    """At most `rows_max` pages, each with `width` times (rising, `NEVER` first) and a latch."""

    def __init__(self, rows_max: int, width: int) -> None:
        self.rows_max = rows_max
        self.width = width
        self._row_of: dict[int, int] = {}
        self._dropped: list[int] = []
        self._used = 0
        rows = min(_ROWS_AT_FIRST, rows_max)
        self.keys: I64 = np.zeros(rows, np.int64)
        self.times: I64 = np.full((rows, width), NEVER, np.int64)
        self.latched: Bools = np.zeros(rows, np.bool_)
        self.touched: I64 = np.full(rows, NEVER, np.int64)

    def __len__(self) -> int:
        return len(self._row_of)

    def in_use(self) -> I64:
        """The rows that hold a page."""
        return np.flatnonzero(self.touched[: self._used] != NEVER)

    def touch(self, keys: I64, ordinals: I64) -> tuple[I64, int]:
        """The rows of these distinct `keys`, new ones included; how many others had to go for them.

        `ordinals` are larger than any before; there may be at most `rows_max` keys.
        """
        rows = np.fromiter(map(self._row_of.get, keys.tolist(), repeat(NEVER)), np.int64, len(keys))
        known = rows != NEVER
        self.touched[rows[known]] = ordinals[known]
        new = ~known
        evicted = self._make_room(int(new.sum()), int(ordinals.min()))
        rows[new] = self._add(keys[new])
        self.touched[rows[new]] = ordinals[new]
        return rows, evicted

    def _make_room(self, wanted: int, touched_from: int) -> int:
        over = len(self) + wanted - self.rows_max
        if over <= 0:
            return 0
        rows = self.in_use()
        idle = rows[self.touched[rows] < touched_from]
        count = min(max(over, self.rows_max // _SHARE_EVICTED), len(idle))
        self._drop(idle[np.argpartition(self.touched[idle], count - 1)[:count]])
        return count

    def _drop(self, rows: I64) -> None:
        for key in self.keys[rows].tolist():
            del self._row_of[key]
        self._dropped += rows.tolist()
        self.times[rows] = NEVER
        self.latched[rows] = False
        self.touched[rows] = NEVER

    def _add(self, keys: I64) -> I64:
        again = self._dropped[max(0, len(self._dropped) - len(keys)) :]
        del self._dropped[len(self._dropped) - len(again) :]
        fresh = len(keys) - len(again)
        self._grow_to(self._used + fresh)
        rows = np.array([*again, *range(self._used, self._used + fresh)], np.int64)
        self._used += fresh
        self.keys[rows] = keys
        self._row_of.update(zip(keys.tolist(), rows.tolist(), strict=True))
        return rows

    def _grow_to(self, rows: int) -> None:
        have = len(self.keys)
        if rows <= have:
            return
        more = min(max(rows, 2 * have), self.rows_max) - have
        self.keys = np.append(self.keys, np.zeros(more, np.int64))
        self.times = np.concatenate((self.times, np.full((more, self.width), NEVER, np.int64)))
        self.latched = np.append(self.latched, np.zeros(more, np.bool_))
        self.touched = np.append(self.touched, np.full(more, NEVER, np.int64))

    def columns(self) -> dict[str, NDArray[Any]]:
        """All pages, the least recently touched first: equal tables give equal columns."""
        rows = self.in_use()
        rows = rows[np.argsort(self.touched[rows])]
        names = ("keys", "times", "latched", "touched")
        return {name: getattr(self, name)[rows] for name in names}

    def fill(self, keys: I64, times: I64, latched: Bools, touched: I64) -> None:
        """Take over the pages of `columns`, into an empty table, as many as fit: the most recent.

        The table they come from may have been wider or narrower: the newest times are kept.
        """
        recent = slice(-self.rows_max, None)
        rows = self._add(keys[recent])
        kept = min(self.width, times.shape[1])
        self.times[rows, self.width - kept :] = times[recent, times.shape[1] - kept :]
        self.latched[rows] = latched[recent]
        self.touched[rows] = touched[recent]
