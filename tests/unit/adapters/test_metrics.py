"""Every event is counted, and no label can grow without end."""

import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client import Counter, generate_latest

from agent.adapters.catalogue import BANKS_MAX, CALLS, DIMMS_MAX, TABLE, Row, series_max
from agent.adapters.health import Health, HealthBoard
from agent.adapters.metrics import Metrics
from agent.contract.ereport import Module
from agent.contract.frames import DomId
from agent.events import (
    BatchTaken,
    Beat,
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
    PolicyRefused,
    PolicyReloaded,
    Started,
)
from agent.retirement.caps import Rank
from agent.retirement.case import Origin
from agent.retirement.ladder import Rung
from agent.retirement.reason import Reason
from agent.retirement.states import State
from tests.support import prometheus
from tests.support.cases import a_case
from tests.support.golden import golden

SERIES_MAX = 2500

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
    bank_errors=((("A", 0, 3), 5),),
    dimm_uncorrected=(("B", 4),),
    newest_time_ns=1_500_000_000,
    delay_seconds=0.75,
    commit_seconds=0.002,
)

MODULES = (Module(label="A", part="P", serial="S1"), Module(label="B"))
STARTED = Started(
    mode="observe",
    modules=MODULES,
    pages_max=5,
    pages_per_rank_max=64,
    cases=(a_case(State.PARKED), a_case(State.RETIRED)),
    missing=3,
)
BEAT = Beat(
    late_seconds=0.2,
    pages_tracked=11,
    dimm_pages=(("A", 3),),
    oldest_open_ns=1_000_000_000,
    oldest_parked_ns=0,
)

