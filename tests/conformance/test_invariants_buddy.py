"""Buddies, invariants 16 to 22: what stays of free memory when pages leave it, and come back."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contract.columns import I64
from agent.contract.frames import Mfn
from agent.contract.toolstack import GuestKind
from emulator.xen.buddy import ORDER_MAX, Buddies, Runs, carve, cover, runs_of
from emulator.xen.frametable import FrameTable
from emulator.xen.heap import Heap
from emulator.xen.layout import GuestSpec, Layout
from tests.support.heap import GUEST, ZONES, buddies, frames, listed, offlined, taken
from tests.support.xen import Xen

# The offsets that leave a buddy of an order, and what stays: offset and order of each buddy.
GOLDEN = [
    (0, [0], []),
    (1, [0], [(1, 0)]),
    (1, [1], [(0, 0)]),
    (2, [0], [(1, 0), (2, 1)]),
    (2, [1], [(0, 0), (2, 1)]),
    (2, [2], [(0, 1), (3, 0)]),
    (2, [3], [(0, 1), (2, 0)]),
    (3, [0], [(1, 0), (2, 1), (4, 2)]),
    (3, [1], [(0, 0), (2, 1), (4, 2)]),
    (3, [2], [(0, 1), (3, 0), (4, 2)]),
    (3, [3], [(0, 1), (2, 0), (4, 2)]),
    (3, [4], [(0, 2), (5, 0), (6, 1)]),
    (3, [5], [(0, 2), (4, 0), (6, 1)]),
    (3, [7], [(0, 2), (4, 1), (6, 0)]),
    (3, [0, 7], [(1, 0), (2, 1), (4, 1), (6, 0)]),
    (3, [3, 4], [(0, 1), (2, 0), (5, 0), (6, 1)]),
    (3, [0, 1, 2, 3], [(4, 2)]),
    (3, [0, 1, 2, 3, 4, 5, 6, 7], []),
]


def carved(head: int, order: int, holes: list[int]) -> list[tuple[int, int]]:
    """What stays of the buddy at `head` when the frames at these offsets leave it."""
    buddy = Buddies(frames(head), frames(order))
    return listed(carve(buddy, runs_of(frames(*holes) + head)), head)


def greedy(order: int, holes: set[int], head: int) -> list[tuple[int, int]]:
    """The same by trying: at each page the largest aligned run without a hole that fits."""
    found, at = [], 0
    while at < 1 << order:
        fits = [
            size
            for size in range(order + 1)
            if (head + at) % (1 << size) == 0
            and at + (1 << size) <= 1 << order
            and not holes & set(range(at, at + (1 << size)))
        ]
        if fits:
            found.append((at, max(fits)))
        at += 1 << max(fits, default=0)
    return found


def scrubbed_in_part() -> tuple[FrameTable, list[int]]:
    """Frames 8 to 15 were freed, and two of them are wiped by now; what is wiped, in order."""
    wiped: list[int] = []

    def wipe(mfns: I64) -> None:
        wiped.extend(mfns.tolist())

    table = FrameTable(16, wipe=wipe)
    table.allocate(np.arange(8, 16), GUEST)
    table.release(np.arange(8, 16))
    table.scrubber.idle(2)
    return table, wiped


@pytest.mark.parametrize(("order", "holes", "stays"), GOLDEN)
def test_invariant_16_a_carved_buddy_leaves_what_xen_leaves(
    order: int,
    holes: list[int],
    stays: list[tuple[int, int]],
    record_property: Callable[[str, object], None],
) -> None:
    record_property("evidence", "golden buddy vector")
    assert carved(1 << ORDER_MAX, order, holes) == stays


@given(st.data(), st.integers(0, 7), st.integers(0, 1 << 12))
def test_invariant_16_carving_is_the_greedy_decomposition(
    data: st.DataObject, order: int, nth: int
) -> None:
    holes = data.draw(st.sets(st.integers(0, (1 << order) - 1), min_size=1))
    head = nth << order
    assert carved(head, order, sorted(holes)) == greedy(order, holes, head)


@given(st.integers(1, 1 << 20), st.integers(1, 1 << 20))
def test_invariant_16_every_buddy_begins_at_a_multiple_of_its_size(
    first: int, frames_: int
) -> None:
    buddies = cover(Runs(frames(first), frames(first + frames_)))
    assert not (buddies.heads & ((1 << buddies.orders) - 1)).any()


@pytest.mark.parametrize("order", range(11))
def test_invariant_17_offlining_any_frame_of_a_buddy_delivers_no_frame_twice(order: int) -> None:
    size = 1 << order
    for mfn in range(size, 2 * size, max(size // 64, 1)):
        table = offlined(FrameTable(2 * size), [mfn])
        mfns = taken(Heap(table), 2 * size - 1)
        assert sorted({*mfns, mfn}) == list(range(2 * size))
        table.release(frames(*mfns))
        assert table.check() == []


def test_invariant_18_600_frames_offlined_and_brought_back_leave_memory_whole() -> None:
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


def test_invariant_18_memory_can_be_filled_and_emptied_after_600_pages_came_back() -> None:
    """The same on a whole host, by real Xen's own call and with real guests."""
    xen = Xen(Layout(1 << 14, 0, 0))
    for mfn in np.random.default_rng(8412).choice(1 << 14, 600, replace=False).tolist():
        xen.offline(mfn)
        xen.online(mfn)
    for _ in range(3):
        guest = xen.host.create(xen.host.newborn(GuestSpec("all", GuestKind.PV, 1 << 14)))
        assert guest is not None
        assert (xen.host.host.free, len(np.unique(guest.p2m))) == (0, 1 << 14)
        xen.host.destroy(guest)
    assert xen.host.check() == []


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
def test_invariant_19_wherever_in_a_buddy_frames_leave_the_rest_stays(
    holes: Sequence[int], stays: list[tuple[int, int]]
) -> None:
    assert buddies(offlined(FrameTable(16), holes)) == [*ZONES[:-1], *stays]


