"""The caps: how much may be retired, and when a guest may be stopped for it."""

from datetime import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.retirement.caps import CAPS, HOUR_NS, Caps, StopCaps
from agent.retirement.reason import TEXT, Reason
from agent.retirement.windows import Window
from tests.unit.retirement.test_windows import at

NOW = at("2026-11-25 12:00")
NIGHTS = Window(time(22), time(4))


@pytest.mark.parametrize(
    ("taken", "of_its_dimm", "refusal"),
    [
        (9, 2, None),
        (10, 0, Reason.RETIRED_MEMORY_CAP),
        (5, 3, Reason.REPLACE_DIMM),
        (10, 3, Reason.REPLACE_DIMM),  # it says more
    ],
)
def test_a_page_more_is_refused_at_either_cap(
    taken: int, of_its_dimm: int, refusal: Reason | None
) -> None:
    assert Caps(10, 3).refusal(taken, of_its_dimm) is refusal


@pytest.mark.parametrize(
    ("ago_ns", "refusal"),
    [
        ((), None),
        ((5,), None),
        ((5, 9), Reason.PAUSES_CAP),
        ((5, HOUR_NS), None),
        ((5, HOUR_NS - 1), Reason.PAUSES_CAP),
        ((5, -9), Reason.PAUSES_CAP),  # the clock was set back meanwhile
        ((5, -HOUR_NS), None),  # by so much that it would block for ever
    ],
)
def test_a_guest_is_stopped_only_so_often_an_hour(
    ago_ns: tuple[int, ...], refusal: Reason | None
) -> None:
    caps = StopCaps(pauses_per_hour_max=2)
    assert caps.refusal(NOW, [NOW - ago for ago in ago_ns]) is refusal


def test_outside_all_windows_no_guest_is_stopped() -> None:
    assert StopCaps(windows=(NIGHTS,)).refusal(NOW, ()) is Reason.OUTSIDE_WINDOWS
    assert StopCaps(windows=(NIGHTS,)).refusal(at("2026-11-25 23:00"), ()) is None


@given(st.integers(1, 20), st.lists(st.integers(0, 6 * HOUR_NS), max_size=200).map(sorted))
def test_no_hour_has_more_stops_than_the_cap(most: int, asked_at: list[int]) -> None:
    """Whenever one asks; and whoever asks an hour after the last stop is let."""
    stopped: list[int] = []
    for now in asked_at:
        refused = StopCaps(most).refusal(now, set(stopped)) is not None
        assert not (refused and (not stopped or now - stopped[-1] >= HOUR_NS))
        if not refused:
            stopped.append(now)
    for begin in stopped:
        assert len({at for at in stopped if begin <= at < begin + HOUR_NS}) <= most


@pytest.mark.parametrize("cap", CAPS)
def test_what_a_cap_says_names_the_key_to_change(cap: Reason) -> None:
    assert "retirement." in TEXT[cap]