# An event, a sample and its labels, and what the sample says after the event.
COUNTED: list[tuple[Event, str, dict[str, str], float]] = [
    (STARTED, "mode", {"mode": "observe"}, 1),
    (STARTED, "mode", {"mode": "enforce"}, 0),
    (STARTED, "ereports_missing", {}, 3),
    (STARTED, "retired_bytes", {}, 4096),
    (STARTED, "retired_bytes_max", {}, 5 * 4096),
    (STARTED, "dimm_pages_max", {}, 64),
    (STARTED, "cases", {"state": "parked"}, 1),
    (STARTED, "dimm_info", {"dimm": "A", "part": "P", "serial": "S1"}, 1),
    (BEAT, "event_loop_lag_seconds_sum", {}, 0.2),
    (BEAT, "pages_tracked", {}, 11),
    (BEAT, "dimm_pages", {"dimm": "A"}, 3),
    (BEAT, "oldest_open_case_timestamp_seconds", {}, 1),
    (BEAT, "oldest_parked_case_timestamp_seconds", {}, 0),
    (BATCH, "ereports_total", {"result": "accepted"}, 10),
    (BATCH, "ereports_total", {"result": "duplicate"}, 3),
    (BATCH, "memory_errors_total", {"dimm": "B"}, 7),
    (BATCH, "unlocated_errors_total", {}, 1),
    (BATCH, "out_of_range_errors_total", {}, 2),
    (BATCH, "uncorrected_errors_total", {"dimm": "B"}, 4),
    (BATCH, "bank_errors_total", {"dimm": "A", "rank": "0", "bank": "3"}, 5),
    (BATCH, "ereport_delay_seconds_sum", {}, 0.75),
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
    (GuestPaused(0.25, DomId(7)), "guest_pause_seconds_sum", {}, 0.25),
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
    (PolicyReloaded((), ()), "policy_reloads_total", {"result": "taken"}, 1),
    (PolicyRefused("?"), "policy_reloads_total", {"result": "refused"}, 1),
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
def board() -> HealthBoard:
    return HealthBoard(60.0)


@pytest.fixture
def metrics(board: HealthBoard) -> Metrics:
    return Metrics("1.2.3", board)


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
    metrics.observe(STARTED)
    metrics.observe(CaseMoved(a_case(State.RETIRED), State.PARKED, 0.1))
    assert sample(metrics, "cases", state="parked") == 0
    assert sample(metrics, "cases", state="retired") == 2


def test_retired_memory_counts_the_pages_of_earlier_lives_too(metrics: Metrics) -> None:
    metrics.observe(STARTED)
    metrics.observe(CaseMoved(a_case(State.RETIRED), State.CONFIRMING, 0.1))
    assert sample(metrics, "retired_bytes") == 2 * 4096


def test_the_series_of_a_dimm_are_there_before_its_first_error(metrics: Metrics) -> None:
    """Else the first uncorrected error of all would be no increase, and no alert."""
    metrics.observe(STARTED)
    assert sample(metrics, "memory_errors_total", dimm="B") == 0
    assert sample(metrics, "uncorrected_errors_total", dimm="B") == 0
    assert sample(metrics, "uncorrected_errors_total", dimm="unknown") == 0
    assert sample(metrics, "dimm_pages", dimm="B") == 0


def test_an_agent_that_ails_is_not_healthy(metrics: Metrics, board: HealthBoard) -> None:
    assert sample(metrics, "healthy") == 1
    board.renew(Health(("the broker is away",)))
    assert sample(metrics, "healthy") == 0


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


def test_bank_labels_end_in_other(metrics: Metrics) -> None:
    banks = tuple((("A", 0, bank), 1) for bank in range(BANKS_MAX + 10))
    metrics.observe(replace(BATCH, bank_errors=banks))
    assert sample(metrics, "bank_errors_total", dimm="other", rank="other", bank="other") == 10
    assert sample(metrics, "bank_errors_total", dimm="A", rank="0", bank="0") == 1


def test_pages_of_dimms_beyond_the_named_ones_are_added_up(metrics: Metrics) -> None:
    dimms = tuple((f"DIMM{number}", 2) for number in range(DIMMS_MAX + 3))
    metrics.observe(replace(BEAT, dimm_pages=dimms))
    assert sample(metrics, "dimm_pages", dimm="other") == 6


def test_a_host_of_48_dimms_with_errors_everywhere_has_no_more_series_than_was_said(
    metrics: Metrics,
) -> None:
    """One to each bank of each rank of each DIMM, and to DIMMs that nobody knows."""
    modules = tuple(Module(label=f"D{number}", serial=f"{number}") for number in range(48))
    metrics.observe(replace(STARTED, modules=modules))
    banks = [
        (f"D{dimm}", rank, bank) for dimm in range(80) for rank in (0, 1) for bank in range(32)
    ]
    metrics.observe(
        replace(
            BATCH,
            bank_errors=tuple((bank, 1) for bank in banks),
            dimm_errors=tuple((f"D{dimm}", 1) for dimm in range(80)),
            dimm_uncorrected=tuple((f"D{dimm}", 1) for dimm in range(80)),
        )
    )
    series = [line for line in page_of(metrics).splitlines() if line.startswith("pagewarden_")]
    assert 1000 < len(series) <= series_max()
    assert page_of(metrics).count("\n") < 2 * SERIES_MAX, "help and type lines included"


def test_the_table_as_a_whole_is_bounded() -> None:
    assert series_max() <= SERIES_MAX


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_a_name_says_its_unit_and_its_kind(row: Row) -> None:
    assert row.name.endswith("_total") is (row.kind is Counter)
    for unit in ("seconds", "bytes"):
        assert (unit in row.name) is (row.unit == unit)
    assert row.help.endswith(".")
    assert not {"job", "instance", "le", "severity"} & {label.name for label in row.labels}


def test_no_name_is_declared_twice() -> None:
    assert len({row.name for row in TABLE}) == len(TABLE)


def test_the_page_names_the_version(metrics: Metrics) -> None:
    page = page_of(metrics)
    assert 'pagewarden_build_info{python="3.' in page
    assert "_created" not in page


def test_the_page_of_a_fixed_run_is_as_it_was(metrics: Metrics) -> None:
    page = page_of_a_fixed_run(metrics)
    assert page == golden(Path(__file__).with_name("metrics.golden.txt"), page)


def test_promtool_has_nothing_to_say_about_the_page(metrics: Metrics, promtool: None) -> None:
    done = prometheus.promtool("check", "metrics", given=page_of_a_fixed_run(metrics))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_promtool_would_say_something_about_a_bad_name(promtool: None) -> None:
    bad = "# TYPE pagewarden_pauseMs gauge\npagewarden_pauseMs 1\n"
    assert prometheus.promtool("check", "metrics", given=bad).returncode != 0


def page_of(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def page_of_a_fixed_run(metrics: Metrics) -> str:
    """Our own part of the page, after each event there is; the interpreter is any."""
    for event, *_ in COUNTED:
        metrics.observe(event)
    ours = [line for line in page_of(metrics).splitlines(keepends=True) if "pagewarden_" in line]
    return re.sub(r'python="[^"]*"', 'python="3"', "".join(ours))
