"""Pace: the records' own distances, at another speed."""

import pytest

from agent.telemetry.pace import Pace
from agent.telemetry.record import Decoded


def at(seconds: float) -> Decoded:
    return Decoded(line=1, time_ns=int(seconds * 1e9))


def test_a_record_is_due_as_long_after_the_first_as_it_happened() -> None:
    assert Pace(1.0, 50 * 10**9, 1000.0).due_seconds(at(53)) == 1003.0


def test_twice_the_speed_is_half_the_wait() -> None:
    assert Pace(2.0, 0, 1000.0).due_seconds(at(10)) == 1005.0


def test_without_a_speed_everything_is_due_at_once() -> None:
    assert Pace(0.0, 0, 1000.0).due_seconds(at(10**6)) == 1000.0


@pytest.mark.parametrize(("now", "count"), [(0.0, 1), (2.0, 2), (9.0, 4)])
def test_what_is_ready_ends_at_the_first_that_is_not_due(now: float, count: int) -> None:
    """The record of second 1 stands behind that of second 3, so it waits with it."""
    some = [at(0), at(2), at(3), at(1)]
    assert Pace(1.0, 0, 0.0).ready(some, now) == some[:count]
