"""Every event is counted, and no label can grow without end."""

from dataclasses import replace
from typing import get_args

import pytest
from prometheus_client import generate_latest

from agent.adapters.catalogue import CALLS
from agent.adapters.metrics import DIMMS_MAX, Metrics
from agent.contract.frames import DomId
from agent.events import (
    BatchTaken,
    BrokerConnected,
    BrokerLost,
    CallMade,
    CapReached,
    CaseDropped,
    CaseMessageCoalesced,
    CaseMoved,
    CaseOpened,
    DimmWornOut,
    EreportsLost,
    Event,
    GapSeen,
    GuestFoundStopped,
    GuestPaused,
    MarksUnlisted,
    MessageRefused,
    PagesEvicted,
)
from agent.retirement.caps import Rank
from agent.retirement.case import Origin
from agent.retirement.ladder import Rung
from agent.retirement.reason import Reason
from agent.retirement.states import State
from tests.support.cases import a_case

BATCH = BatchTaken(
    accepted=10,
    duplicates=3,
    late=6,
    missing=7,
    errors=12,
    unlocated=1,
    out_of_range=2,
    uncorrected=4,
    dimm_errors=(("A", 5), ("B", 7)),
    newest_time_ns=1_500_000_000,
    commit_seconds=0.002,
)

# An event, a sample and its labels, and what the sample says after the event.
COUNTED: list[tuple[Event, str, dict[str, str], float]] = [
    (BATCH, "ereports_total", {"result": "accepted"}, 10),
    (BATCH, "ereports_total", {"result": "duplicate"}, 3),
    (BATCH, "memory_errors_total", {"dimm": "B"}, 7),
    (BATCH, "unlocated_errors_total", {}, 1),
    (BATCH, "out_of_range_errors_total", {}, 2),
    (BATCH, "uncorrected_errors_total", {}, 4),
    (BATCH, "last_ereport_timestamp_seconds", {}, 1.5),
    (BATCH, "commit_duration_seconds_sum", {}, 0.002),
    (MessageRefused("malformed", "?"), "messages_refused_total", {"kind": "malformed"}, 1),
    (GapSeen(5, 9), "gaps_total", {}, 1),
    (BATCH, "ereports_recovered_total", {}, 6),
    (BATCH, "ereports_missing", {}, 7),
    (GapSeen(5, 9), "ereports_missed_total", {}, 5),
    (EreportsLost(4, missing=2), "ereports_lost_total", {}, 4),
    (EreportsLost(4, missing=2), "ereports_missing", {}, 2),
    (PagesEvicted(6), "pages_evicted_total", {}, 6),
    (CaseOpened(a_case()), "cases", {"state": "open"}, 1),
    (CaseOpened(a_case()), "case_transitions_total", {"state": "open"}, 1),
    (
        CaseMoved(a_case(State.RETIRED), State.CONFIRMING, 0.5),
        "case_step_duration_seconds_sum",
        {"state": "confirming"},
        0.5,
    ),
    (CaseMessageCoalesced(), "case_messages_coalesced_total", {}, 1),
    (GuestFoundStopped(DomId(7)), "guests_found_stopped_total", {}, 1),
    (GuestPaused(0.25), "guest_pause_seconds_sum", {}, 0.25),
    (CapReached(Reason.PAUSES_CAP), "caps_reached_total", {"refusal": "pauses_cap"}, 1),
    (DimmWornOut(Rank("A", 1)), "dimms_to_replace", {}, 1),
    (MarksUnlisted("no such call"), "marks_unlisted_total", {}, 1),
    (
        CaseOpened(a_case(State.FOUND, origin=Origin.FOUND)),
        "cases_opened_total",
        {"origin": "found"},
        1,
    ),
    (CaseDropped(a_case()), "cases_dropped_total", {}, 1),
    (
        CaseMoved(a_case(State.OBSERVED, rungs=(Rung.SWAP,)), State.OPEN, 0.5),
        "would_offline_total",
        {"first": "swap"},
        1,
    ),
    (
        CaseMoved(a_case(State.OBSERVED), State.OPEN, 0.5),
        "would_offline_total",
        {"first": "no_rung"},
        1,
    ),
    (
        CallMade("page_query", "done", 0.1),
        "calls_total",
        {"call": "page_query", "outcome": "done"},
        1,
    ),
    (CallMade("suspend", "done", 0.1), "call_duration_seconds_sum", {"call": "suspend"}, 0.1),
    (BrokerConnected("mqtt://b"), "broker_connected", {}, 1),
    (BrokerLost("mqtt://b", "gone", 1.0), "broker_connections_lost_total", {}, 1),
]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"pagewarden_{name}", labels)


