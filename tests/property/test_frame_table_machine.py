"""Whatever is asked of the hypervisor and its toolstack, in any order, the host holds together.

The rules are the calls that an agent or an operator may make, with good and bad arguments;
resuming is by the slow path, as the agent does it. After each of them the world itself is looked
at.
"""

from collections.abc import Sequence

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PagesReply, Refusal
from agent.contract.toolstack import GuestKind, ToolOutcome
from emulator.machine.memory import Memory
from emulator.xen.frametable import FrameState
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import GuestSpec, Layout
from emulator.xen.toolstack import Toolstack

FRAMES = 2048
GUESTS = (
    GuestSpec("web", GuestKind.HVM, 256),
    GuestSpec("db", GuestKind.PV, 256, at=(Mfn(0), Mfn(FRAMES - 1))),
    GuestSpec("mail", GuestKind.PV, 128, working_set_pages=32),
)
TENANTS = 32 + 64

# Mostly near the guests at the bottom of the host, sometimes anywhere, now and then beyond its end.
MFNS = st.one_of(
    st.integers(90, 700), st.integers(0, FRAMES - 1), st.sampled_from([FRAMES, 1 << 31])
)
CALLS = st.lists(MFNS, min_size=1, max_size=12)
DOMIDS = st.integers(0, 6)
IMAGES = st.sampled_from(["a", "b", "c"])


class Host(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 1 << 32))
    def build(self, seed: int) -> None:
        self.host = Hypervisor(Layout(FRAMES, 32, 64, GUESTS, nodes=2), Memory(FRAMES))
        self.toolstack = Toolstack(self.host)
        self.rng = np.random.default_rng(seed)
        self.taken_out: set[Mfn] = set()

    @rule(mfns=CALLS)
    def offline(self, mfns: list[int]) -> None:
        before = self._states()
        if self._judge(before, self.host.page_offline_pending(mfns)):
            self.taken_out |= set(map(Mfn, mfns))

    @rule(mfns=CALLS)
    def online(self, mfns: list[int]) -> None:
        before = self._states()
        if self._judge(before, self.host.page_online(mfns)):
            self.taken_out -= set(map(Mfn, mfns))

    @rule(mfns=CALLS)
    def query(self, mfns: list[int]) -> None:
        before = self._states()
        self.host.page_query(mfns)
        assert self._states() == before

    @rule(mfns=CALLS)
    def swap_any(self, mfns: list[int]) -> None:
        before = self._states()
        self._judge(before, self.host.p2m_swap(mfns))

    @rule()
    def swap_what_is_pending(self) -> None:
        for domain in self.host.domains.values():
            if domain.kind is GuestKind.HVM and (mfns := self._pending_of(domain.domid)):
                self.host.p2m_swap(mfns)
                assert self._pending_of(domain.domid) in ([], mfns)

    @rule(domid=DOMIDS)
    def suspend(self, domid: int) -> None:
        self.toolstack.suspend(domid)

    @rule(domid=DOMIDS)
    def resume(self, domid: int) -> None:
        self.toolstack.resume(domid)

    @rule(domid=DOMIDS, mfns=CALLS)
    def exchange_any(self, domid: int, mfns: list[int]) -> None:
        before = self._states()
        if self.toolstack.exchange(domid, mfns).outcome is not ToolOutcome.DONE:
            assert self._states() == before

    @rule(domid=DOMIDS)
    def exchange_what_is_pending(self, domid: int) -> None:
        mfns = self._pending_of(domid)
        if mfns and self.toolstack.exchange(domid, mfns).outcome is ToolOutcome.DONE:
            assert self._pending_of(domid) == []

    @rule(nth=st.integers(0, 9), gfns=st.sets(st.integers(0, 127), min_size=1, max_size=12))
    def exchange_by_the_book(self, nth: int, gfns: set[int]) -> None:
        """What an agent does, in its order; the other rules do the same out of order."""
        living = list(self.host.domains.values())
        if living:
            domain = living[nth % len(living)]
            self.offline(domain.p2m[list(gfns)].tolist())
            self.suspend(domain.domid)
            self.exchange_what_is_pending(domain.domid)
            self.resume(domain.domid)

    @rule(domid=DOMIDS, image=IMAGES)
    def save(self, domid: int, image: str) -> None:
        self.toolstack.save(domid, image)

    @rule(image=IMAGES)
    def restore(self, image: str) -> None:
        self.toolstack.restore(image)

    @rule(free=st.integers(0, 300))
    def crowd(self, free: int) -> None:
        """Offline free pages until only `free` are left: then nothing has much room to move."""
        frames = self.host.table.free_within(0, FRAMES).tolist()
        if len(frames) > free:
            self.offline(frames[free:])

    @rule()
    def bring_all_back(self) -> None:
        if marked := self.host.offlined():
            self.online(list(marked))
        assert self.host.offlined() == []

    @rule(accesses=st.integers(0, 2000))
    def run_guests(self, accesses: int) -> None:
        for guest in self.host.guests.values():
            guest.run(accesses, self.rng)

    @invariant()
    def what_was_taken_out_stays_out_until_it_is_brought_back(self) -> None:
        assert set(self.host.offlined()) == self.taken_out

    @invariant()
    def no_frame_is_lost_or_won(self) -> None:
        counts = self.host.host
        tenants = TENANTS + sum(len(domain.p2m) for domain in self.host.domains.values())
        assert counts.frames == FRAMES
        assert counts.in_use + counts.offlining == tenants

    @invariant()
    def the_m2p_undoes_the_p2m_and_no_offlined_frame_is_owned(self) -> None:
        assert self.host.check() == []

    @invariant()
    def no_guest_is_corrupted(self) -> None:
        for guest in self.host.guests.values():
            assert (guest.workload.corruptions, guest.verify()) == (0, 0)

    def _states(self) -> dict[Mfn, FrameState]:
        """The frames that are marked; free and used ones are counted by the invariants."""
        return self.host.table.marked()

    def _pending_of(self, domid: int) -> list[Mfn]:
        return [
            mfn
            for mfn, state in self._states().items()
            if state is FrameState.OFFLINING and self.host.table.owner_of(mfn) == DomId(domid)
        ]

    def _judge(self, before: dict[Mfn, FrameState], reply: PagesReply) -> bool:
        """Whether it was done. A call with one refused page refuses all and changes none."""
        refusals: Sequence[Refusal | None] = [page.refusal for page in reply.pages]
        assert all(refusals) or not any(refusals)
        assert reply.changed == (self._states() != before)
        assert not (reply.changed and any(refusals))
        return not any(refusals)


TestHost = Host.TestCase
TestHost.settings = settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
