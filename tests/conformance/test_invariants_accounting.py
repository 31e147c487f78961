"""State and accounting, invariants 1 to 15: no frame is lost, won, or handed out when it is gone.

What must hold is numbered as in our account of Xen. Where Xen is wrong there are two tests, one of
Xen 4.17 as it is and one of it mended, or of the 2008 design, which is the `page_…` calls.
"""

from dataclasses import replace

import numpy as np
import pytest

from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import Errno, Refusal, SysctlCommand
from agent.contract.toolstack import GuestKind, ToolOutcome
from emulator.xen.defects import MENDED, XEN_4_17, Defects, HostDown
from emulator.xen.frametable import FrameState, FrameTable, ImpossibleTransitionError
from emulator.xen.heap import Heap
from emulator.xen.layout import GuestSpec
from emulator.xen.pages import PageKind
from emulator.xen.toolstack import Toolstack
from tests.support.heap import GUEST, ZONES, buddies, frames, offlined, taken
from tests.support.hosts import FIRST, holes, host_of
from tests.support.xen import HVM_GUEST, ON_SMALL, PV_GUEST, SMALL, Xen

FREE, PV, HVM = ON_SMALL[PageKind.FREE], ON_SMALL[PageKind.PV], ON_SMALL[PageKind.HVM]
PAGES_ON_DEMAND = 4  # of the HVM guest, and not there yet


def content(xen: Xen, mfn: Mfn) -> int:
    return int(xen.host.memory.read(frames(mfn))[0])


def claimed(defects: Defects) -> FrameTable:
    """Four free frames, three of them claimed."""
    table = FrameTable(4)
    table.defects = defects
    assert table.claims.stake(DomId(1), 3, table.free)
    return table


def left_dirty(xen: Xen) -> None:
    """Two pages of a guest that is destroyed leave: one was marked before, one after."""
    xen.offline(PV)
    xen.host.destroy(xen.host.domains[PV_GUEST])
    xen.offline(PV + 1)
    xen.host.table.scrubber.rest()


def test_invariant_01_offlining_a_free_frame_takes_one_from_free_and_none_from_all() -> None:
    counts = offlined(FrameTable(16), [9]).counts
    assert (counts.free, counts.offlined, counts.frames) == (15, 1, 16)


def test_invariant_01_real_xen_answers_offlined_and_the_query_agrees(xen: Xen) -> None:
    assert (xen.offline(FREE).words, xen.query(FREE).words) == ((2,), (2,))


