"""Dashboard 2: which DIMM, where in it, and is it getting worse?"""

from agent.adapters import catalogue as row
from dashboards import limits
from dashboards.grafana import Column, Dashboard, Kind, Panel, Query, Row, Unit
from dashboards.panels import ANNOTATIONS, DIMM, HOST, JOB, OF_DIMM, by, increase, of

_ERRORS = increase(row.ERRORS, "1d", where=OF_DIMM)
_PAGES = by("instance, dimm", of(row.DIMM_PAGES, where=OF_DIMM))
_RATIO = f"{_PAGES} / on (instance) group_left () max by (instance) ({of(row.DIMM_PAGES_MAX)})"
_BANKS = by("instance, dimm, rank, bank", increase(row.BANK_ERRORS, "$__interval", where=OF_DIMM))
_ROWS = 24  # more than that have no room for their names
_BANKS_IN_ALL = by(
    "instance, dimm, rank, bank", increase(row.BANK_ERRORS, "$__range", where=OF_DIMM)
)


def _worst(expr: str) -> str:
    """The ones that are the largest in the end: the same ones at each moment."""
    at_the_end = expr.replace("[$__range]", "[$__range] @ end()")
    return f"topk({_ROWS}, {at_the_end} > 0)"


WHICH = Row(
    "Which DIMM?",
    (
        Panel(
            Kind.TABLE,
            "DIMMs",
            "What is in each slot, for the order of another one, and how it did in the last day.",
            Unit.NUMBER,
            (
                Query(
                    f"max by (instance, dimm, part, serial) ({of(row.DIMM_INFO, where=OF_DIMM)})",
                    instant=True,
                ),
                Query(by("instance, dimm", _ERRORS), instant=True),
                Query(_PAGES, instant=True),
                Query(
                    by("instance, dimm", increase(row.UNCORRECTED, "1d", where=OF_DIMM)),
                    instant=True,
                ),
            ),
            width=24,
            height=9,
            columns=(
                Column("instance", "Host"),
                Column("dimm", "DIMM"),
                Column("Value #B", "Errors, 24 h"),
                Column("Value #C", "Pages taken"),
                Column("Value #D", "Uncorrected, 24 h"),
                Column("part", "Part"),
                Column("serial", "Serial"),
            ),
            worst="Errors, 24 h",
        ),
        Panel(
            Kind.HEATMAP,
            "Errors by DIMM and time",
            "A line for each DIMM that had errors; a cell is a quarter of an hour, the brighter the more. Many in one cell are a burst; cells that go on are a part that fails.",
            Unit.NUMBER,
            (
                Query(
                    by("instance, dimm", increase(row.ERRORS, "$__interval", where=OF_DIMM))
                    + " and on (instance, dimm) "
                    + _worst(
                        by("instance, dimm", increase(row.ERRORS, "$__range", where=OF_DIMM)),
                    ),
                    "{{instance}} {{dimm}}",
                ),
            ),
            width=24,
            height=10,
            interval="15m",
            by_row=True,
        ),
    ),
)

WHERE = Row(
    "Where in the DIMM?",
    (
        Panel(
            Kind.HEATMAP,
            "Banks by time",
            "A row for each of the 24 banks with most errors: DIMM, rank, bank. One lit row is a failing cell, row or bank; many in one rank are a chip or the bus.",
            Unit.NUMBER,
            (
                Query(
                    f"{_BANKS} and on (instance, dimm, rank, bank) {_worst(_BANKS_IN_ALL)}",
                    "{{dimm}} r{{rank}} b{{bank}}",
                ),
            ),
            width=16,
            height=12,
            interval="15m",
            by_row=True,
        ),
        Panel(
            Kind.BARS,
            "Banks with most errors",
            "In the time that is chosen above: DIMM, rank, bank.",
            Unit.NUMBER,
            (
                Query(
                    f"topk(12, {_BANKS_IN_ALL} > 0)",
                    "{{dimm}} r{{rank}} b{{bank}}",
                    instant=True,
                ),
            ),
            width=8,
            height=12,
        ),
        Panel(
            Kind.SERIES,
            "Rows found failing",
            "In the day before: rows with more errors than one page has before it is taken. The agent's log and page name them.",
            Unit.NUMBER,
            (
                Query(
                    by("instance, dimm", increase(row.FAILING_ROWS, "1d", where=OF_DIMM)),
                    "{{instance}} {{dimm}}",
                ),
            ),
            width=12,
        ),
        Panel(
            Kind.SERIES,
            "Banks found failing",
            "In the day before: banks with errors in many rows. Its pages go faster than they can be taken: replace the DIMM.",
            Unit.NUMBER,
            (
                Query(
                    by("instance, dimm", increase(row.FAILING_BANKS, "1d", where=OF_DIMM)),
                    "{{instance}} {{dimm}}",
                ),
            ),
            limits.ANY,
            width=12,
        ),
    ),
)

WORSE = Row(
    "Is it getting worse?",
    (
        Panel(
            Kind.SERIES,
            "Errors of the last day",
            "At each moment, the errors of the day before it. Above the line, and still rising: the alert.",
            Unit.NUMBER,
            (Query(f"{by('instance, dimm', _ERRORS)} > 0", "{{instance}} {{dimm}}"),),
            limits.ERRORS_PER_DAY,
        ),
        Panel(
            Kind.SERIES,
            "Pages taken",
            "Pages of the DIMM that are retired, parked or on their way, as a part of how many may be.",
            Unit.RATIO,
            (Query(_RATIO, "{{instance}} {{dimm}}"),),
            limits.DIMM_RATIO,
        ),
        Panel(
            Kind.SERIES,
            "Uncorrected errors",
            "In 15 minutes. The data of that page are gone; whoever reads there is hit.",
            Unit.NUMBER,
            (
                Query(
                    by("instance, dimm", increase(row.UNCORRECTED, "15m", where=OF_DIMM)),
                    "{{instance}} {{dimm}}",
                ),
            ),
            limits.ANY_NOW,
        ),
        Panel(
            Kind.SERIES,
            "Retired memory of the host",
            "Memory out of use, as a part of what may be. At 1 failing pages are left in use.",
            Unit.RATIO,
            (
                Query(
                    f"{of(row.RETIRED_BYTES)} / on (job, instance) {of(row.RETIRED_BYTES_MAX)}",
                    "{{instance}}",
                ),
            ),
            limits.RETIRED_RATIO,
            width=12,
        ),
        Panel(
            Kind.SERIES,
            "Retired memory, in bytes",
            "Memory that the agent took out of use, all lives of it together.",
            Unit.BYTES,
            (Query(of(row.RETIRED_BYTES), "{{instance}}"),),
            width=12,
        ),
    ),
)

DIMMS = Dashboard(
    "pagewarden-dimms",
    "pagewarden: DIMM health",
    "Which DIMM has errors, where in it they lie, and whether it is to be replaced.",
    (WHICH, WHERE, WORSE),
    (JOB, HOST, DIMM),
    annotations=ANNOTATIONS,
)
