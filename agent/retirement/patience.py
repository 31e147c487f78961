"""How often something may come to nothing, and how long to wait before it is tried again.

Attempts are counted within one life of the agent. What a wait has in time is counted from the
commit that began it, so that an agent that is started again and again does not wait for ever.
"""

from zlib import crc32

from agent.retirement.case import Case
from agent.retirement.ladder import Terms
from agent.retirement.outcome import Ended, Failed, Gone, NoAnswer, Outcome, TryAgain
from agent.retirement.reason import Reason
from agent.retirement.states import State

ATTEMPTS_MAX = 8  # then "try again" counts as "failed"
ABSENCES_MAX = 24  # of a guest without its device, who may be rebooting: then it has ended
ROUNDS_MAX = 8  # how often a page may be another than it was before the case is parked


def within_patience(case: Case, outcome: Outcome, now_ns: int, terms: Terms) -> Outcome:
    """`outcome`, or what it counts as when it has come too often, or for too long."""
    is_tired = case.attempts >= ATTEMPTS_MAX
    if isinstance(outcome, TryAgain) and (is_tired or _is_overdue(case, now_ns, terms)):
        return Failed(outcome.reason, outcome.detail)
    is_detaching = case.state is State.DETACHING and case.begun
    if is_tired and is_detaching and isinstance(outcome, NoAnswer):
        return Failed(Reason.DETACH_UNANSWERED, outcome.detail)
    is_long = case.attempts >= ABSENCES_MAX
    if is_long and case.state is State.ATTACHING and isinstance(outcome, Gone):
        return Ended(outcome.detail)
    return outcome


def _is_overdue(case: Case, now_ns: int, terms: Terms) -> bool:
    """True if whoever maps its page has had the time that they are given."""
    waited_seconds = (now_ns - case.moved_at_ns) / 1e9
    return case.state is State.WAITING and waited_seconds > terms.mapped_seconds


def retry_delay_seconds(case: Case, first: float, most: float) -> float:
    """How long to wait before the next command: doubling, bounded, and spread by up to a half.

    The spread comes from the case's own name, so that a replay waits exactly as long.
    """
    if case.attempts == 0:
        return 0.0
    spread = 1 + crc32(f"{case.id}/{case.attempts}".encode()) / (1 << 33)
    return min(most, first * 2.0 ** min(case.attempts - 1, 32) * spread)
