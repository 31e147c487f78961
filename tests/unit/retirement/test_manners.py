"""How hard to press."""

from agent.retirement.manners import WATCH_DOUBLINGS_MAX, Manners
from agent.retirement.states import State
from tests.support.cases import a_case


def looks(attempts: int, rounds: int = 64) -> int:
    """How often a parked page is tried again in so many rounds, having been so often before."""
    parked = a_case(State.PARKED, attempts=attempts)
    return sum(Manners().watches(parked, turn) for turn in range(rounds))


def test_a_parked_page_is_tried_again_ever_more_rarely_but_never_forgotten() -> None:
    assert [looks(attempts) for attempts in range(WATCH_DOUBLINGS_MAX + 3)] == [
        *(64, 32, 16, 8, 4),
        *(4, 4),
    ]
