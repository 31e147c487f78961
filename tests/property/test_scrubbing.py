"""Scrubbing against the plainest account of it: a set of dirty pages, and what each page holds.

Whatever comes and goes, nobody finds what somebody else left, and no page that left is touched. Of
the two numbers that a node may show, Xen's counts what left while dirty for ever.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agent.contract.columns import I64
from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PageUse
from emulator.machine.content import Content
from emulator.xen import scrub
from emulator.xen.defects import MENDED, XEN_4_17, Defects
from emulator.xen.frametable import FrameState, FrameTable, Tenant
from emulator.xen.heap import Heap

FRAMES, NODES = 48, 3
# Some frames in a row, every one, every second or every third of them.
PICKS = st.builds(
    range, st.integers(0, FRAMES // 2), st.integers(FRAMES // 2 + 1, FRAMES), st.integers(1, 3)
).map(list)


@pytest.fixture(autouse=True, scope="module")
def _small_portions() -> Iterator[None]:
    """So that a scrub is often half-way through one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scrub, "PORTION", 5)
        yield


class Scrubbing(RuleBasedStateMachine):
    @initialize(defects=st.sampled_from([MENDED, XEN_4_17]))
    def build(self, defects: Defects) -> None:
        self.memory = Content(FRAMES)
        self.table = FrameTable(FRAMES, NODES, self.memory.scrub)
        self.table.defects = defects
        self.heap = Heap(self.table)
        self.dirty: set[int] = set()
        self.left_dirty: Counter[int] = Counter()
        self.frozen: dict[int, int] = {}
        self.next_word = 1

    @rule(count=st.integers(1, 30), node=st.integers(0, NODES - 1), is_guest=st.booleans())
    def come(self, count: int, node: int, is_guest: bool) -> None:
        tenant = Tenant(PageUse.HVM, DomId(1)) if is_guest else Tenant(PageUse.XEN_HEAP)
        mfns = self.heap.take(count, tenant, node)
        if mfns is None:
            return
        found = {mfn for mfn in mfns.tolist() if mfn in self.dirty}
        assert not self.memory.read(np.array(sorted(found), np.int64)).any()
        self.dirty -= found
        self.memory.write(mfns, np.full(len(mfns), self.next_word, np.uint64))
        self.next_word += 1

    @rule(picks=PICKS)
    def go(self, picks: list[int]) -> None:
        mfns = self._in(picks, FrameState.IN_USE, FrameState.OFFLINING)
        guests = {mfn for mfn in mfns.tolist() if self.table.holder_of(mfn)}
        leaving = set(self._in(mfns.tolist(), FrameState.OFFLINING).tolist())
        self.table.release(mfns)
        self.dirty |= guests - leaving
        self._leave(leaving, dirty=guests & leaving)

    @rule(picks=PICKS)
    def offline(self, picks: list[int]) -> None:
        free = set(self._in(picks, FrameState.FREE).tolist())
        self.table.offline_all(np.array(picks, np.int64))
        self._leave(free, dirty=free & self.dirty)
        self.dirty -= free

    @rule(picks=PICKS)
    def online(self, picks: list[int]) -> None:
        self.table.online_all(np.array(picks, np.int64))
        for mfn in picks:
            self.frozen.pop(mfn, None)

    @rule(pages=st.integers(1, 12))
    def idle(self, pages: int) -> None:
        self.table.scrubber.idle(pages)
        self.dirty = {mfn for mfn in self.dirty if self._word(mfn)}

    @rule()
    def rest(self) -> None:
        self.table.scrubber.rest()
        assert not any(self._word(mfn) for mfn in self.dirty)
        self.dirty = set()

    @invariant()
    def what_left_holds_what_it_held(self) -> None:
        assert {mfn: self._word(mfn) for mfn in self.frozen} == self.frozen

    @invariant()
    def each_node_counts_its_dirty_pages(self) -> None:
        wanted = Counter(mfn // (FRAMES // NODES) for mfn in self.dirty)
        if self.table.defects.offlined_stay_unscrubbed:
            wanted += self.left_dirty
        assert self.table.scrubber.unscrubbed == tuple(wanted[node] for node in range(NODES))

    @invariant()
    def the_bookkeeping_holds(self) -> None:
        assert self.table.check() == []

    def _leave(self, mfns: set[int], dirty: set[int]) -> None:
        self.frozen |= {mfn: self._word(mfn) for mfn in mfns}
        self.left_dirty.update(mfn // (FRAMES // NODES) for mfn in dirty)

    def _in(self, picks: list[int], *states: FrameState) -> I64:
        return np.array([m for m in picks if self.table.state_of(Mfn(m)) in states], np.int64)

    def _word(self, mfn: int) -> int:
        return int(self.memory.read(np.array([mfn]))[0])


TestScrubbing = Scrubbing.TestCase
TestScrubbing.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
