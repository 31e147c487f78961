"""When a recorded error is due again: the records' own clock, run at another speed.

The first record is due at once, and each later one as long after it as its time says, divided by
the speed. A record from before the first, or out of order, is due as soon as its turn comes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from agent.telemetry.record import Decoded


@dataclass(frozen=True, slots=True)
class Pace:
    """`speed` times real time, from `started_seconds` on the caller's clock; 0 is at once."""

    speed: float
    first_ns: int
    started_seconds: float

    def due_seconds(self, record: Decoded) -> float:
        """When `record` is due, on the clock of `started_seconds`."""
        if self.speed <= 0:
            return self.started_seconds
        return self.started_seconds + (record.time_ns - self.first_ns) / 1e9 / self.speed

    def ready(self, records: Sequence[Decoded], now: float) -> list[Decoded]:
        """The first records that are due by `now`, up to one that is not."""
        return list(takewhile(lambda record: self.due_seconds(record) <= now, records))
