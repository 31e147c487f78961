"""What a bridge does is counted: for Prometheus, for health, and for the summary."""

import pytest

from agent.adapters.health import Health
from agent.bridge.events import AgentApplied, Beat, ErrorsLost, Event, PieceTaken, Published
from agent.bridge.metrics import BridgeMetrics, Totals

PIECE = PieceTaken(items=10, ereports=3, errors=5, refused=2)
BEAT = Beat(kept=4, is_full=False, is_connected=True, oldest_ns=1_000_000_000, now_ns=3_500_000_000)


class Watched:
    """Metrics, and what was said of health last."""

    def __init__(self) -> None:
        self.health = Health(("not asked yet",))
        self.metrics = BridgeMetrics(self._renew)

    def _renew(self, health: Health) -> None:
        self.health = health

    def value(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"pagewarden_bridge_{name}")


@pytest.mark.parametrize(
    ("event", "name", "value"),
    [
        (PIECE, "items_read_total", 10),
        (PIECE, "ereports_total", 3),
        (PIECE, "memory_errors_total", 5),
        (PIECE, "refused_total", 2),
        (Published(7), "published_total", 7),
        (AgentApplied(6), "applied_total", 6),
        (ErrorsLost(8), "lost_total", 8),
        (BEAT, "spool_ereports", 4),
        (BEAT, "behind_seconds", 2.5),
        (BEAT, "broker_connected", 1),
    ],
)
def test_each_event_is_counted(event: Event, name: str, value: float) -> None:
    watched = Watched()
    before = watched.value(name)
    watched.metrics(event)
    assert (before, watched.value(name)) == (0, value)


def test_the_summary_adds_up() -> None:
    watched = Watched()
    for event in (PIECE, PIECE, Published(7), AgentApplied(6), ErrorsLost(8)):
        watched.metrics(event)
    assert watched.metrics.totals == Totals(20, 6, 10, 4, 7, 6, 8)


def test_a_bridge_that_keeps_nothing_is_not_behind() -> None:
    assert Beat(0, False, True, None, 5).behind_seconds == 0


@pytest.mark.parametrize(
    ("beat", "ailment"),
    [
        (Beat(0, False, False, None, 0), "no connection to the broker"),
        (Beat(9, True, True, 0, 0), "the spool is full"),
    ],
)
def test_what_ails_it_is_said(beat: Beat, ailment: str) -> None:
    watched = Watched()
    watched.metrics(beat)
    (said,) = watched.health.ailments
    assert said.startswith(ailment)


def test_a_bridge_without_trouble_is_healthy() -> None:
    watched = Watched()
    watched.metrics(BEAT)
    assert watched.health.healthy
