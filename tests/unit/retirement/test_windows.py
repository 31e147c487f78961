"""Windows: a day of the week, two times on the wall, and what lies between."""

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from agent.retirement.windows import Day, Window

NIGHT = Window(time(22), time(4), (Day.SAT,))
WORK = Window(time(9), time(17, 30), (Day.MON, Day.TUE))
ALL_DAY = Window(time(0), time(0), (Day.SUN,))
BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> int:
    """`2026-11-25 12:00` (a Wednesday), UTC, in nanoseconds since 1970."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


@pytest.mark.parametrize(
    ("window", "when", "is_open"),
    [
        (WORK, "2026-11-23 08:59", False),
        (WORK, "2026-11-23 09:00", True),
        (WORK, "2026-11-24 17:29", True),
        (WORK, "2026-11-24 17:30", False),
        (WORK, "2026-11-25 12:00", False),
        (NIGHT, "2026-11-28 21:59", False),
        (NIGHT, "2026-11-28 22:00", True),
        (NIGHT, "2026-11-29 03:59", True),
        (NIGHT, "2026-11-29 04:00", False),
        (NIGHT, "2026-11-28 03:00", False),  # that is Friday's night
        (ALL_DAY, "2026-11-28 23:59", False),
        (ALL_DAY, "2026-11-29 00:00", True),
        (ALL_DAY, "2026-11-29 23:59", True),
        (ALL_DAY, "2026-11-30 00:00", False),
    ],
)
def test_a_window_is_open_from_its_begin_to_its_end(
    window: Window, when: str, is_open: bool
) -> None:
    assert window.is_open(at(when)) is is_open


@pytest.mark.parametrize(
    ("when", "is_open"),
    [
        ("2026-07-01 06:59", False),
        ("2026-07-01 07:00", True),  # two hours ahead in summer
        ("2026-12-01 07:59", False),
        ("2026-12-01 08:00", True),  # one in winter
    ],
)
def test_a_window_goes_by_the_clock_on_the_wall(when: str, is_open: bool) -> None:
    assert Window(time(9), time(17), zone=BERLIN).is_open(at(when)) is is_open
