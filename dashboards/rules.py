"""Alerts and recording rules, a row each: what fires, when, and what it says.

Three habits. A gauge is looked at through `max_over_time` (or `min_over_time`), so that a scrape
that was missed neither fires nor resolves. A quantile counts only if there was enough to take it
from. And what is about one host is summed `by (job, instance)`, so that a restart changes nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from agent.adapters import catalogue as row
from agent.adapters.catalogue import Declared, Instrument
from agent.retirement.docket import CAPPING
from agent.retirement.states import State
from dashboards import limits
from dashboards.limits import Limit
from dashboards.yaml import Node, as_yaml

JOB = "pagewarden"
HOST = "job, instance"
CRITICAL, WARNING, INFO = "critical", "warning", "info"

STOPPED = "|".join(state for state in State if state.stops_guest)
STOPPED_FOR = "5m"  # twice the longest call: whoever stands still then is forgotten
FAILED_OUTCOMES = "failed|unreachable|not_a_call"

P99 = "0.99"


@dataclass(frozen=True, slots=True)
class Recording:
    """A series that costs something to compute, and is asked for by alerts and panels."""

    name: str
    expr: str


@dataclass(frozen=True, slots=True)
class Alert:
    """`limits` are what its expression compares with; a panel draws them too."""

    name: str
    severity: str
    expr: str
    summary: str
    description: str
    wait: str = "0m"
    limits: tuple[Limit, ...] = ()


def quantile(of: Declared[Instrument], window: str, select: str = "", q: str = P99) -> str:
    """That quantile of a histogram, a host at a time."""
    buckets = f"rate({of.name}_bucket{select}[{window}])"
    return f"histogram_quantile({q}, sum by ({HOST}, le) ({buckets}))"


def often_enough(of: Declared[Instrument], least: Limit, window: str = "1h") -> str:
    """True for hosts where that was measured often enough to speak of a quantile."""
    return f"sum by ({HOST}) (increase({of.name}_count[{window}])) >= {least.warn:g}"


def both(first: str, second: str, on: str = HOST) -> str:
    return f"({first})\n  and on ({on}) ({second})"


PAUSE_P99 = Recording("instance:pagewarden_guest_pause_seconds:p99_1h", quantile(row.PAUSE, "1h"))
DELAY_P99 = Recording("instance:pagewarden_ereport_delay_seconds:p99_1h", quantile(row.DELAY, "1h"))
COMMIT_P99 = Recording(
    "instance:pagewarden_commit_duration_seconds:p99_1h", quantile(row.COMMIT, "1h")
)
LAG_P99 = Recording("instance:pagewarden_event_loop_lag_seconds:p99_5m", quantile(row.LAG, "5m"))
ERRORS_1D = Recording(
    "instance_dimm:pagewarden_memory_errors:increase1d",
    f"sum by ({HOST}, dimm) (increase({row.ERRORS.name}[1d]))",
)
DIMM_RATIO = Recording(
    "instance_dimm:pagewarden_dimm_pages:ratio",
    f"max_over_time({row.DIMM_PAGES.name}[5m])\n"
    f"  / on ({HOST}) group_left () max_over_time({row.DIMM_PAGES_MAX.name}[5m])",
)
RETIRED_RATIO = Recording(
    "instance:pagewarden_retired_bytes:ratio",
    f"max_over_time({row.RETIRED_BYTES.name}[5m])\n"
    f"  / on ({HOST}) max_over_time({row.RETIRED_BYTES_MAX.name}[5m])",
)

RECORDINGS = (PAUSE_P99, DELAY_P99, COMMIT_P99, LAG_P99, ERRORS_1D, DIMM_RATIO, RETIRED_RATIO)


def _age(of: Declared[Instrument], limit: Limit) -> str:
    """Older than that; 0 stands for none."""
    seen = f"max_over_time({of.name}[5m])"
    return both(f"time() - {seen} > {limit.warn:g}", f"{seen} > 0")


AGENT = (
    Alert(
        "PagewardenDown",
        CRITICAL,
        f'max_over_time(up{{job="{JOB}"}}[5m]) < {limits.HEALTHY.warn:g}',
        "The agent does not answer scrapes.",
        "No metrics from {{ $labels.instance }} for over 5 minutes. Its guests run on; errors of its "
        "memory are not acted on.",
        wait="1m",
        limits=(limits.HEALTHY,),
    ),
    Alert(
        "PagewardenRestarting",
        WARNING,
        f'changes(process_start_time_seconds{{job="{JOB}"}}[30m]) > {limits.RESTARTS.warn:g}',
        "The agent keeps starting anew.",
        "{{ $labels.instance }} started {{ $value | humanize }} times in half an hour.",
        limits=(limits.RESTARTS,),
    ),
    Alert(
        "PagewardenUnhealthy",
        WARNING,
        f"max_over_time({row.HEALTHY.name}[5m]) < {limits.HEALTHY.warn:g}",
        "Something ails the agent.",
        "{{ $labels.instance }} has not been well for over 5 minutes; its /healthz says what it is.",
        wait="5m",
        limits=(limits.HEALTHY,),
    ),
    Alert(
        "PagewardenLoopStalled",
        WARNING,
        f"{LAG_P99.name} > {limits.LOOP_LAG_SECONDS.warn:g}",
        "The agent's event loop stands still for long stretches.",
        "The heartbeat of {{ $labels.instance }} comes up to {{ $value | humanizeDuration }} late.",
        wait="10m",
        limits=(limits.LOOP_LAG_SECONDS,),
    ),
    Alert(
        "PagewardenCommitsSlow",
        WARNING,
        both(
            f"{COMMIT_P99.name} > {limits.COMMIT_SECONDS.warn:g}",
            often_enough(row.COMMIT, limits.COMMITS_MIN),
        ),
        "The journal's disk is slow.",
        "Making a batch durable takes {{ $labels.instance }} up to {{ $value | humanizeDuration }}.",
        wait="15m",
        limits=(limits.COMMIT_SECONDS, limits.COMMITS_MIN),
    ),
    Alert(
        "PagewardenObserving",
        INFO,
        f'min_over_time({row.MODE.name}{{mode="observe"}}[15m]) == 1',
        "The agent only looks.",
        "{{ $labels.instance }} has been in observe mode for a day: errors are counted, no page is "
        "taken.",
        wait="1d",
    ),
)

INTAKE = (
    Alert(
        "PagewardenBrokerAway",
        CRITICAL,
        f"max_over_time({row.BROKER_CONNECTED.name}[5m]) < {limits.HEALTHY.warn:g}",
        "The agent has no broker.",
        "{{ $labels.instance }} has had no connection for over 10 minutes and hears of no error.",
        wait="5m",
        limits=(limits.HEALTHY,),
    ),
    Alert(
        "PagewardenEreportsLost",
        WARNING,
        f"sum by ({HOST}) (increase({row.EREPORTS_LOST.name}[15m])) > {limits.ANY.warn:g}",
        "Reports of errors are lost for good.",
        "{{ $value | humanize }} ereports of {{ $labels.instance }} were given up: nobody could send "
        "them again. Counts of its pages are too low by as many.",
        limits=(limits.ANY,),
    ),
    Alert(
        "PagewardenEreportsMissing",
        WARNING,
        f"min_over_time({row.EREPORTS_MISSING.name}[15m]) > {limits.ANY.warn:g}",
        "Reports of errors do not arrive.",
        "{{ $value | humanize }} ereports of {{ $labels.instance }} were asked for again and have not "
        "come for 15 minutes.",
        wait="5m",
        limits=(limits.ANY,),
    ),
    Alert(
        "PagewardenEreportsLate",
        WARNING,
        both(
            f"{DELAY_P99.name} > {limits.DELAY_SECONDS.warn:g}",
            often_enough(row.DELAY, limits.COMMITS_MIN),
        ),
        "Errors are heard of late.",
        "On {{ $labels.instance }} up to {{ $value | humanizeDuration }} pass from an error to its "
        "being counted.",
        wait="10m",
        limits=(limits.DELAY_SECONDS, limits.COMMITS_MIN),
    ),
    Alert(
        "PagewardenMessagesRefused",
        WARNING,
        f"sum by ({HOST}, kind) (increase({row.MESSAGES_REFUSED.name}[30m]))\n"
        f"  > {limits.REFUSED_MESSAGES.warn:g}",
        "Somebody sends messages that cannot be let in.",
        "{{ $value | humanize }} messages to {{ $labels.instance }} in half an hour were "
        "{{ $labels.kind }}; they are kept in its journal.",
        limits=(limits.REFUSED_MESSAGES,),
    ),
    Alert(
        "PagewardenPagesForgotten",
        WARNING,
        f"sum by ({HOST}) (increase({row.PAGES_EVICTED.name}[1h])) > {limits.ANY.warn:g}",
        "More pages have errors than can be counted.",
        "{{ $labels.instance }} forgot {{ $value | humanize }} pages in an hour: some may fail unseen.",
        limits=(limits.ANY,),
    ),
)

MEMORY = (
    Alert(
        "PagewardenUncorrectedError",
        CRITICAL,
        f"sum by ({HOST}, dimm) (increase({row.UNCORRECTED.name}[15m])) > {limits.ANY_NOW.warn:g}",
        "Memory lost data.",
        "{{ $labels.dimm }} of {{ $labels.instance }} had uncorrected errors: whoever reads there is "
        "hit.",
        limits=(limits.ANY_NOW,),
    ),
    Alert(
        "PagewardenDimmErrorsHigh",
        WARNING,
        both(
            f"{ERRORS_1D.name} > {limits.ERRORS_PER_DAY.warn:g}",
            f"sum by ({HOST}, dimm) (increase({row.ERRORS.name}[15m]))"
            f" > {limits.ERRORS_LATELY.warn:g}",
            f"{HOST}, dimm",
        ),
        "A DIMM has many errors, and goes on.",
        "{{ $labels.dimm }} of {{ $labels.instance }}: {{ $value | humanize }} errors in a day.",
        wait="20m",  # longer than the burst is seen
        limits=(limits.ERRORS_PER_DAY, limits.ERRORS_LATELY),
    ),
    Alert(
        "PagewardenBankFailing",
        WARNING,
        f"sum by ({HOST}, dimm) (increase({row.FAILING_BANKS.name}[1d])) > {limits.ANY.warn:g}",
        "A bank of a DIMM fails as a whole.",
        "{{ $labels.dimm }} of {{ $labels.instance }} has errors in many rows of one bank: its pages "
        "fail faster than they can be taken.",
        limits=(limits.ANY,),
    ),
    Alert(
        "PagewardenDimmWearing",
        WARNING,
        f"{DIMM_RATIO.name} > {limits.DIMM_RATIO.warn:g}",
        "A DIMM will have to be replaced.",
        "{{ $labels.dimm }} of {{ $labels.instance }} has lost {{ $value | humanizePercentage }} of "
        "the pages that it may lose.",
        wait="15m",
        limits=(limits.DIMM_RATIO,),
    ),
    Alert(
        "PagewardenDimmReplace",
        CRITICAL,
        f"{DIMM_RATIO.name} >= {limits.DIMM_RATIO.page:g}",
        "A DIMM is to be replaced.",
        "{{ $labels.dimm }} of {{ $labels.instance }} has lost as many pages as it may; no more of "
        "them are taken, however they fail.",
        wait="15m",
        limits=(limits.DIMM_RATIO,),
    ),
    Alert(
        "PagewardenRetiredMemoryHigh",
        WARNING,
        f"{RETIRED_RATIO.name} > {limits.RETIRED_RATIO.warn:g}",
        "The host has retired nearly as much memory as it may.",
        "{{ $labels.instance }} has retired {{ $value | humanizePercentage }} of what it may.",
        wait="15m",
        limits=(limits.RETIRED_RATIO,),
    ),
)

RETIREMENT = (
    Alert(
        "PagewardenCaseStuck",
        WARNING,
        _age(row.OLDEST_OPEN, limits.CASE_SECONDS),
        "A page is on its way out for too long.",
        "A case of {{ $labels.instance }} has been under way for {{ $value | humanizeDuration }}.",
        wait="5m",
        limits=(limits.CASE_SECONDS,),
    ),
    Alert(
        "PagewardenPageParked",
        INFO,
        _age(row.OLDEST_PARKED, limits.PARKED_SECONDS),
        "A failing page stays in use.",
        "The longest-parked page of {{ $labels.instance }} has waited for "
        "{{ $value | humanizeDuration }} for whoever holds it.",
        wait="5m",
        limits=(limits.PARKED_SECONDS,),
    ),
    Alert(
        "PagewardenCapReached",
        WARNING,
        f"sum by ({HOST}, refusal) (increase({row.CAPS_REACHED.name}"
        f'{{refusal=~"{"|".join(sorted(CAPPING))}"}}[15m])) > {limits.ANY.warn:g}',
        "Failing pages are left in use because of a cap.",
        "{{ $labels.instance }} left {{ $value | humanize }} failing pages in use: "
        "{{ $labels.refusal }}.",
        limits=(limits.ANY,),
    ),
    Alert(
        "PagewardenCallsFailing",
        WARNING,
        f"sum by ({HOST}, call, outcome) (increase({row.CALLS_MADE.name}"
        f'{{outcome=~"{FAILED_OUTCOMES}"}}[15m]))\n  > {limits.FAILED_CALLS.warn:g}',
        "Calls to hypervisor or toolstack fail.",
        "{{ $labels.call }} on {{ $labels.instance }}: {{ $value | humanize }} calls in 15 minutes "
        "ended as {{ $labels.outcome }}.",
        wait="5m",
        limits=(limits.FAILED_CALLS,),
    ),
)

GUESTS = (
    Alert(
        "PagewardenGuestStopped",
        CRITICAL,
        f"sum by ({HOST}) (min_over_time({row.CASES_NOW.name}"
        f'{{state=~"{STOPPED}"}}[{STOPPED_FOR}])) > {limits.ANY_NOW.warn:g}',
        "A guest may stand still because of the agent.",
        "On {{ $labels.instance }} a case has been at a step in which its guest stands still for over "
        "5 minutes.",
        wait="1m",
        limits=(limits.ANY_NOW,),
    ),
    Alert(
        "PagewardenGuestDamaged",
        CRITICAL,
        f"sum by ({HOST}, call) (increase({row.CALLS_MADE.name}"
        f'{{outcome="guest_may_be_damaged"}}[15m])) > {limits.ANY_NOW.warn:g}',
        "A guest may have come to harm.",
        "{{ $labels.call }} on {{ $labels.instance }} ended half-way, and its guest may be damaged.",
        limits=(limits.ANY_NOW,),
    ),
    Alert(
        "PagewardenGuestPausesLong",
        WARNING,
        both(
            f"{PAUSE_P99.name} > {limits.PAUSE_SECONDS.warn:g}",
            often_enough(row.PAUSE, limits.PAUSES_MIN),
        ),
        "Guests are stopped for too long at a time.",
        "The longest stops of guests on {{ $labels.instance }} take {{ $value | humanizeDuration }}.",
        wait="15m",
        limits=(limits.PAUSE_SECONDS, limits.PAUSES_MIN),
    ),
    Alert(
        "PagewardenGuestPausesMany",
        CRITICAL,
        both(
            f"sum by ({HOST}) (increase({row.PAUSE.name}_sum[1h]))"
            f" > {limits.PAUSED_SECONDS_PER_HOUR.warn:g}",
            f"sum by ({HOST}) (increase({row.PAUSE.name}_sum[5m]))"
            f" > {limits.PAUSED_SECONDS_LATELY.warn:g}",
        ),
        "Guests stand still for much of the time, and it goes on.",
        "Guests of {{ $labels.instance }} stood still for {{ $value | humanizeDuration }} in the last "
        "hour.",
        limits=(limits.PAUSED_SECONDS_PER_HOUR, limits.PAUSED_SECONDS_LATELY),
    ),
)

GROUPS = {
    "agent": AGENT,
    "intake": INTAKE,
    "memory": MEMORY,
    "retirement": RETIREMENT,
    "guests": GUESTS,
}
ALERTS = tuple(alert for group in GROUPS.values() for alert in group)


def rules_file(runbooks: str) -> str:
    """The rules as Prometheus reads them; `runbooks` is where the runbooks are found."""
    header = "# Written by `python -m dashboards` from dashboards/rules.py: change it there.\n"
    return header + as_yaml({"groups": list(_groups(runbooks))})


def _groups(runbooks: str) -> Iterator[Node]:
    recorded = [{"record": rule.name, "expr": rule.expr} for rule in RECORDINGS]
    yield {"name": f"{JOB}.recorded", "interval": "30s", "rules": recorded}
    for group, alerts in GROUPS.items():
        rules = [_rule(alert, group, runbooks) for alert in alerts]
        yield {"name": f"{JOB}.{group}", "rules": rules}


def _rule(alert: Alert, group: str, runbooks: str) -> Node:
    return {
        "alert": alert.name,
        "expr": alert.expr,
        **({} if alert.wait == "0m" else {"for": alert.wait}),
        "labels": {"severity": alert.severity, "component": group},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": f"{runbooks}#{alert.name.lower()}",
        },
    }