def test_invariant_20_a_page_leaves_a_buddy_that_is_being_scrubbed_once_that_is_stopped() -> None:
    table, wiped = scrubbed_in_part()
    table.offline(Mfn(12))
    assert (table.scrubber.waits, wiped) == (1, [8, 9])
    assert buddies(table) == [*ZONES[:-1], (8, 2), (13, 0), (14, 1)]


def test_invariant_20_what_stays_of_the_buddy_is_scrubbed_afterwards() -> None:
    table, wiped = scrubbed_in_part()
    table.offline(Mfn(12))
    table.scrubber.rest()
    assert sorted(wiped) == [8, 9, 10, 11, 13, 14, 15]
    assert (table.scrubber.busy_nodes(), table.check()) == ([], [])


def test_invariant_20_nobody_waits_for_a_page_that_is_wiped_already() -> None:
    table, _ = scrubbed_in_part()
    table.offline(Mfn(9))
    assert table.scrubber.waits == 0


def test_invariant_20_nobody_waits_for_a_scrub_that_is_stopped() -> None:
    table, _ = scrubbed_in_part()
    table.offline(Mfn(12))
    table.offline(Mfn(13))
    assert table.scrubber.waits == 1


def test_invariant_20_whoever_allocates_from_the_buddy_waits_too() -> None:
    table, wiped = scrubbed_in_part()
    table.allocate(frames(12), GUEST)
    assert (table.scrubber.waits, wiped) == (1, [8, 9, 12])


def test_invariant_21_a_freed_chunk_merges_first_and_is_then_carved() -> None:
    """Frames 12 to 15 are freed beside the free 8 to 11, and 13 is to leave."""
    table = FrameTable(16)
    table.allocate(np.arange(12, 16), GUEST)
    offlined(table, [13])
    table.release(np.arange(12, 16))
    assert buddies(table) == [*ZONES[:-1], (8, 2), (12, 0), (14, 1)]


def test_invariant_21_exactly_the_offlining_frames_of_a_chunk_leave() -> None:
    table = FrameTable(1024)
    heap = Heap(table)
    everything = taken(heap, 1024)
    offlined(table, [700, 701, 900])
    table.release(frames(*everything))
    assert (table.counts.offlined, table.free, table.check()) == (3, 1021, [])


def test_invariant_22_a_frame_brought_back_merges_only_with_free_neighbours() -> None:
    table = offlined(FrameTable(16), [9, 10])
    table.online(Mfn(9))
    assert buddies(table) == [*ZONES[:-1], (8, 1), (11, 0), (12, 2)]


def test_invariant_22_a_frame_brought_back_does_not_merge_with_one_in_use() -> None:
    table = offlined(FrameTable(16), [9])
    table.allocate(frames(8), GUEST)
    table.online(Mfn(9))
    assert (9, 0) in buddies(table)
