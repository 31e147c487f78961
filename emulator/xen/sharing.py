"""Content sharing: guests whose pages hold the same share one frame, until one of them writes.

The frame is owned by nobody who could be asked (DOMID_COW), has no M2P entry, and is freed when
the last guest has left it. Whoever writes gets a frame of its own first, with the same content.
"""

from collections import Counter

import numpy as np

from agent.contract.columns import I64
from emulator.machine.content import Content
from emulator.xen.domains import Domain
from emulator.xen.frametable import FrameTable, Tenant
from emulator.xen.heap import Heap, Take
from emulator.xen.pages import PageKind


class Sharing:
    """All shared frames of one host, and how many pages each stands behind."""

    def __init__(self, table: FrameTable, heap: Heap, memory: Content) -> None:
        self._table = table
        self._heap = heap
        self._memory = memory
        self._pages: Counter[int] = Counter()

    @property
    def frames(self) -> I64:
        return np.array(sorted(self._pages), np.int64)

    def share(self, domain: Domain, gfns: I64, take: Take) -> bool:
        """Put shared frames, all zero, behind these pages, which have none; False without room.

        Those that are to leave the host are not given to anybody else.
        """
        there = self.frames[~np.isin(self.frames, self._table.offlining_among(self.frames))]
        there = there[: len(gfns)]
        new = take(len(gfns) - len(there), Tenant(PageKind.COW))
        if new is None:
            return False
        self._memory.scrub(new)
        domain.p2m[gfns] = np.concatenate([there, new])
        domain.is_shared[gfns] = True
        self._pages.update(domain.p2m[gfns].tolist())
        return True

    def leave(self, mfns: I64) -> None:
        """One page fewer stands before each of these; what nobody has any more is freed."""
        self._pages.subtract(mfns.tolist())
        left = [mfn for mfn in mfns.tolist() if not self._pages[mfn]]
        for mfn in left:
            del self._pages[mfn]
        self._table.release(np.array(left, np.int64))

    def unshare(self, domain: Domain, gfns: I64) -> I64:
        """The domain is about to write to these pages: which of them have frames of their own now.

        Without room for all of them none has, and the write is a fault; so it is to a page that is
        broken, which nobody copies.
        """
        shared = np.unique(gfns[domain.is_shared[gfns]])
        shared = shared[self._table.are_whole(domain.p2m[shared])]
        if not len(shared):
            return shared
        new = self._heap.take(len(shared), domain.tenant)
        if new is None:
            return shared[:0]
        old = domain.p2m[shared]
        self._memory.copy(old, new)
        domain.p2m[shared] = new
        domain.is_shared[shared] = False
        self._table.map(new, shared)
        self.leave(old)
        return shared
