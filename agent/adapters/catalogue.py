"""Every metric there is: name, meaning, labels. The only file with metric names.

Labels come from closed lists whose children exist from the start, so that a zero is a zero and the
first event is seen as an increase. The one open list, DIMM labels, is bounded by whoever counts.
Neither a page nor a guest is ever a label: there may be any number of them, and they come and go.
"""

from collections.abc import Iterable
from enum import StrEnum
from itertools import product
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from agent.contract.hypercall import Call
from agent.contract.toolstack import ToolCall, ToolOutcome
from agent.diagnosis.admission import Unfit
from agent.retirement.caps import CAPS
from agent.retirement.case import Origin
from agent.retirement.ladder import Rung
from agent.retirement.states import State

PREFIX = "pagewarden_"

CALLS = tuple(path.rpartition("/")[2] for path in (*Call, *ToolCall))
OUTCOMES = (*ToolOutcome, "unreachable", "not_a_call")

NO_RUNG = "no_rung"  # nothing more than the request itself
WOULD = (*Rung, NO_RUNG)

COMMIT_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
CALL_SECONDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 120)
PAUSE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
STEP_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300)


Metric = TypeVar("Metric", Counter, Gauge, Histogram)


class Result(StrEnum):
    """What became of an ereport."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"


class Maker:
    """Makes metrics in one registry, children of closed label lists included."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, name: str, text: str, **labels: Iterable[str]) -> Counter:
        made = Counter(PREFIX + name, text, tuple(labels), registry=self._registry)
        return _with_children(made, labels)

    def gauge(self, name: str, text: str, **labels: Iterable[str]) -> Gauge:
        made = Gauge(PREFIX + name, text, tuple(labels), registry=self._registry)
        return _with_children(made, labels)

    def histogram(
        self, name: str, text: str, buckets: tuple[float, ...], **labels: Iterable[str]
    ) -> Histogram:
        made = Histogram(
            PREFIX + name, text, tuple(labels), buckets=buckets, registry=self._registry
        )
        return _with_children(made, labels)


def _with_children(metric: Metric, labels: dict[str, Iterable[str]]) -> Metric:
    """`metric`, its children made. A label whose list is empty is open: nothing is made for it."""
    if labels:
        for values in product(*labels.values()):
            metric.labels(*values)
    return metric


class Intake:
    """What came in."""

    def __init__(self, make: Maker) -> None:
        self.messages_refused = make.counter(
            "messages_refused_total", "Messages that were not let in.", kind=Unfit
        )
        self.ereports = make.counter("ereports_total", "Ereports taken off the bus.", result=Result)
        self.ereports_missed = make.counter(
            "ereports_missed_total",
            "Ereports that did not arrive in their turn, whatever became of them since.",
        )
        self.ereports_missing = make.gauge(
            "ereports_missing", "Ereports that did not arrive yet and are not given up."
        )
        self.ereports_recovered = make.counter(
            "ereports_recovered_total",
            "Ereports that arrived after they had been missed, or even given up.",
        )
        self.ereports_lost = make.counter(
            "ereports_lost_total", "Ereports given up, because nobody sent them when asked again."
        )
        self.gaps = make.counter("gaps_total", "Gaps seen in the numbers of ereports.")
        self.errors = make.counter(
            "memory_errors_total",
            "Errors, of any kind, by the DIMM that the ereport names.",
            dimm=(),
        )
        self.unlocated = make.counter(
            "unlocated_errors_total", "Ereports without a valid address: no page can be blamed."
        )
        self.out_of_range = make.counter(
            "out_of_range_errors_total", "Ereports of an address that the host does not have."
        )
        self.uncorrected = make.counter(
            "uncorrected_errors_total", "Ereports of uncorrected errors: counted, not acted on."
        )
        self.pages_evicted = make.counter(
            "pages_evicted_total", "Pages forgotten because the engine's table was full."
        )
        self.newest = make.gauge(
            "last_ereport_timestamp_seconds", "When the newest ereport of the last batch was made."
        )
        self.commit_seconds = make.histogram(
            "commit_duration_seconds", "Making one batch durable.", COMMIT_SECONDS
        )


