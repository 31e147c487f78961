"""Every metric there is, one row each: name, kind, help, unit, labels. Nothing else makes one.

Labels come from closed lists whose children exist from the start, so that a zero is a zero and the
first event is seen as an increase. The few open ones (DIMMs, their banks) have a bound each, and
what is beyond it goes to `other`: so the whole page has a bound too, and `series_max` says it.
Neither a page nor a guest is ever a label: there may be any number of them, and they come and go.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from math import prod
from typing import Generic, TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from agent.contract.hypercall import Call
from agent.contract.toolstack import ToolCall, ToolOutcome
from agent.diagnosis.admission import Unfit
from agent.retirement.caps import CAPS
from agent.retirement.case import Origin
from agent.retirement.ladder import Rung
from agent.retirement.states import State

PREFIX = "pagewarden_"

DIMMS_MAX = 64  # named ones; the others are `other`
BANKS_MAX = 1000  # as above: all of 15 DIMMs, or those few of 48 that ever had an error
OTHER = "other"

CALLS = tuple(path.rpartition("/")[2] for path in (*Call, *ToolCall))
OUTCOMES = (*ToolOutcome, "unreachable", "not_a_call")

NO_RUNG = "no_rung"  # nothing more than the request itself
WOULD = (*Rung, NO_RUNG)
MODES = ("enforce", "observe")

# The states that name a command, which takes its time.
COMMANDING = tuple(state for state in State if not state.is_final and state is not State.OBSERVED)

COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
CALL_SECONDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 120)
PAUSE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
STEP_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300)
DELAY_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
LAG_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)


Instrument = TypeVar("Instrument", Counter, Gauge, Histogram)


class Result(StrEnum):
    """What became of an ereport."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Label:
    """Its `values`, if the list is closed; else it is open, with so many different ones at most."""

    name: str
    values: tuple[str, ...] = ()
    different_max: int = 0

    @property
    def bound(self) -> int:
        return len(self.values) or self.different_max


@dataclass(frozen=True, slots=True)
class Declared(Generic[Instrument]):
    """One row. `children_max` is for labels that never occur in all their combinations."""

    kind: type[Instrument]
    name: str
    help: str
    unit: str = ""
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()
    children_max: int = 0

    @property
    def series_max(self) -> int:
        """How many lines of the page it can come to."""
        children = self.children_max or prod(label.bound for label in self.labels)
        return children * (len(self.buckets) + 3 if self.buckets else 1)  # +Inf, sum, count

    @property
    def type_name(self) -> str:
        """As the page's `# TYPE` has it."""
        return self.kind.__name__.lower()

    @property
    def is_closed(self) -> bool:
        return all(label.values for label in self.labels)


def _counter(
    name: str, text: str, *labels: Label, unit: str = "", most: int = 0
) -> Declared[Counter]:
    return Declared(Counter, PREFIX + name, text, unit, labels, children_max=most)


def _gauge(name: str, text: str, *labels: Label, unit: str = "", most: int = 0) -> Declared[Gauge]:
    return Declared(Gauge, PREFIX + name, text, unit, labels, children_max=most)


def _seconds(
    name: str, text: str, buckets: tuple[float, ...], *labels: Label
) -> Declared[Histogram]:
    return Declared(Histogram, PREFIX + name, text, "seconds", labels, buckets)


_KIND = Label("kind", tuple(Unfit))
_RESULT = Label("result", tuple(Result))
_STATE = Label("state", tuple(State))
_CALL = Label("call", CALLS)
_OUTCOME = Label("outcome", OUTCOMES)
_DIMM = Label("dimm", different_max=DIMMS_MAX + 2)  # `other`, and `unknown`
_RANK = Label("rank", different_max=1 << 15)
_BANK = Label("bank", different_max=1 << 15)
_ONE_OF_A_DIMM = Label("part", different_max=1), Label("serial", different_max=1)
_ONCE = Label("version", different_max=1), Label("python", different_max=1)

Row = Declared[Counter] | Declared[Gauge] | Declared[Histogram]

