"""A host of the 2008 design, asked anything in any order: its calls about pages are atomic."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import rule

from agent.contract.frames import Mfn
from agent.contract.hypercall import PagesReply, PageStatus, Refusal
from emulator.xen.defects import MENDED
from emulator.xen.frametable import FrameState
from tests.property.host_machine.rules import CALLS, GFNS, MFNS, NTH, OF_NOTE, HostMachine
from tests.property.host_machine.small import FRAMES
from tests.support.effort import thorough

STATUS = {
    None: PageStatus.ONLINE,
    FrameState.OFFLINING: PageStatus.OFFLINE_PENDING,
    FrameState.OFFLINED: PageStatus.OFFLINED,
}


class HostAsIn2008(HostMachine):
    defects = MENDED

    @rule(mfns=CALLS)
    def offline(self, mfns: list[int]) -> None:
        before = self.marked()
        if self.judge(before, self.host.page_offline_pending(mfns)):
            self.taken_out |= set(mfns)

    @rule(mfns=CALLS)
    def online(self, mfns: list[int]) -> None:
        before = self.marked()
        if self.judge(before, self.host.page_online(mfns)):
            self.taken_out -= set(mfns)

    @rule(mfns=CALLS)
    def query(self, mfns: list[int]) -> None:
        before = self.marked()
        reply = self.host.page_query(mfns)
        assert not reply.changed
        assert self.marked() == before
        for page in reply.pages:
            if page.refusal is None:
                assert page.status is STATUS[before.get(Mfn(page.mfn))]
                assert page.use is self.host.table.use_of(Mfn(page.mfn))

    @rule(nth=OF_NOTE, is_online=st.booleans())
    def change_one_of_note(self, nth: int, *, is_online: bool) -> None:
        mfns = [self.nth_of_note(nth)]
        if is_online:
            self.online(mfns)
        else:
            self.offline(mfns)

    @rule(mfns=CALLS)
    def swap_any(self, mfns: list[int]) -> None:
        before = self.marked()
        self.judge(before, self.host.p2m_swap(mfns))

    @rule(nth=OF_NOTE)
    def swap_one_of_note(self, nth: int) -> None:
        mfns = [self.nth_of_note(nth)]
        self.offline(mfns)
        self.swap_any(mfns)

    @rule(nth=NTH, gfns=GFNS)
    def swap_by_the_book(self, nth: int, gfns: set[int]) -> None:
        """The guest goes on running meanwhile."""
        domain = self.nth(nth)
        if domain is not None:
            mfns = self.take_out_of(domain, gfns)
            must_move = self.nothing_hinders(domain, mfns) and domain.tables is None
            before = self.marked()
            is_done = self.judge(before, self.host.p2m_swap(mfns))
            assert is_done or not must_move
            assert not (is_done and np.isin(mfns, domain.p2m).any())
            self.run_guests(20)

    @rule(mfn=MFNS)
    def uncorrected_error(self, mfn: int) -> None:
        """The page is taken out if it can be, and never comes back."""
        self.note_broken(mfn)
        self.offline([mfn])
        if mfn in self.taken_out:
            self.host.table.mark_broken(Mfn(mfn))

    @rule(free=st.integers(0, 300))
    def crowd(self, free: int) -> None:
        """Offline free pages until only `free` are left: then nothing has much room to move."""
        frames = self.host.table.free_within(0, FRAMES).tolist()
        if len(frames) > free:
            self.offline(frames[free:])

    @rule()
    def bring_all_back(self) -> None:
        marked = [mfn for mfn in self.host.offlined() if not self.host.table.is_broken(mfn)]
        if marked:
            self.online(list(marked))
            assert not self.taken_out.intersection(marked)

    def take_out(self, mfns: Sequence[int]) -> None:
        self.offline(list(mfns))

    def judge(self, before: dict[Mfn, FrameState], reply: PagesReply) -> bool:
        """Whether it was done. A call with one refused page refuses all and changes none."""
        refusals: list[Refusal | None] = [page.refusal for page in reply.pages]
        assert all(refusals) or not any(refusals)
        assert set(refusals) != {Refusal.PEER_FAILED}
        assert reply.changed == (self.marked() != before)
        assert not (reply.changed and any(refusals))
        return not any(refusals)


TestHostAsIn2008 = HostAsIn2008.TestCase
TestHostAsIn2008.settings = thorough()