# The states that name a command, which takes its time.
COMMANDING = tuple(state for state in State if not state.is_final and state is not State.OBSERVED)


class Cases:
    """What was decided, and what it did to memory and guests."""

    def __init__(self, make: Maker) -> None:
        self.now = make.gauge("cases", "Cases, by the state they are in.", state=State)
        self.opened = make.counter(
            "cases_opened_total", "Cases, by who wants their page out of use.", origin=Origin
        )
        self.transitions = make.counter(
            "case_transitions_total", "Steps of cases, by the state they led to.", state=State
        )
        self.step_seconds = make.histogram(
            "case_step_duration_seconds",
            "One step, by the state it left.",
            STEP_SECONDS,
            state=COMMANDING,
        )
        self.retired_bytes = make.gauge("retired_bytes", "Memory that we took out of use.")
        self.caps_reached = make.counter(
            "caps_reached_total",
            "Cases refused, or put off, by a cap of our own.",
            refusal=CAPS,
        )
        self.would = make.counter(
            "would_offline_total",
            "Pages only looked at, by what would have been done about them first.",
            first=WOULD,
        )
        self.dimms_worn_out = make.gauge(
            "dimms_to_replace", "DIMMs with a rank of which as many pages are retired as may be."
        )
        self.dropped = make.counter(
            "cases_dropped_total", "Cases closed because the host has another DIMM there now."
        )
        self.marks_unlisted = make.counter(
            "marks_unlisted_total",
            "Starts at a hypervisor that keeps no list of the pages that others have marked.",
        )
        self.messages_coalesced = make.counter(
            "case_messages_coalesced_total", "Moves of cases not published: a newer one was."
        )
        self.pause_seconds = make.histogram(
            "guest_pause_seconds", "How long guests stood still because of us.", PAUSE_SECONDS
        )
        self.found_stopped = make.counter(
            "guests_found_stopped_total",
            "Guests that stood still when the agent started, and not because of it.",
        )


class World:
    """How the peers answer."""

    def __init__(self, make: Maker) -> None:
        self.calls = make.counter(
            "calls_total", "Calls to hypervisor and toolstack.", call=CALLS, outcome=OUTCOMES
        )
        self.call_seconds = make.histogram(
            "call_duration_seconds", "From a call to its answer.", CALL_SECONDS, call=CALLS
        )
        self.broker_connected = make.gauge("broker_connected", "1 while there is a connection.")
        self.broker_lost = make.counter(
            "broker_connections_lost_total", "Connections that ended, or did not come about."
        )


class Crossing:
    """What a bridge brings over. The agent has none of these: a bridge is a process of its own."""

    def __init__(self, make: Maker) -> None:
        self.read = make.counter(
            "bridge_items_read_total", "Lines, or records, read from the source."
        )
        self.ereports = make.counter(
            "bridge_ereports_total", "Ereports made of them, written down and numbered."
        )
        self.errors = make.counter(
            "bridge_memory_errors_total", "Errors, of any kind, that these ereports stand for."
        )
        self.refused = make.counter(
            "bridge_refused_total", "Lines about a memory error that could not be read."
        )
        self.published = make.counter(
            "bridge_published_total", "Ereports that the broker took, each time that it did."
        )
        self.applied = make.counter(
            "bridge_applied_total", "Ereports that the agent said it has applied."
        )
        self.lost = make.counter(
            "bridge_lost_total", "Ereports that had to make room before the agent applied them."
        )
        self.kept = make.gauge(
            "bridge_spool_ereports", "Ereports kept because they are not applied yet."
        )
        self.behind = make.gauge(
            "bridge_behind_seconds", "How long the oldest of them has been waiting."
        )
        self.connected = make.gauge(
            "bridge_broker_connected", "1 while the bridge has a connection to the broker."
        )