# What came in.
INTAKE: tuple[Row, ...] = (
    MESSAGES_REFUSED := _counter(
        "messages_refused_total", "Messages that were not let in.", _KIND, unit="messages"
    ),
    EREPORTS := _counter("ereports_total", "Ereports taken off the bus.", _RESULT, unit="ereports"),
    EREPORTS_MISSED := _counter(
        "ereports_missed_total",
        "Ereports that did not arrive in their turn, whatever became of them since.",
        unit="ereports",
    ),
    EREPORTS_MISSING := _gauge(
        "ereports_missing",
        "Ereports that did not arrive yet and are not given up.",
        unit="ereports",
    ),
    EREPORTS_RECOVERED := _counter(
        "ereports_recovered_total",
        "Ereports that arrived after they had been missed, or even given up.",
        unit="ereports",
    ),
    EREPORTS_LOST := _counter(
        "ereports_lost_total",
        "Ereports given up, because nobody sent them when asked again.",
        unit="ereports",
    ),
    GAPS := _counter("gaps_total", "Gaps seen in the numbers of ereports.", unit="gaps"),
    UNLOCATED := _counter(
        "unlocated_errors_total",
        "Ereports without a valid address: no page can be blamed.",
        unit="ereports",
    ),
    OUT_OF_RANGE := _counter(
        "out_of_range_errors_total",
        "Ereports of an address that the host does not have.",
        unit="ereports",
    ),
    PAGES_TRACKED := _gauge("pages_tracked", "Pages whose errors are being counted.", unit="pages"),
    PAGES_EVICTED := _counter(
        "pages_evicted_total",
        "Pages forgotten because the engine's table was full.",
        unit="pages",
    ),
    NEWEST := _gauge(
        "last_ereport_timestamp_seconds",
        "When the newest ereport of the last batch was made.",
        unit="seconds",
    ),
    DELAY := _seconds(
        "ereport_delay_seconds",
        "From an error to its being counted for good: the newest of each batch.",
        DELAY_SECONDS,
    ),
    COMMIT := _seconds("commit_duration_seconds", "Making one batch durable.", COMMIT_SECONDS),
)

# The memory, as its errors show it.
MEMORY: tuple[Row, ...] = (
    DIMM_INFO := _gauge(
        "dimm_info",
        "1 for each DIMM that the host has; part and serial are for the order of another one.",
        _DIMM,
        *_ONE_OF_A_DIMM,
        most=DIMMS_MAX,
    ),
    ERRORS := _counter(
        "memory_errors_total",
        "Errors, of any kind, by the DIMM that the ereport names.",
        _DIMM,
        unit="errors",
    ),
    BANK_ERRORS := _counter(
        "bank_errors_total",
        "Errors, of any kind, by where on the DIMM; from a bank's first error on.",
        _DIMM,
        _RANK,
        _BANK,
        unit="errors",
        most=BANKS_MAX + 1,
    ),
    UNCORRECTED := _counter(
        "uncorrected_errors_total",
        "Ereports of uncorrected errors: counted, not acted on.",
        _DIMM,
        unit="ereports",
    ),
    DIMM_PAGES := _gauge(
        "dimm_pages",
        "Pages that are retired, parked or on their way, of the rank of a DIMM that has most.",
        _DIMM,
        unit="pages",
    ),
    DIMM_PAGES_MAX := _gauge(
        "dimm_pages_max", "How many that may be before the DIMM is to be replaced.", unit="pages"
    ),
    DIMMS_TO_REPLACE := _gauge(
        "dimms_to_replace",
        "DIMMs with a rank of which as many pages are retired as may be.",
        unit="DIMMs",
    ),
    RETIRED_BYTES := _gauge("retired_bytes", "Memory that we took out of use.", unit="bytes"),
    RETIRED_BYTES_MAX := _gauge(
        "retired_bytes_max", "How much of it there may be on this host.", unit="bytes"
    ),
)

# What was decided, and what it did to guests.
CASES: tuple[Row, ...] = (
    CASES_NOW := _gauge("cases", "Cases, by the state they are in.", _STATE, unit="cases"),
    OPENED := _counter(
        "cases_opened_total",
        "Cases, by who wants their page out of use.",
        Label("origin", tuple(Origin)),
        unit="cases",
    ),
    TRANSITIONS := _counter(
        "case_transitions_total",
        "Steps of cases, by the state they led to.",
        _STATE,
        unit="steps",
    ),
    STEP := _seconds(
        "case_step_duration_seconds",
        "One step, by the state it left.",
        STEP_SECONDS,
        Label("state", COMMANDING),
    ),
    OLDEST_OPEN := _gauge(
        "oldest_open_case_timestamp_seconds",
        "When the oldest case that is under way was opened; 0: none is.",
        unit="seconds",
    ),
    OLDEST_PARKED := _gauge(
        "oldest_parked_case_timestamp_seconds",
        "Since when the longest-parked case waits for its page to be let go; 0: none does.",
        unit="seconds",
    ),
    CAPS_REACHED := _counter(
        "caps_reached_total",
        "Cases refused, or put off, by a cap of our own.",
        Label("refusal", tuple(CAPS)),
        unit="cases",
    ),
    POLICY_RELOADS := _counter(
        "policy_reloads_total",
        "Times that the configuration was read again, by whether it was taken.",
        Label("result", ("taken", "refused")),
        unit="reloads",
    ),
    WOULD_OFFLINE := _counter(
        "would_offline_total",
        "Pages only looked at, by what would have been done about them first.",
        Label("first", WOULD),
        unit="pages",
    ),
    CASES_DROPPED := _counter(
        "cases_dropped_total",
        "Cases closed because the host has another DIMM there now.",
        unit="cases",
    ),
    MARKS_UNLISTED := _counter(
        "marks_unlisted_total",
        "Starts at a hypervisor that keeps no list of the pages that others have marked.",
        unit="starts",
    ),
    MESSAGES_COALESCED := _counter(
        "case_messages_coalesced_total",
        "Moves of cases not published: a newer one was.",
        unit="messages",
    ),
    PAUSE := _seconds(
        "guest_pause_seconds", "How long guests stood still because of us.", PAUSE_SECONDS
    ),
    FOUND_STOPPED := _counter(
        "guests_found_stopped_total",
        "Guests that stood still when the agent started, and not because of it.",
        unit="guests",
    ),
)

