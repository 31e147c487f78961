"""How much may be retired, and how often a guest stopped for it. Caps stand above the ladder.

A host whose pages go bad by the thousand does not need thousands of holes, it needs a new DIMM:
past a cap the answer is a refusal with a reason, a metric and an alert. A stop that a cap refuses
is only put off: the guest runs on, and its pages wait until there is room.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from agent.retirement.reason import Reason
from agent.retirement.windows import Window

HOUR_NS = 3600 * 1_000_000_000

# All that a cap may say.
CAPS = (
    Reason.RETIRED_MEMORY_CAP,
    Reason.REPLACE_DIMM,
    Reason.PAUSES_CAP,
    Reason.OUTSIDE_WINDOWS,
)


@dataclass(frozen=True, slots=True)
class Rank:
    """One rank of the DIMM `dimm`; where nobody knows the number, the DIMM as if it had but one."""

    dimm: str
    number: int | None = None

    def __str__(self) -> str:
        return self.dimm if self.number is None else f"{self.dimm} rank {self.number}"


def rank_of(dimm: str | None, number: int | None) -> Rank | None:
    """None if nobody knows the DIMM: a number alone says nothing."""
    return Rank(dimm, number) if dimm else None


@dataclass(frozen=True, slots=True)
class Caps:
    """Both count every page that is retired, parked or on its way: of the host, and of one rank."""

    pages_max: int
    pages_per_rank_max: int = 64

    def refusal(self, pages_taken: int, of_its_rank: int = 0) -> Reason | None:
        """Why one page more may not be taken, if it may not."""
        if self.is_worn(of_its_rank):
            return Reason.REPLACE_DIMM
        return Reason.RETIRED_MEMORY_CAP if pages_taken >= self.pages_max else None

    def is_worn(self, pages_taken: int) -> bool:
        """True for a rank of which so many pages are taken that its DIMM is to be replaced."""
        return pages_taken >= self.pages_per_rank_max


@dataclass(frozen=True, slots=True)
class StopCaps:
    """When a guest may be stopped: in one of the windows (none: at any time), and not too often."""

    pauses_per_hour_max: int = 12
    windows: tuple[Window, ...] = ()

    def refusal(self, now_ns: int, paused_at_ns: Iterable[int]) -> Reason | None:
        """Why a guest that was stopped at these times may not be stopped now, if it may not."""
        if self.windows and not any(window.is_open(now_ns) for window in self.windows):
            return Reason.OUTSIDE_WINDOWS
        has_room = len(within_an_hour(paused_at_ns, now_ns)) < self.pauses_per_hour_max
        return None if has_room else Reason.PAUSES_CAP


def pages_of(frames: int, fraction: float) -> int:
    """`fraction` of a host's frames, and at least one."""
    return max(1, int(frames * fraction))


def within_an_hour(times_ns: Iterable[int], now_ns: int) -> frozenset[int]:
    """Those less than an hour away: the clock may have been set back since."""
    return frozenset(at_ns for at_ns in times_ns if abs(now_ns - at_ns) < HOUR_NS)
