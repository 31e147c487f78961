"""The heap: superpages first, the frames one names, and never one that is going or gone.

A host of 16 frames begins as buddies 0:1, 2:1, 4:2 and 8:3, one a zone.
"""

from collections.abc import Sequence

import numpy as np
import pytest

from agent.contract.columns import I64
from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PageUse
from emulator.xen import freelists
from emulator.xen.frametable import FrameTable, ImpossibleTransitionError, Tenant
from emulator.xen.heap import Heap

GUEST = Tenant(PageUse.HVM, DomId(1))
ZONES = [(0, 1), (2, 1), (4, 2), (8, 3)]


def frames(*mfns: int) -> I64:
    return np.array(mfns, np.int64)


def taken(heap: Heap, count: int, node: int = 0) -> list[int]:
    mfns = heap.take(count, GUEST, node)
    assert mfns is not None
    return list(map(int, mfns))


def buddies(table: FrameTable) -> list[tuple[int, int]]:
    listed = table.lists.buddies()
    return sorted(zip(listed.heads.tolist(), listed.orders.tolist(), strict=True))


def offlined(table: FrameTable, mfns: Sequence[int]) -> FrameTable:
    table.offline_all(frames(*mfns))
    return table


def test_a_host_begins_as_its_largest_buddies() -> None:
    assert buddies(FrameTable(16)) == ZONES


def test_a_host_of_1_tib_begins_as_few_buddies() -> None:
    assert len(buddies(FrameTable(268_435_456))) == 1041


def test_frames_come_from_the_highest_zone_first() -> None:
    assert taken(Heap(FrameTable(16)), 9) == [4, 8, 9, 10, 11, 12, 13, 14, 15]


def test_a_small_buddy_is_used_up_before_a_large_one_is_split() -> None:
    table = FrameTable(64)
    table.allocate(frames(*range(32, 40), 41), GUEST)
    assert taken(Heap(table), 3) == [40, 42, 43]


def test_what_was_freed_last_is_given_first() -> None:
    table = FrameTable(16)
    heap = Heap(table)
    table.release(frames(*taken(heap, 8)[2:3]))
    assert taken(heap, 1) == [10]


def test_a_domain_gets_superpages_while_there_are_some() -> None:
    """1,030 pages: two of 512 that are aligned, and 6 single ones beside them."""
    table = FrameTable(4096)
    table.allocate(frames(2048), GUEST)
    mfns = frames(*taken(Heap(table), 1030))
    superpages = mfns[:1024].reshape(2, 512)
    assert (superpages == superpages[:, :1] + np.arange(512)).all()
    assert (superpages[:, 0] % 512 == 0).all()
    assert mfns[1024:].tolist() == [2049, 2050, 2051, 2052, 2053, 2054]


def test_a_domain_gets_single_pages_where_no_superpage_is_left() -> None:
    table = offlined(FrameTable(2048), range(0, 2048, 256))
    assert len(set(taken(Heap(table), 2040))) == 2040


def test_a_node_is_served_from_its_own_memory_first() -> None:
    assert taken(Heap(FrameTable(64, nodes=2)), 34, node=0)[:32] != list(range(32, 64))
    assert sorted(taken(Heap(FrameTable(64, nodes=2)), 34, node=1))[2:] == list(range(32, 64))


def test_no_buddy_spans_two_nodes() -> None:
    table = FrameTable(96, nodes=2)
    table.release(frames(*taken(Heap(table), 96)))
    assert buddies(table) == [*ZONES, (16, 4), (32, 4), (48, 4), (64, 5)]


def test_too_little_memory_is_none() -> None:
    assert Heap(offlined(FrameTable(16), [2])).take(16, GUEST) is None


def test_too_little_memory_changes_nothing() -> None:
    table = FrameTable(16)
    Heap(table).take(17, GUEST)
    Heap(table).take_lowest(17, GUEST)
    assert (table.free, table.check()) == (16, [])


def test_nothing_can_be_asked_for() -> None:
    assert taken(Heap(FrameTable(16)), 0) == []


def test_the_lowest_frames_are_those_that_are_free() -> None:
    table = offlined(FrameTable(16), [1, 3])
    mfns = Heap(table).take_lowest(5, GUEST)
    assert mfns is not None
    assert mfns.tolist() == [0, 2, 4, 5, 6]


def test_named_frames_are_the_ones_given() -> None:
    table = FrameTable(16)
    Heap(table).take_at(frames(9, 3), GUEST)
    assert [table.owner_of(Mfn(mfn)) for mfn in (3, 9)] == [1, 1]


def test_named_frames_are_all_given_or_none() -> None:
    table = offlined(FrameTable(16), [3])
    refused = Heap(table).take_at(frames(9, 3), GUEST)
    assert (refused, table.free) == (None, 15)


def test_inv_01_offlining_a_free_frame_takes_one_from_free_and_none_from_all() -> None:
    counts = offlined(FrameTable(16), [9]).counts
    assert (counts.free, counts.offlined, counts.frames) == (15, 1, 16)


