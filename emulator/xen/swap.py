"""Moving a guest's page to another frame: the swap for HVM, and the move under every exchange.

The order matters. The new frame is taken and filled before anything points to it; then the p2m
and the M2P are turned over together; last the old frame is freed, and being OFFLINING it is
OFFLINED by that.
"""

from collections.abc import Sequence

import numpy as np

from agent.contract.columns import I64
from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PagesReply, PageUse, Refusal
from emulator.machine.memory import Memory
from emulator.xen import offline
from emulator.xen.domains import Domain
from emulator.xen.frametable import FrameState, FrameTable
from emulator.xen.heap import Heap


class Mover:
    """Moves pages between the frames of one host."""

    def __init__(self, table: FrameTable, heap: Heap, memory: Memory) -> None:
        self._table = table
        self._heap = heap
        self._memory = memory

    def move(self, domain: Domain, mfns: I64) -> I64 | None:
        """Fresh frames behind these pages of `domain`; their gfns, or None if there is no room."""
        new = self._heap.take(len(mfns), domain.tenant)
        if new is None:
            return None
        self._memory.copy(mfns, new)
        gfns = self._table.gfns_of(mfns)
        domain.p2m[gfns] = new
        self._table.map(new, gfns)
        self._table.release(mfns)
        return gfns

    def swap(self, domains: dict[DomId, Domain], mfns: Sequence[int]) -> PagesReply:
        """Swap the p2m entries of HVM pages that are OFFLINING. The guest does not stop."""
        roomy = self._count_pending(mfns) <= self._table.free

        def judge(mfn: Mfn) -> Refusal | None:
            if self._table.state_of(mfn) is FrameState.OFFLINED:
                return None
            return self._unfit(mfn) or (None if roomy else Refusal.NO_FREE_MEMORY)

        def act(mfns: I64) -> None:
            owners = np.array([self._table.owner_of(mfn) or 0 for mfn in mfns.tolist()])
            for domid in np.unique(owners[owners > 0]).tolist():
                self.move(domains[domid], mfns[owners == domid])

        return offline.atomically(self._table, mfns, judge, act)

    def _unfit(self, mfn: Mfn) -> Refusal | None:
        if self._table.use_of(mfn) is not PageUse.HVM:
            return Refusal.NOT_OWNED_BY_HVM
        if self._table.state_of(mfn) is not FrameState.OFFLINING:
            return Refusal.NOT_OFFLINE_PENDING
        return None

    def _count_pending(self, mfns: Sequence[int]) -> int:
        marked = self._table.marked()
        return sum(marked.get(mfn) is FrameState.OFFLINING for mfn in set(map(Mfn, mfns)))
