"""What goes wrong, and how often: each life has some kinds switched off (swarm testing).

A life that has every kind at once rarely gets far into anything; one in which the toolstack never
fails, say, finds what only a run of reboots shows. So for each kind a coin is tossed first, and
then how often it is to come.

To add a kind: a member here, and a place that asks for it (`happens`).
"""

from enum import StrEnum
from random import Random

from tests.simulation.loop import DISK_SECONDS


class Kind(StrEnum):
    """Everything that can go wrong."""

    # of a message
    LOST = "message lost"
    DOUBLED = "message doubled"
    LATE = "message late"
    UNANSWERED = "publish unanswered"
    # of the broker
    BROKEN_LINK = "connection broken"
    BROKER_AWAY = "broker away"
    BROKER_FORGETS = "broker forgets"
    # of a call
    REFUSE = "refused"
    FAIL = "failed"
    TRY_AGAIN = "try again"
    HALF_WAY = "half-way"
    SLOW = "slow"
    HANG = "hangs"
    LOSE_ANSWER = "answer lost"
    # between a call and its answer, or at any time
    GUEST_CRASHES = "guest crashes"
    GUEST_REBOOTS = "guest reboots"
    GUEST_LEAVES = "guest gets another domain"
    MAPPER = "somebody maps a page"
    KEEPS_DEVICE = "guest keeps its device"
    BACK_ONLINE = "somebody brings a page back online"
    MARKS = "somebody marks a page"
    # of the host, the agent and the clock
    HOST_REBOOTS = "host reboots"
    DIMM_REPLACED = "host gets another DIMM as it reboots"
    POWER_CUT = "power cut of the agent"
    RESTART = "agent restarted"
    CLOCK_STEP = "clock stepped"
    SLOW_DISK = "disk slow"


# How often at most, each time that is asked; a life draws less. What is not here comes at times
# that the plan says.
OFTEN: dict[Kind, float] = {
    Kind.LOST: 0.3,
    Kind.DOUBLED: 0.3,
    Kind.LATE: 0.4,
    Kind.UNANSWERED: 0.1,
    Kind.REFUSE: 0.25,
    Kind.FAIL: 0.3,
    Kind.TRY_AGAIN: 0.3,
    Kind.HALF_WAY: 0.2,
    Kind.SLOW: 0.2,
    Kind.HANG: 0.15,
    Kind.LOSE_ANSWER: 0.3,
    Kind.GUEST_CRASHES: 0.03,
    Kind.GUEST_REBOOTS: 0.05,
    Kind.GUEST_LEAVES: 0.05,
    Kind.MAPPER: 0.05,
    Kind.BACK_ONLINE: 0.03,
    Kind.MARKS: 0.03,
    Kind.SLOW_DISK: 0.4,
}


class Trouble:
    """The trouble of one life. While it `is_paused` nothing goes wrong."""

    def __init__(self, rng: Random, often: dict[Kind, float]) -> None:
        self.rng = rng
        self.is_paused = False
        self._often = often

    def happens(self, kind: Kind) -> bool:
        """True if this time it is to be `kind`."""
        often = 0.0 if self.is_paused else self._often.get(kind, 0.0)
        return often > 0 and self.rng.random() < often

    # The weather of the bus

    def arrivals(self) -> tuple[float, ...]:
        if self.happens(Kind.LOST):
            return ()
        copies = 2 if self.happens(Kind.DOUBLED) else 1
        return tuple(self._delay() for _ in range(copies))

    def _delay(self) -> float:
        if self.happens(Kind.LATE):  # and so behind others that were sent after it
            return self.rng.choice((0.05, 1.0, 10.0)) * self.rng.random()
        return 0.001

    def disk_seconds(self) -> float:
        """What a durable write takes."""
        return 4.0 * self.rng.random() if self.happens(Kind.SLOW_DISK) else DISK_SECONDS

    def answers(self) -> bool:
        return not self.happens(Kind.UNANSWERED)


def drawn(rng: Random) -> dict[Kind, float]:
    """Which kinds a life has, and how often each comes."""
    return {
        kind: OFTEN.get(kind, 1.0) * rng.choice((0.1, 0.3, 1.0))
        for kind in Kind
        if rng.random() < 0.5
    }
