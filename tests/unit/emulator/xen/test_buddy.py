"""The buddy algebra: what stays of a buddy when pages leave it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.xen.buddy import ORDER_MAX, Buddies, Runs, carve, cover, cut, runs_of
from tests.support.heap import frames, listed


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
