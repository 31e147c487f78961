"""The buddy algebra: what stays of a buddy when pages leave it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contract.columns import I64
from emulator.xen.buddy import ORDER_MAX, Buddies, Runs, carve, cover, cut, runs_of

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


def frames(*mfns: int) -> I64:
    return np.array(mfns, np.int64)


def carved(head: int, order: int, holes: list[int]) -> list[tuple[int, int]]:
    """What stays of the buddy at `head` when the frames at these offsets leave it."""
    buddy = Buddies(frames(head), frames(order))
    return listed(carve(buddy, runs_of(frames(*holes) + head)), head)


def listed(buddies: Buddies, since: int = 0) -> list[tuple[int, int]]:
    offsets = (buddies.heads - since).tolist()
    return sorted(zip(offsets, buddies.orders.tolist(), strict=True))


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


@pytest.mark.parametrize(("order", "holes", "stays"), GOLDEN)
def test_inv_16_a_carved_buddy_leaves_what_xen_leaves(
    order: int, holes: list[int], stays: list[tuple[int, int]]
) -> None:
    assert carved(1 << ORDER_MAX, order, holes) == stays


@given(st.data(), st.integers(0, 7), st.integers(0, 1 << 12))
def test_inv_16_carving_is_the_greedy_decomposition(
    data: st.DataObject, order: int, nth: int
) -> None:
    holes = data.draw(st.sets(st.integers(0, (1 << order) - 1), min_size=1))
    head = nth << order
    assert carved(head, order, sorted(holes)) == greedy(order, holes, head)


@given(st.integers(1, 1 << 20), st.integers(1, 1 << 20))
def test_inv_16_every_buddy_begins_at_a_multiple_of_its_size(first: int, frames_: int) -> None:
    buddies = cover(Runs(frames(first), frames(first + frames_)))
    assert not (buddies.heads & ((1 << buddies.orders) - 1)).any()


@given(st.sets(st.integers(0, 500)))
def test_covering_frames_loses_none_and_adds_none(mfns: set[int]) -> None:
    covered = cover(runs_of(frames(*mfns))).runs().frames()
    assert covered.tolist() == sorted(mfns)


def test_many_buddies_are_carved_at_once() -> None:
    buddies = Buddies(frames(8, 0), frames(2, 2))
    assert listed(carve(buddies, runs_of(frames(1, 8)))) == [(0, 0), (2, 1), (9, 0), (10, 1)]


def test_a_hole_may_reach_over_several_buddies() -> None:
    buddies = Buddies(frames(0, 4, 8), frames(2, 2, 2))
    assert listed(carve(buddies, runs_of(np.arange(2, 10)))) == [(0, 1), (10, 1)]


def test_no_buddy_is_larger_than_xens_largest() -> None:
    covered = cover(Runs(frames(0), frames(1 << 20)))
    assert listed(covered) == [(nth << ORDER_MAX, ORDER_MAX) for nth in range(4)]


def test_a_run_is_cut_only_at_points_inside_of_it() -> None:
    runs = cut(Runs(frames(4, 20), frames(10, 30)), frames(0, 4, 7, 10, 15, 20, 29, 30))
    assert list(zip(runs.first.tolist(), runs.last.tolist(), strict=True)) == [
        (4, 7),
        (7, 10),
        (20, 29),
        (29, 30),
    ]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 100])
def test_the_lowest_frames_of_runs_come_first(count: int) -> None:
    runs = Runs(frames(4, 20), frames(7, 30))
    assert runs.lowest(count).frames().tolist() == runs.frames().tolist()[:count]
