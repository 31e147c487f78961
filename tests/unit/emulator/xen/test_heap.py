"""The heap: superpages first, the frames one names, and never one that is going or gone.

A host of 16 frames begins as buddies 0:1, 2:1, 4:2 and 8:3, one a zone.
"""

import numpy as np
import pytest

from agent.contract.frames import Mfn
from emulator.xen import freelists
from emulator.xen.frametable import FrameTable
from emulator.xen.heap import Heap
from tests.support.heap import GUEST, ZONES, buddies, frames, offlined, taken


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
