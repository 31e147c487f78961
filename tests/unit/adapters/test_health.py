import pytest

from agent.adapters.health import Health, HealthBoard


class Stopwatch:
    """A clock that a test turns."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def stopwatch() -> Stopwatch:
    return Stopwatch()


def test_what_the_loop_says_is_what_is_read(stopwatch: Stopwatch) -> None:
    board = HealthBoard(10.0, stopwatch)
    board.renew(Health(("the broker is away",)))
    assert board.read() == Health(("the broker is away",))


def test_a_loop_that_is_silent_is_an_ailment_of_its_own(stopwatch: Stopwatch) -> None:
    board = HealthBoard(10.0, stopwatch)
    board.renew(Health(("the broker is away",)))
    stopwatch.now += 11.0
    assert board.read().ailments == (
        "the event loop has not run for 11 s",
        "the broker is away",
    )


def test_a_loop_that_runs_again_is_well(stopwatch: Stopwatch) -> None:
    board = HealthBoard(10.0, stopwatch)
    stopwatch.now += 11.0
    board.renew(Health())
    assert board.read().healthy


def test_whoever_ails_is_not_healthy() -> None:
    assert not Health(("the broker is away",)).healthy