# How the peers answer.
PEERS: tuple[Row, ...] = (
    CALLS_MADE := _counter(
        "calls_total", "Calls to hypervisor and toolstack.", _CALL, _OUTCOME, unit="calls"
    ),
    CALL := _seconds("call_duration_seconds", "From a call to its answer.", CALL_SECONDS, _CALL),
    BROKER_CONNECTED := _gauge("broker_connected", "1 while there is a connection."),
    BROKER_LOST := _counter(
        "broker_connections_lost_total",
        "Connections that ended, or did not come about.",
        unit="connections",
    ),
)

# The agent itself.
AGENT: tuple[Row, ...] = (
    BUILD := _gauge("build_info", "1: which agent this is.", *_ONCE),
    MODE := _gauge(
        "mode",
        "1 for the mode that it is in: enforce acts, observe only looks.",
        Label("mode", MODES),
    ),
    HEALTHY := _gauge("healthy", "1 if nothing ails the agent: /healthz says what does."),
    LAG := _seconds(
        "event_loop_lag_seconds",
        "By how much the agent's heartbeat, once a second, came late.",
        LAG_SECONDS,
    ),
)

TABLE = (*INTAKE, *MEMORY, *CASES, *PEERS, *AGENT)

# What a bridge brings over: a process of its own, with a page of its own.
BRIDGE: tuple[Row, ...] = (
    BRIDGE_READ := _counter(
        "bridge_items_read_total", "Lines, or records, read from the source.", unit="items"
    ),
    BRIDGE_EREPORTS := _counter(
        "bridge_ereports_total",
        "Ereports made of them, written down and numbered.",
        unit="ereports",
    ),
    BRIDGE_ERRORS := _counter(
        "bridge_memory_errors_total",
        "Errors, of any kind, that these ereports stand for.",
        unit="errors",
    ),
    BRIDGE_REFUSED := _counter(
        "bridge_refused_total",
        "Lines about a memory error that could not be read.",
        unit="items",
    ),
    BRIDGE_PUBLISHED := _counter(
        "bridge_published_total",
        "Ereports that the broker took, each time that it did.",
        unit="ereports",
    ),
    BRIDGE_APPLIED := _counter(
        "bridge_applied_total",
        "Ereports that the agent said it has applied.",
        unit="ereports",
    ),
    BRIDGE_LOST := _counter(
        "bridge_lost_total",
        "Ereports that had to make room before the agent applied them.",
        unit="ereports",
    ),
    BRIDGE_KEPT := _gauge(
        "bridge_spool_ereports", "Ereports kept because they are not applied yet.", unit="ereports"
    ),
    BRIDGE_BEHIND := _gauge(
        "bridge_behind_seconds", "How long the oldest of them has been waiting.", unit="seconds"
    ),
    BRIDGE_CONNECTED := _gauge(
        "bridge_broker_connected", "1 while the bridge has a connection to the broker."
    ),
)


class Instruments:
    """A whole table, made in one registry: `instruments[EREPORTS].labels(…).inc()`."""

    def __init__(self, registry: CollectorRegistry, table: Iterable[Row] = TABLE) -> None:
        self._made = {row.name: _made(row, registry) for row in table}

    def __getitem__(self, row: Declared[Instrument]) -> Instrument:
        return cast("Instrument", self._made[row.name])


def _made(row: Row, registry: CollectorRegistry) -> Counter | Gauge | Histogram:
    """An instrument, the children of closed label lists included."""
    names = tuple(label.name for label in row.labels)
    made: Counter | Gauge | Histogram
    if row.kind is Histogram:
        made = Histogram(row.name, row.help, names, buckets=row.buckets, registry=registry)
    else:
        made = row.kind(row.name, row.help, names, registry=registry)
    if row.labels and row.is_closed:
        for values in product(*(label.values for label in row.labels)):
            made.labels(*values)
    return made


def series_max(rows: Iterable[Row] = TABLE) -> int:
    """How many lines with a value the page can come to, whatever happens."""
    return sum(row.series_max for row in rows)
