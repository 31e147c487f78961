"""Dashboard 2: which DIMM, where in it, and is it getting worse?"""

from agent.adapters import catalogue as row
from dashboards import limits
from dashboards.grafana import Dashboard, Kind, Panel, Query, Row, Unit
from dashboards.panels import ANNOTATIONS, DIMM, HOST, JOB, OF_DIMM, by, increase, of

_ERRORS = increase(row.ERRORS, "1d", where=OF_DIMM)
_PAGES = by("instance, dimm", of(row.DIMM_PAGES, where=OF_DIMM))
_RATIO = f"{_PAGES} / on (instance) group_left () max by (instance) ({of(row.DIMM_PAGES_MAX)})"
_BANK = 'label_join({}, "place", " ", "dimm", "rank", "bank")'
_BANKS = by("instance, dimm, rank, bank", increase(row.BANK_ERRORS, "$__interval", where=OF_DIMM))

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
                ("instance", "Host"),
                ("dimm", "DIMM"),
                ("part", "Part"),
                ("serial", "Serial"),
                ("Value #B", "Errors, 24 h"),
                ("Value #C", "Pages taken"),
                ("Value #D", "Uncorrected, 24 h"),
            ),
        ),
        Panel(
            Kind.HISTORY,
            "Errors by DIMM and time",
            "A line for each DIMM that had errors; a cell is a quarter of an hour. Amber: so many a day are too many.",
            Unit.NUMBER,
            (
                Query(
                    f"{by('instance, dimm', increase(row.ERRORS, '$__interval', where=OF_DIMM))}"
                    f" and on (instance, dimm) ({by('instance, dimm', increase(row.ERRORS, '$__range', where=OF_DIMM))} > 0)",
                    "{{instance}} {{dimm}}",
                ),
            ),
            limits.ERRORS_PER_DAY,
            width=24,
            height=8,
            interval="15m",
        ),
    ),
)

WHERE = Row(
    "Where in the DIMM?",
    (
        Panel(
            Kind.HEATMAP,
            "Banks by time",
            "A row for each bank with errors: DIMM, rank, bank. One lit row is a failing cell, row or bank; many in one rank are a chip or the bus.",
            Unit.NUMBER,
            (
                Query(
                    f"{_BANKS} and on (instance, dimm, rank, bank)"
                    f" ({by('instance, dimm, rank, bank', increase(row.BANK_ERRORS, '$__range', where=OF_DIMM))} > 0)",
                    "{{dimm}} r{{rank}} b{{bank}}",
                ),
            ),
            width=16,
            height=10,
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
                    "topk(15, "
                    + by(
                        "instance, dimm, rank, bank",
                        increase(row.BANK_ERRORS, "$__range", where=OF_DIMM),
                    )
                    + " > 0)",
                    "{{dimm}} r{{rank}} b{{bank}}",
                    instant=True,
                ),
            ),
            width=8,
            height=10,
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
