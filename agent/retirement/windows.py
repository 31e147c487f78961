"""The hours in which guests may be stopped: those that their users agreed to.

    sat 22:00 ─────────── midnight ─────────── 04:00      a window of Saturday, open on Sunday too

A window belongs to the day on which it begins, and one that does not end later on that day ends on
the next. It goes by what a clock on the wall shows, so it is an hour shorter or longer when that is
set to summer or winter time.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo
from enum import StrEnum

ONE_DAY = timedelta(days=1)


class Day(StrEnum):
    MON = "mon"
    TUE = "tue"
    WED = "wed"
    THU = "thu"
    FRI = "fri"
    SAT = "sat"
    SUN = "sun"


WEEK = tuple(Day)


@dataclass(frozen=True, slots=True)
class Window:
    """From `begin` (included) to `end` (excluded). Without a zone, by the host's own clock."""

    begin: time
    end: time
    days: tuple[Day, ...] = WEEK
    zone: tzinfo | None = UTC

    def is_open(self, now_ns: int) -> bool:
        now = datetime.fromtimestamp(now_ns / 1e9, self.zone).replace(tzinfo=None)
        return any(self._spans(now, day) for day in (now, now - ONE_DAY))

    def _spans(self, now: datetime, day: datetime) -> bool:
        """True if `now` is in the window that begins on `day`, if one does."""
        begin, end = (datetime.combine(day.date(), at) for at in (self.begin, self.end))
        if end <= begin:
            end += ONE_DAY
        return WEEK[day.weekday()] in self.days and begin <= now < end
