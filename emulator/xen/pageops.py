"""One page at a time, as Xen 4.17 does it: offline, online, query.

Xen marks first and asks afterwards whose page it was, so a page that nobody owns is answered FAILED
and is OFFLINING all the same. The order of the checks is Xen's: a frame-table entry, the image,
RAM, a broken page that has an owner; then the mark; then, if the page did not leave at once, whose
it is.

    offline   free → OFFLINED        in use → OFFLINING        broken and owned → the owner crashes
    online    OFFLINED → free        OFFLINING → in use        broken → refused, and D1
"""

from dataclasses import dataclass

import numpy as np

from agent.contract.frames import DOM0, DomId, Mfn
from agent.contract.hypercall import Errno
from agent.contract.toolstack import GuestKind
from emulator.xen.defects import Down, HostDown, PodLocks
from emulator.xen.frametable import FrameState
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.pages import ROWS, PageKind, Row
from emulator.xen.words import NO_FLAGS, NOBODY, Offline, Online, Query, Word


@dataclass(frozen=True, slots=True)
class Answer:
    """One page's word and error. `word` None: Xen does not write that slot."""

    word: int | None = None
    errno: Errno | None = None


QUERIED: dict[FrameState, Query] = {
    FrameState.FREE: Query(0),
    FrameState.IN_USE: Query(0),
    FrameState.OFFLINING: Query.PENDING,
    FrameState.OFFLINED: Query.OFFLINED,
}


class PageOps:
    """The three operations on the pages of one host."""

    def __init__(self, host: Hypervisor) -> None:
        self._host = host
        self._table = host.table
        self._defects = host.defects
        self._pod_locks = PodLocks()

    def offline(self, mfn: Mfn, cpu: int, *, broken: bool = False) -> Answer | HostDown:
        """Called on physical CPU `cpu`. `broken` is how the machine-check handler asks."""
        row = ROWS[self._table.kind_of(mfn)]
        if row.errno is not None:
            return Answer(row.word(NOBODY), row.errno)
        if self._table.is_broken(mfn):
            paid = self._paid_for(mfn, row)
            if paid is not None:
                return paid
        if broken:
            self._table.mark_broken(mfn)
        extra = Offline.BROKEN if broken else NO_FLAGS
        self._host.take_out(np.array([mfn], np.int64))
        if self._table.state_of(mfn) is FrameState.OFFLINED:
            return Answer(Word(Offline.OFFLINED | extra).encode())
        return self._pending(mfn, row, cpu, extra)

    def online(self, mfn: Mfn) -> Answer | HostDown:
        """Xen does not look whether it is RAM: a hole is answered like a page in use."""
        if self._table.kind_of(mfn) is PageKind.ABSENT:
            return Answer(errno=Errno.EINVAL)
        state = self._table.state_of(mfn)
        if self._table.is_broken(mfn):
            return self._online_broken(mfn, state)
        if state in (FrameState.FREE, FrameState.IN_USE):
            return Answer(Online(0))
        if state is FrameState.OFFLINED and not self._defects.online_leaves_content:
            self._host.memory.scrub(mfn)
        self._table.online(mfn)
        return Answer(Online.ONLINED)

    def query(self, mfn: Mfn) -> Answer:
        if self._table.kind_of(mfn) in (PageKind.ABSENT, PageKind.NOT_RAM):
            return Answer(errno=Errno.EINVAL)
        broken = Query.BROKEN if self._table.is_broken(mfn) else Query(0)
        return Answer(QUERIED[self._table.state_of(mfn)] | broken)

    def _pending(self, mfn: Mfn, row: Row, cpu: int, extra: Offline) -> Answer | HostDown:
        """The page is OFFLINING by now, whatever is answered."""
        holder = self._table.holder_of(mfn)
        if self._spins(row, holder, cpu):
            why = f"CPU {cpu} spins for the populate-on-demand lock of domain {holder}"
            return HostDown(Down.HUNG, why)
        return Answer(row.word(holder, extra))

    def _spins(self, row: Row, holder: DomId, cpu: int) -> bool:
        """D7. Only a real domain has such a lock, and an HVM guest's is initialised."""
        is_domains = row.has_owner and row.owner is None
        if not (self._defects.pod_lock_hangs and is_domains and self._is_pv(holder)):
            return False
        return not self._pod_locks.take(holder, cpu)

    def _is_pv(self, domid: DomId) -> bool:
        return domid == DOM0 or self._host.there_is(domid).kind is GuestKind.PV

    def _paid_for(self, mfn: Mfn, row: Row) -> Answer | HostDown | None:
        """What comes of asking about a broken page again; None if it has no owner to pay, and does
        not look as if it had one (D13).
        """
        if self._table.reads_as_owned(mfn):
            why = f"Xen BUG at common/domain.c:92: page {mfn:#x} has an order for an owner"
            return HostDown(Down.CRASHED, why)
        return self._again(mfn) if row.has_owner else None

    def _again(self, mfn: Mfn) -> Answer | HostDown:
        """D8: a broken page is asked about while it has an owner, and the owner pays."""
        again = Answer(Word(Offline.AGAIN).encode())
        row, holder = ROWS[self._table.kind_of(mfn)], self._table.holder_of(mfn)
        if not self._defects.again_crashes_owner or row.owner is not None:
            return again
        if holder == DOM0:
            return HostDown(Down.CRASHED, f"dom0 was crashed: its page {mfn:#x} is broken")
        self._host.crash(holder)
        return again

    def _online_broken(self, mfn: Mfn, state: FrameState) -> Answer | HostDown:
        """D1: the refusal is noted, and the page then freed in spite of it."""
        if state is FrameState.OFFLINED and self._defects.online_of_broken_panics:
            why = f"Xen BUG at common/page_alloc.c: page {mfn:#x} is broken and was freed"
            return HostDown(Down.CRASHED, why)
        return Answer(Online.FAILED | Online.BROKEN, Errno.EINVAL)