@pytest.mark.parametrize("count", [30, 512, 1024])
def test_invariant_02_offlined_is_never_allocated_across_merge_and_split(count: int) -> None:
    table = FrameTable(4096)
    heap, gone = Heap(table), {8, 2048, 2560, 4095}
    offlined(table, sorted(gone))
    for _ in range(3):
        lots = [taken(heap, count) for _ in range(4092 // count)]
        assert not gone & {mfn for lot in lots for mfn in lot}
        for lot in lots:
            table.release(frames(*lot))


def test_invariant_03_offlining_twice_counts_once() -> None:
    table = offlined(FrameTable(16), [9])
    once = (table.counts, buddies(table))
    offlined(table, [9])
    assert (table.counts, buddies(table)) == once


def test_invariant_04_a_frame_brought_back_is_free_once() -> None:
    table = offlined(FrameTable(16), [9])
    table.online(Mfn(9))
    table.online(Mfn(9))
    assert (table.free, buddies(table)) == (16, ZONES)


def test_invariant_04_real_xen_brings_a_page_back_once(xen: Xen) -> None:
    xen.offline(FREE)
    assert [xen.online(FREE).words, xen.online(FREE).words] == [(2,), (0,)]


def test_invariant_05_a_page_that_is_offlining_keeps_its_content_and_its_place(xen: Xen) -> None:
    before = xen.host.domains[HVM_GUEST].p2m.copy()
    xen.host.page_offline_pending([HVM])
    assert np.array_equal(xen.host.domains[HVM_GUEST].p2m, before)
    assert xen.host.guests[HVM_GUEST].verify() == 0


def test_invariant_05_the_owner_of_an_offlining_page_keeps_running(xen: Xen) -> None:
    xen.host.page_offline_pending([HVM])
    xen.host.guests[HVM_GUEST].run(1000, np.random.default_rng(8412))
    assert (
        xen.host.guests[HVM_GUEST].workload.reads + xen.host.guests[HVM_GUEST].workload.writes
        == 1000
    )


def test_invariant_06_a_frame_freed_while_offlining_is_never_handed_out() -> None:
    table = FrameTable(16)
    heap = Heap(table)
    everything = taken(heap, 16)
    offlined(table, [2])
    table.release(frames(*everything))
    assert 2 not in taken(heap, 15)


def test_invariant_07_a_cancelled_offline_lets_the_frame_be_freed_and_given_again() -> None:
    table = FrameTable(16)
    heap = Heap(table)
    everything = taken(heap, 16)
    offlined(table, [2])
    table.online(Mfn(2))
    table.release(frames(*everything))
    assert len(taken(heap, 16)) == 16


def test_invariant_08_asking_again_about_a_page_in_use_gives_the_same_word(xen: Xen) -> None:
    first = xen.offline(PV)
    once = xen.host.host
    assert (xen.offline(PV), xen.host.host) == (first, once)


def test_invariant_08_in_the_design_asking_again_changes_nothing(xen: Xen) -> None:
    first = xen.host.page_offline_pending([PV])
    again = xen.host.page_offline_pending([PV])
    assert (first.changed, again.changed, again.pages) == (True, False, first.pages)


def test_invariant_09_the_frames_of_all_states_are_all_frames_after_each_step(xen: Xen) -> None:
    totals = [xen.host.host.frames]
    for step in (xen.host.page_offline_pending, xen.host.p2m_swap, xen.host.page_online):
        step([HVM])
        totals.append(xen.host.host.frames)
    xen.host.destroy(xen.host.domains[HVM_GUEST])
    assert {*totals, xen.host.host.frames} == {xen.host.layout.frames}


def test_invariant_10_offlining_may_leave_less_than_is_claimed() -> None:
    table = claimed(XEN_4_17)
    offlined(table, [0, 1])
    assert (table.free, table.claims.outstanding) == (2, 3)


def test_invariant_10_once_mended_what_is_not_there_is_not_promised_either() -> None:
    table = claimed(MENDED)
    offlined(table, [0, 1])
    assert (table.free, table.claims.outstanding) == (2, 2)


def test_invariant_10_the_design_recalls_claims_too(xen: Xen) -> None:
    host = Xen(SMALL, MENDED).host
    free = host.host.free
    host.table.claims.stake(DomId(9), free, free)
    host.page_offline_pending([FREE])
    assert host.table.claims.outstanding == free - 1


def test_invariant_11_a_broken_frame_never_comes_back() -> None:
    table = offlined(FrameTable(16), [9])
    table.mark_broken(Mfn(9))
    with pytest.raises(ImpossibleTransitionError, match="cannot online frame 0x9: it is broken"):
        table.online(Mfn(9))
    assert (table.is_broken(Mfn(9)), table.counts.offlined, table.check()) == (True, 1, [])


def test_invariant_11_a_call_with_a_broken_frame_brings_none_back(xen: Xen) -> None:
    xen.host.page_offline_pending([FREE, FREE + 1])
    xen.host.table.mark_broken(Mfn(FREE + 1))
    with pytest.raises(ImpossibleTransitionError):
        xen.host.table.online_all(np.array([FREE, FREE + 1]))
    assert (xen.host.host.offlined, xen.host.check()) == (2, [])


def test_invariant_11_online_of_a_broken_page_takes_the_host_down(xen: Xen) -> None:
    xen.break_page(FREE)
    assert isinstance(xen.call(SysctlCommand.ONLINE, FREE), HostDown)


def test_invariant_11_once_mended_online_of_a_broken_page_is_refused_and_the_host_lives(
    mended: Xen,
) -> None:
    mended.break_page(FREE)
    reply = mended.online(FREE)
    assert (reply.errno, reply.words) == (Errno.EINVAL, (0x2008,))
    assert mended.query(FREE).words == (0x12,)


def test_invariant_11_the_design_refuses_to_bring_a_broken_page_back(mended: Xen) -> None:
    mended.break_page(FREE)
    reply = mended.host.page_online([FREE, FREE + 1])
    assert [page.refusal for page in reply.pages] == [Refusal.BROKEN, Refusal.PEER_FAILED]


def test_invariant_12_a_broken_page_is_never_scrubbed(xen: Xen) -> None:
    """Neither by an idle CPU nor on the way back, and neither before nor after its owner goes."""
    xen.break_page(PV)
    left = content(xen, PV)
    xen.host.destroy(xen.host.domains[PV_GUEST])
    xen.host.table.scrubber.rest()
    xen.host.page_online([PV])
    assert content(xen, PV) == left != 0


def test_invariant_12_a_dirty_page_that_breaks_is_not_scrubbed_any_more(xen: Xen) -> None:
    xen.host.destroy(xen.host.domains[PV_GUEST])
    left = content(xen, PV)
    xen.break_page(PV)
    xen.host.table.scrubber.rest()
    assert content(xen, PV) == left != 0


def test_invariant_12_a_swap_refuses_a_broken_page(mended: Xen) -> None:
    mended.break_page(HVM)
    mended.host.page_offline_pending([HVM + 1])
    reply = mended.host.p2m_swap([HVM, HVM + 1])
    assert [page.refusal for page in reply.pages] == [Refusal.BROKEN, Refusal.PEER_FAILED]


def test_invariant_12_an_exchange_blames_a_broken_page(mended: Xen) -> None:
    mended.break_page(HVM)
    mended.host.page_offline_pending([HVM + 1])
    tools = Toolstack(mended.host)
    tools.suspend(HVM_GUEST)
    reply = tools.exchange(HVM_GUEST, [HVM, HVM + 1])
    assert (reply.outcome, reply.blamed) == (ToolOutcome.REFUSED, (HVM,))


@pytest.mark.parametrize("way", ["save", "migrate"])
def test_invariant_12_a_broken_page_does_not_travel_and_its_guest_notices(
    mended: Xen, way: str
) -> None:
    """The stream announces it and carries no data, and who takes the guest in does not fill it."""
    gfn = mended.host.table.gfn_of(HVM)
    mended.break_page(HVM)
    tools = Toolstack(mended.host)
    if way == "save":
        tools.save(HVM_GUEST, "image")
        born = tools.restore("image").domid
    else:
        born = tools.migrate(HVM_GUEST).domid
    guest = mended.host.guests[DomId(born or 0)]
    there = holes(guest.domain)
    assert (gfn in there, len(there), guest.verify()) == (True, 1 + PAGES_ON_DEMAND, 1)


def test_invariant_12_a_guest_whose_page_table_is_broken_cannot_be_saved(mended: Xen) -> None:
    mended.break_page(ON_SMALL[PageKind.PAGE_TABLE])
    reply = Toolstack(mended.host).save(PV_GUEST, "image")
    assert (reply.outcome, PV_GUEST in mended.host.domains) == (ToolOutcome.REFUSED, True)


def test_invariant_12_a_broken_page_that_is_shared_is_not_copied_for_who_writes() -> None:
    host = host_of(GuestSpec("one", GuestKind.HVM, 64, cow_pages=4), frames=256)
    guest, (broken, *_) = host.guests[FIRST], host.sharing.frames.tolist()
    host.table.mark_broken(Mfn(broken))
    host.touch(guest.domain, np.arange(64), writing=True)
    assert guest.domain.p2m[guest.domain.is_shared].tolist() == [broken]


def test_invariant_12_a_broken_page_is_given_to_nobody(mended: Xen) -> None:
    mended.break_page(HVM)
    assert not mended.host.transfer(HVM, mended.host.domains[PV_GUEST])


def test_invariant_13_a_page_is_scrubbed_when_it_is_brought_back(xen: Xen) -> None:
    xen.host.page_offline_pending([HVM])
    xen.host.destroy(xen.host.domains[HVM_GUEST])
    left = xen.host.memory.read(np.array([HVM])).tolist()
    xen.host.page_online([HVM])
    assert left != xen.host.memory.read(np.array([HVM])).tolist() == [0]


def test_invariant_13_a_page_that_only_was_pending_is_not_scrubbed(xen: Xen) -> None:
    xen.host.page_offline_pending([HVM])
    xen.host.page_online([HVM])
    assert xen.host.guests[HVM_GUEST].verify() == 0


@pytest.mark.parametrize(("leaves", "is_scrubbed"), [(True, False), (False, True)])
def test_invariant_13_real_xen_brings_a_page_back_with_what_was_in_it(
    leaves: bool, is_scrubbed: bool
) -> None:
    xen = Xen(SMALL, replace(XEN_4_17, online_leaves_content=leaves))
    xen.offline(PV)
    xen.host.destroy(xen.host.domains[PV_GUEST])
    xen.online(PV)
    assert (content(xen, PV) == 0) == is_scrubbed


def test_invariant_14_pages_offlined_while_dirty_keep_a_cpu_busy_for_ever(xen: Xen) -> None:
    """Before it left, one was pending and one was free; both count."""
    left_dirty(xen)
    assert (xen.host.table.scrubber.unscrubbed, xen.host.table.scrubber.busy_nodes()) == ((2,), [0])


def test_invariant_14_once_mended_all_cpus_halt_in_the_end(mended: Xen) -> None:
    left_dirty(mended)
    assert mended.host.table.scrubber.busy_nodes() == []


def test_invariant_15_freeing_an_offlined_frame_is_a_bug_and_leaves_the_lists_alone() -> None:
    table = offlined(FrameTable(16), [9])
    with pytest.raises(ImpossibleTransitionError, match="cannot free frame 0x9: it is offlined"):
        table.release(frames(9))
    assert table.check() == []


def test_invariant_15_a_double_free_is_a_bug() -> None:
    with pytest.raises(ImpossibleTransitionError, match="cannot free frame 0x9: it is free"):
        FrameTable(16).release(frames(9))


def test_invariant_15_freeing_a_broken_frame_that_was_not_marked_is_a_bug() -> None:
    table = FrameTable(16)
    table.allocate(frames(9), GUEST)
    table.mark_broken(Mfn(9))
    with pytest.raises(ImpossibleTransitionError, match="cannot free frame 0x9: it is broken"):
        table.release(frames(9))
    assert table.state_of(Mfn(9)) is FrameState.IN_USE
