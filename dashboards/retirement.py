"""Dashboard 3: what became of failing pages, and did guests notice?"""

from agent.adapters import catalogue as row
from agent.retirement.states import State
from dashboards import limits
from dashboards.grafana import Column, Dashboard, Kind, Panel, Query, Row, Unit
from dashboards.panels import ANNOTATIONS, HOST, JOB, age, by, increase, of, quantile
from dashboards.rules import P99, STOPPED, STOPPED_FOR

_STANDING = of(row.CASES_NOW, more=f'state=~"{STOPPED}"')
_UNDER_WAY = "|".join(state for state in State if not state.is_at_rest)


def _cases(title: str, description: str, states: str) -> Panel:
    cases = of(row.CASES_NOW, more=f'state=~"{states}"')
    query = Query(f"sum({cases})")
    return Panel(Kind.STAT, title, description, Unit.NUMBER, (query,), width=4, height=4)


BECAME = Row(
    "What became of failing pages?",
    (
        _cases("On their way", "Cases with something under way.", _UNDER_WAY),
        _cases("Retired", "Pages out of use: the hypervisor was asked, and said so.", "retired"),
        _cases("Parked", "Pages that go as soon as whoever holds them lets go.", "parked"),
        _cases(
            "Put off", "Cases that wait for a window, or for an hour with fewer stops.", "postponed"
        ),
        _cases(
            "Unretirable", "Pages that cannot be taken, or that a cap leaves in use.", "unretirable"
        ),
        _cases("Only looked at", "Pages of agents in observe mode.", "observed"),
        Panel(
            Kind.SERIES,
            "Steps of cases",
            "Steps in an hour, by where they led.",
            Unit.NUMBER,
            (Query(f"{by('state', increase(row.TRANSITIONS, '1h'))} > 0", "{{state}}"),),
            stacked=True,
            width=12,
        ),
        Panel(
            Kind.SERIES,
            "Who wants pages out of use",
            "Cases opened in an hour: by errors (verdict), by an operator, or found marked already.",
            Unit.NUMBER,
            (Query(f"{by('origin', increase(row.OPENED, '1h'))}", "{{origin}}"),),
            stacked=True,
            width=12,
        ),
        Panel(
            Kind.SERIES,
            "Oldest case under way",
            "How long ago it was opened. Nothing takes a quarter of an hour.",
            Unit.SECONDS,
            (Query(age(row.OLDEST_OPEN), "{{instance}}"),),
            limits.CASE_SECONDS,
            width=12,
        ),
        Panel(
            Kind.SERIES,
            "Longest-parked page",
            "How long a failing page has been in use because nobody lets go of it.",
            Unit.SECONDS,
            (Query(age(row.OLDEST_PARKED), "{{instance}}"),),
            limits.PARKED_SECONDS,
            width=12,
        ),
        Panel(
            Kind.SERIES,
            "Caps reached",
            "Pages left in use, or put off, in 15 minutes, by the cap that said so.",
            Unit.NUMBER,
            (
                Query(
                    by("instance, refusal", increase(row.CAPS_REACHED, "15m")),
                    "{{instance}} {{refusal}}",
                ),
            ),
            limits.ANY,
        ),
        Panel(
            Kind.SERIES,
            "What would be done",
            "Agents in observe mode: what they would have done first, pages in an hour.",
            Unit.NUMBER,
            (Query(by("first", increase(row.WOULD_OFFLINE, "1h")), "{{first}}"),),
            stacked=True,
        ),
        Panel(
            Kind.SERIES,
            "Cases dropped",
            "Closed because the host has another DIMM there now, in an hour.",
            Unit.NUMBER,
            (Query(by("instance", increase(row.CASES_DROPPED, "1h")), "{{instance}}"),),
        ),
    ),
)

GUESTS = Row(
    "Do guests notice?",
    (
        Panel(
            Kind.SERIES,
            "Pauses of guests",
            "How long guests stood still, at a time: half of the stops of the last hour were shorter, and 99 of 100.",
            Unit.SECONDS,
            (
                Query(quantile(row.PAUSE, "1h", "0.5"), "{{instance}} half"),
                Query(quantile(row.PAUSE, "1h", P99), "{{instance}} 99 of 100"),
            ),
            limits.PAUSE_SECONDS,
        ),
        Panel(
            Kind.HEATMAP,
            "Pauses, one by one",
            "Each stop falls into a cell, by when it was and how long it took.",
            Unit.SECONDS,
            (Query(by("le", increase(row.PAUSE, "$__interval", "_bucket")), "{{le}}"),),
            interval="15m",
        ),
        Panel(
            Kind.SERIES,
            "Time stood still",
            "Seconds of all guests together, in the last hour.",
            Unit.SECONDS,
            (Query(by("instance", increase(row.PAUSE, "1h", "_sum")), "{{instance}}"),),
            limits.PAUSED_SECONDS_PER_HOUR,
        ),
        Panel(
            Kind.SERIES,
            "Cases whose guest stands still",
            "Cases at a step in which their guest stands still: for a moment each. One that stays is the alert.",
            Unit.NUMBER,
            (
                Query(
                    by(
                        "instance",
                        f"min_over_time({_STANDING}[{STOPPED_FOR}])",
                    ),
                    "{{instance}}",
                ),
            ),
            limits.ANY_NOW,
        ),
        Panel(
            Kind.SERIES,
            "Guests that may be damaged",
            "Calls in 15 minutes that ended half-way.",
            Unit.NUMBER,
            (
                Query(
                    by(
                        "instance",
                        increase(row.CALLS_MADE, "15m", more='outcome="guest_may_be_damaged"'),
                    ),
                    "{{instance}}",
                ),
            ),
            limits.ANY_NOW,
        ),
        Panel(
            Kind.STAT,
            "Found stopped at a start",
            "Guests that stood still when the agent started, and not because of it: they were left alone.",
            Unit.NUMBER,
            (Query(f"sum({of(row.FOUND_STOPPED)})"),),
        ),
    ),
)

TIME = Row(
    "Where does the time go?",
    (
        Panel(
            Kind.SERIES,
            "Time of a step",
            "Mean time of a step in the last hour, by the state that it left.",
            Unit.SECONDS,
            (
                Query(
                    f"{by('state', increase(row.STEP, '1h', '_sum'))}"
                    f" / ({by('state', increase(row.STEP, '1h', '_count'))} > 0)",
                    "{{state}}",
                ),
            ),
            width=12,
        ),
        Panel(
            Kind.SERIES,
            "Time of a call",
            "From a call to its answer: 99 of 100 of the last hour were faster.",
            Unit.SECONDS,
            (Query(f"{quantile(row.CALL, '1h', P99, 'call')} >= 0", "{{call}}"),),
            width=12,
        ),
        Panel(
            Kind.TABLE,
            "Calls of the last day",
            "How often each call was made, and how it ended.",
            Unit.NUMBER,
            (
                Query(
                    f"round({by('call, outcome', increase(row.CALLS_MADE, '1d'))}) > 0",
                    instant=True,
                ),
            ),
            width=24,
            columns=(
                Column("call", "Call"),
                Column("outcome", "Outcome"),
                Column("Value", "Calls"),
            ),
        ),
    ),
)

RETIREMENT = Dashboard(
    "pagewarden-retirement",
    "pagewarden: retirement and guest pauses",
    "What became of failing pages, whether guests noticed, and where the time went.",
    (BECAME, GUESTS, TIME),
    (JOB, HOST),
    annotations=ANNOTATIONS,
)
