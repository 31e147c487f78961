"""Where free frames come from: the free lists, the bottom of the host, or the caller's own choice.

Whoever makes a domain asks as Xen's toolstack does: for 1 GiB at a time while that much is
missing and to be had in one piece, then for 2 MiB, and for single pages last. While a host starts,
everybody is seated from the lowest free frame upward, so that one finds them again.
"""

from collections.abc import Callable

import numpy as np

from agent.contract.columns import I64
from emulator.xen.buddy import Runs
from emulator.xen.frametable import UNASSIGNED, FrameTable, Tenant

Take = Callable[[int, Tenant], I64 | None]  # what it gives, or None without room

SUPERPAGE_ORDERS = (18, 9, 0)  # 1 GiB, 2 MiB, 4 KiB


class Heap:
    """Hands out frames of one table. OFFLINED ones are on no free list, so it never meets them."""

    def __init__(self, table: FrameTable) -> None:
        self._table = table

    def take(self, count: int, tenant: Tenant = UNASSIGNED, node: int = 0) -> I64 | None:
        """`count` frames for `tenant`, or None (and nothing changed) if so many are not free.

        Those of NUMA node `node` first, then those of the nodes after it. What others claim is
        not there to be had.
        """
        if count > self._table.available_to(tenant.owner):
            return None
        taken = [np.empty(0, np.int64)]
        for order in SUPERPAGE_ORDERS:
            runs = self._table.lists.find(order, count >> order, node)
            taken.append(self._allocate(runs, tenant))
            count -= len(taken[-1])
        return np.concatenate(taken)

    def take_on(self, node: int, tenant: Tenant) -> I64 | None:
        """One frame of this very node, or None (and nothing changed) if it has none to be had."""
        if not self._table.available_to(tenant.owner):
            return None
        found = self._table.lists.find(0, 1, node)
        if self._table.lists.node_of(int(found.first[0])) != node:
            return None
        return self._allocate(found, tenant)

    def take_lowest(self, count: int, tenant: Tenant) -> I64 | None:
        """The lowest `count` free frames, or None (and nothing changed) if there are fewer."""
        if count > self._table.free:
            return None
        return self._allocate(self._table.lists.lowest(count), tenant)

    def take_at(self, mfns: I64, tenant: Tenant) -> I64 | None:
        """These very frames for `tenant`, or None (and nothing changed) if one is not free."""
        if not self._table.are_free(mfns):
            return None
        self._table.allocate(mfns, tenant)
        return mfns

    def _allocate(self, runs: Runs, tenant: Tenant) -> I64:
        mfns = runs.frames()
        self._table.allocate(mfns, tenant)
        return mfns
