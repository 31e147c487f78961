"""How hard to press: the operator's numbers for retries, patience and how much at once."""

from dataclasses import dataclass, field

from agent.retirement.caps import StopCaps
from agent.retirement.case import Case
from agent.retirement.ladder import Terms
from agent.retirement.patience import ATTEMPTS_MAX, retry_delay_seconds
from agent.retirement.states import State

WATCH_DOUBLINGS_MAX = 4  # so every sixteenth round at least


@dataclass(frozen=True, slots=True)
class Manners:
    """Seconds, and how many cases (and how many stops) at once.

    `observes`: pages are looked at, and nothing is asked for. After `late_seconds`, a command that
    nobody answered is not carried out any more. Every `audit_seconds` retired pages are looked at.
    """

    retry_seconds_first: float = 0.5
    retry_seconds_max: float = 300.0
    stopped_retry_seconds_max: float = 5.0
    watch_seconds: float = 60.0
    gather_seconds: float = 2.0
    late_seconds: float = 600.0
    audit_seconds: float = 3600.0
    cases_in_flight_max: int = 8
    terms: Terms = field(default_factory=Terms)
    stops: StopCaps = field(default_factory=StopCaps)
    observes: bool = False

    def delay_seconds(self, case: Case) -> float:
        """Before the command of `case` is given again.

        A page that others map is looked at `ATTEMPTS_MAX` times in the time that they are given.
        """
        if case.state is State.WAITING:
            return self.terms.mapped_seconds / ATTEMPTS_MAX
        return retry_delay_seconds(case, self.retry_seconds_first, self.retry_seconds_max)

    def watches(self, case: Case, turn: int) -> bool:
        """True if the watch tries this parked page again in its `turn`-th round, though it is as it
        was: every time at first, then half as often after each, and not all in the same round.
        """
        return (turn + case.mfn) % (1 << min(case.attempts, WATCH_DOUBLINGS_MAX)) == 0

    def is_over(self, since_ns: int, now_ns: int) -> bool:
        """True if what was asked for then, without an answer, cannot be carried out any more."""
        return now_ns - since_ns > self.late_seconds * 1e9

    def audits(self, turn: int) -> bool:
        """True if the watch looks at retired pages in its `turn`-th round: so in the first."""
        return turn % max(1, round(self.audit_seconds / self.watch_seconds)) == 0

    def delay_in_turn_seconds(self, case: Case) -> float:
        """The same, while its guest waits with us: so it is asked soon, and again."""
        return retry_delay_seconds(case, self.retry_seconds_first, self.pause_seconds_max)

    @property
    def pause_seconds_max(self) -> float:
        """Between two questions while a guest lacks something because of us, or may."""
        return min(self.retry_seconds_max, self.stopped_retry_seconds_max)
