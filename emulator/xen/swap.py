"""The p2m swap of the 2008 design: an HVM guest's page moves under it, and it does not stop.

The hypervisor does it by itself, so it refuses whatever it cannot see to the end of: a page that
another domain maps would go on being written to where it was, and a device that is assigned to the
guest too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from agent.contract.columns import I64
from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PagesReply, PageUse, Refusal
from emulator.xen import offline
from emulator.xen.domains import Domain
from emulator.xen.frametable import FrameState, FrameTable

MoveAll = Callable[[Domain, I64], object]


@dataclass(frozen=True, slots=True)
class Swap:
    """The call on one host; `move` is how the pages of one domain are moved."""

    table: FrameTable
    domains: dict[DomId, Domain]
    move: MoveAll

    def swap(self, mfns: Sequence[int]) -> PagesReply:
        """Swap the p2m entries of HVM pages that are OFFLINING: of all of them, or of none."""
        roomy = self._count_pending(mfns) <= self.table.available_to(None)

        def judge(mfn: Mfn) -> Refusal | None:
            if self.table.state_of(mfn) is FrameState.OFFLINED:
                return None
            return self._unfit(mfn) or (None if roomy else Refusal.NO_FREE_MEMORY)

        return offline.atomically(self.table, mfns, judge, self._act)

    def _act(self, mfns: I64) -> None:
        pending = self.table.offlining_among(mfns)
        owners = np.array([self.table.holder_of(Mfn(mfn)) for mfn in pending.tolist()], np.int64)
        for domid in np.unique(owners).tolist():
            self.move(self.domains[DomId(domid)], pending[owners == domid])

    def _unfit(self, mfn: Mfn) -> Refusal | None:
        if self.table.use_of(mfn) is not PageUse.HVM or self.table.gfn_of(mfn) is None:
            return Refusal.NOT_OWNED_BY_HVM
        if self.table.state_of(mfn) is not FrameState.OFFLINING:
            return Refusal.NOT_OFFLINE_PENDING
        if self.table.is_broken(mfn):
            return Refusal.BROKEN  # to move it is to read it
        if self.table.references.mappers(mfn):
            return Refusal.MAPPED_ELSEWHERE
        return self._unfit_owner(self.table.holder_of(mfn))

    def _unfit_owner(self, domid: DomId) -> Refusal | None:
        domain = self.domains.get(domid)
        if domain is None:
            return Refusal.NOT_OWNED_BY_HVM
        return Refusal.DEVICE_ASSIGNED if domain.devices else None

    def _count_pending(self, mfns: Sequence[int]) -> int:
        marked = self.table.marked()
        return sum(marked.get(mfn) is FrameState.OFFLINING for mfn in set(map(Mfn, mfns)))