@pytest.mark.parametrize(("event", "name", "labels", "value"), COUNTED)
def test_an_event_is_counted(
    metrics: Metrics, event: Event, name: str, labels: dict[str, str], value: float
) -> None:
    metrics.observe(event)
    assert sample(metrics, name, **labels) == value


def test_every_event_there_is_has_its_row_above() -> None:
    assert {type(event) for event, *_ in COUNTED} == set(get_args(Event))


def test_a_dimm_with_two_worn_ranks_is_one_to_replace(metrics: Metrics) -> None:
    for rank in (Rank("A", 0), Rank("A", 1), Rank("B")):
        metrics.observe(DimmWornOut(rank))
    assert sample(metrics, "dimms_to_replace") == 2


def test_an_unknown_event_is_a_mistake_of_ours(metrics: Metrics) -> None:
    with pytest.raises(TypeError, match="str has no metric"):
        metrics.observe("an event")


def test_a_series_of_a_closed_list_is_zero_before_its_first_event(metrics: Metrics) -> None:
    """Prometheus sees no increase in a series that appears with a 1."""
    assert {sample(metrics, "cases", state=state) for state in State} == {0}
    assert {sample(metrics, "call_duration_seconds_count", call=call) for call in CALLS} == {0}
    assert sample(metrics, "broker_connected") == 0


def test_cases_are_where_they_are_now(metrics: Metrics) -> None:
    metrics.seed([a_case(State.PARKED), a_case(State.RETIRED)])
    metrics.observe(CaseMoved(a_case(State.RETIRED), State.PARKED, 0.1))
    assert sample(metrics, "cases", state="parked") == 0
    assert sample(metrics, "cases", state="retired") == 2


def test_retired_memory_counts_the_pages_of_earlier_lives_too(metrics: Metrics) -> None:
    metrics.seed([a_case(State.RETIRED), a_case(State.PARKED)])
    metrics.observe(CaseMoved(a_case(State.RETIRED), State.CONFIRMING, 0.1))
    assert sample(metrics, "retired_bytes") == 2 * 4096


def test_what_an_earlier_life_missed_is_missing_from_the_start(metrics: Metrics) -> None:
    metrics.seed([], missing=3)
    assert sample(metrics, "ereports_missing") == 3


def test_a_batch_of_duplicates_is_no_news_of_the_memory(metrics: Metrics) -> None:
    metrics.observe(BATCH)
    metrics.observe(replace(BATCH, accepted=0, dimm_errors=(), newest_time_ns=0))
    assert sample(metrics, "last_ereport_timestamp_seconds") == 1.5


def test_dimm_labels_end_in_other(metrics: Metrics) -> None:
    dimms = tuple((f"DIMM{number}", 1) for number in range(DIMMS_MAX + 10))
    metrics.observe(replace(BATCH, dimm_errors=dimms))
    metrics.observe(replace(BATCH, dimm_errors=(("DIMM0", 1),)))
    assert sample(metrics, "memory_errors_total", dimm="other") == 10
    assert sample(metrics, "memory_errors_total", dimm="DIMM0") == 2


def test_a_lost_broker_is_not_connected(metrics: Metrics) -> None:
    metrics.observe(BrokerConnected("mqtt://b"))
    metrics.observe(BrokerLost("mqtt://b", "gone", 1.0))
    assert sample(metrics, "broker_connected") == 0


def test_the_page_names_the_version_and_stays_small(metrics: Metrics) -> None:
    page = generate_latest(metrics.registry).decode()
    assert 'pagewarden_build_info{python="3.' in page
    assert "_created" not in page
    assert page.count("\n") < 1000