@pytest.mark.parametrize("count", [30, 512, 1024])
def test_inv_02_offlined_is_never_allocated_across_merge_and_split(count: int) -> None:
    table = FrameTable(4096)
    heap, gone = Heap(table), {8, 2048, 2560, 4095}
    offlined(table, sorted(gone))
    for _ in range(3):
        lots = [taken(heap, count) for _ in range(4092 // count)]
        assert not gone & {mfn for lot in lots for mfn in lot}
        for lot in lots:
            table.release(frames(*lot))


def test_inv_03_offlining_twice_counts_once() -> None:
    table = offlined(FrameTable(16), [9])
    once = (table.counts, buddies(table))
    offlined(table, [9])
    assert (table.counts, buddies(table)) == once


def test_inv_04_a_frame_brought_back_is_free_once() -> None:
    table = offlined(FrameTable(16), [9])
    table.online(Mfn(9))
    table.online(Mfn(9))
    assert (table.free, buddies(table)) == (16, ZONES)


def test_inv_06_a_frame_freed_while_offlining_is_never_handed_out() -> None:
    table = FrameTable(16)
    heap = Heap(table)
    everything = taken(heap, 16)
    offlined(table, [2])
    table.release(frames(*everything))
    assert 2 not in taken(heap, 15)


def test_inv_07_a_cancelled_offline_lets_the_frame_be_freed_and_given_again() -> None:
    table = FrameTable(16)
    heap = Heap(table)
    everything = taken(heap, 16)
    offlined(table, [2])
    table.online(Mfn(2))
    table.release(frames(*everything))
    assert len(taken(heap, 16)) == 16


def test_inv_11_a_broken_frame_never_comes_back() -> None:
    table = offlined(FrameTable(16), [9])
    table.mark_broken(Mfn(9))
    with pytest.raises(ImpossibleTransitionError, match="cannot online frame 0x9: it is broken"):
        table.online(Mfn(9))
    assert (table.is_broken(Mfn(9)), table.counts.offlined, table.check()) == (True, 1, [])


def test_inv_15_freeing_an_offlined_frame_is_a_bug_and_leaves_the_lists_alone() -> None:
    table = offlined(FrameTable(16), [9])
    with pytest.raises(ImpossibleTransitionError, match="cannot free frame 0x9: it is offlined"):
        table.release(frames(9))
    assert table.check() == []


@pytest.mark.parametrize("order", range(11))
def test_inv_17_offlining_any_frame_of_a_buddy_delivers_no_frame_twice(order: int) -> None:
    size = 1 << order
    for mfn in range(size, 2 * size, max(size // 64, 1)):
        table = offlined(FrameTable(2 * size), [mfn])
        mfns = taken(Heap(table), 2 * size - 1)
        assert sorted({*mfns, mfn}) == list(range(2 * size))
        table.release(frames(*mfns))
        assert table.check() == []


def test_inv_18_600_frames_offlined_and_brought_back_leave_memory_whole() -> None:
    """Xen 4.17 hands a frame out twice here, and panics."""
    table = FrameTable(1 << 15)
    heap, whole = Heap(table), buddies(table)
    mfns = np.random.default_rng(8412).choice(1 << 15, 600, replace=False)
    for mfn in map(Mfn, mfns.tolist()):
        table.offline(mfn)
        table.online(mfn)
    for _ in range(3):
        table.release(frames(*taken(heap, 1 << 15)))
    assert (buddies(table), table.check()) == (whole, [])


@pytest.mark.parametrize(
    ("holes", "stays"),
    [
        ([8], [(9, 0), (10, 1), (12, 2)]),
        ([15], [(8, 2), (12, 1), (14, 0)]),
        ([11], [(8, 1), (10, 0), (12, 2)]),
        ([8, 15], [(9, 0), (10, 1), (12, 1), (14, 0)]),
        (range(8, 16), []),
    ],
    ids=["head", "tail", "middle", "both ends", "whole"],
)
def test_inv_19_wherever_in_a_buddy_frames_leave_the_rest_stays(
    holes: Sequence[int], stays: list[tuple[int, int]]
) -> None:
    assert buddies(offlined(FrameTable(16), holes)) == [*ZONES[:-1], *stays]


def test_inv_21_a_freed_chunk_merges_first_and_is_then_carved() -> None:
    """Frames 12 to 15 are freed beside the free 8 to 11, and 13 is to leave."""
    table = FrameTable(16)
    table.allocate(np.arange(12, 16), GUEST)
    offlined(table, [13])
    table.release(np.arange(12, 16))
    assert buddies(table) == [*ZONES[:-1], (8, 2), (12, 0), (14, 1)]


def test_inv_21_exactly_the_offlining_frames_of_a_chunk_leave() -> None:
    table = FrameTable(1024)
    heap = Heap(table)
    everything = taken(heap, 1024)
    offlined(table, [700, 701, 900])
    table.release(frames(*everything))
    assert (table.counts.offlined, table.free, table.check()) == (3, 1021, [])


def test_inv_22_a_frame_brought_back_merges_only_with_free_neighbours() -> None:
    table = offlined(FrameTable(16), [9, 10])
    table.online(Mfn(9))
    assert buddies(table) == [*ZONES[:-1], (8, 1), (11, 0), (12, 2)]


def test_inv_22_a_frame_brought_back_does_not_merge_with_one_in_use() -> None:
    table = offlined(FrameTable(16), [9])
    table.allocate(frames(8), GUEST)
    table.online(Mfn(9))
    assert (9, 0) in buddies(table)


def test_the_check_notices_a_frame_that_is_listed_and_not_free() -> None:
    table = FrameTable(16)
    table.lists.take(frames(9))
    assert table.check() == ["the free lists are not the free frames in their largest buddies"]


def test_the_check_notices_halves_that_were_not_merged() -> None:
    table = FrameTable(16)
    holders = table.lists._holders(table.lists.buddies())
    table.lists._remove(holders)
    table.lists._add(type(holders)(np.arange(16), np.zeros(16, np.int64)))
    assert table.check() == ["the free lists are not the free frames in their largest buddies"]


def test_lists_do_not_grow_with_what_passes_over_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that goes and comes back leaves heads behind that count no more."""
    monkeypatch.setattr(freelists, "_STALE_MAX", 10)
    table = FrameTable(16)
    for _ in range(100):
        table.offline(Mfn(9))
        table.online(Mfn(9))
    assert max(map(len, table.lists._lists.values())) <= 13
