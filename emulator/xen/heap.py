"""Where free frames come from: next fit, or the very frames the caller names.

A cursor goes round the host and takes what is FREE, a window at a time, so that an allocation costs
what it takes and not what the host has. A frame just freed is met again a whole round later.
"""

import numpy as np

from agent.contract.columns import I64
from emulator.xen.frametable import FrameTable, Tenant

WINDOW_FRAMES = 1 << 16


class Heap:
    """Hands out frames of one table. OFFLINED ones are not FREE, so it never meets them."""

    def __init__(self, table: FrameTable) -> None:
        self._table = table
        self._cursor = 0

    def take(self, count: int, tenant: Tenant) -> I64 | None:
        """`count` frames for `tenant`, or None (and nothing changed) if so many are not free."""
        if count > self._table.free:
            return None
        mfns = self._find(count)
        self._table.allocate(mfns, tenant)
        return mfns

    def take_at(self, mfns: I64, tenant: Tenant) -> I64 | None:
        """These very frames for `tenant`, or None (and nothing changed) if one is not free."""
        if not self._table.are_free(mfns):
            return None
        self._table.allocate(mfns, tenant)
        return mfns

    def _find(self, count: int) -> I64:
        """The next `count` free frames; there are that many, so one round is enough."""
        found: list[I64] = [np.empty(0, np.int64)]
        while count:
            last = min(self._cursor + WINDOW_FRAMES, self._table.frames)
            free = self._table.free_within(self._cursor, last)[:count]
            count -= len(free)
            found.append(free)
            self._cursor = (last if count else int(free[-1]) + 1) % self._table.frames
        return np.concatenate(found)
