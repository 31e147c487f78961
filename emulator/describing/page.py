"""The report: one HTML file with its style and its plots in it, and nothing from anywhere else."""

from collections.abc import Callable, Container, Sequence
from html import escape
from itertools import accumulate
from math import ceil, log10

from emulator.describing.drawing import Axis, Bar, Plot, bars
from emulator.describing.policies import POLICIES, Saved
from emulator.describing.study import Study

_STYLE = """
:root { --paper: #fbfaf7; --ink: #22262b; --soft: #6a7078; --rule: #e2dfd8; --found: #3a6ea5;
        --expected: #c4552d; --tint: 58, 110, 165; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16191d; --ink: #e6e4df; --soft: #9aa1a9; --rule: #333a42; --found: #6fa3d8;
          --expected: #f08a5d; --tint: 111, 163, 216; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem 1rem 4rem; background: var(--paper);
       color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .5rem; }
h2 { font-size: 1.05rem; line-height: 1.3; margin: 0 0 .25rem; }
p { margin: 0 0 .75rem; max-width: 44rem; }
.soft, figcaption { color: var(--soft); font-size: .875rem; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 1rem;
     margin: 1.5rem 0; padding: 1rem 0; border-block: 1px solid var(--rule); }
dt { color: var(--soft); font-size: .875rem; } dd { margin: 0; font-size: 1.35rem; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr));
         gap: 2.5rem 3rem; }
figure { margin: 0; max-width: 32rem; } svg { display: block; width: 100%; height: auto; }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft); }
svg .title { fill: var(--ink); } svg .note { fill: var(--expected); }
.grid { stroke: var(--rule); } .found { fill: var(--found); }
polyline { fill: none; stroke-width: 2; } polyline.found { fill: none; stroke: var(--found); }
polyline.expected, line.expected { stroke: var(--expected); stroke-width: 2; }
line.mark { stroke: var(--expected); stroke-dasharray: 4 3; }
.key { display: inline-block; margin-left: .5em; }
.key::before { content: ""; display: inline-block; width: .8em; height: .8em; margin-right: .35em;
               background: currentColor; }
.key.found { color: var(--found); } .key.expected { color: var(--expected); }
section { margin-top: 3rem; }
table { border-collapse: collapse; table-layout: fixed; width: 100%; max-width: 46rem;
        margin: 0 0 2rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: .4rem; }
th, td { padding: .3rem; text-align: right; vertical-align: bottom; font-size: .9rem; }
th { font-weight: 400; color: var(--soft); }
th:first-child { text-align: left; color: var(--ink); }
thead th { font-size: .8rem; } thead th:first-child { width: 4.7rem; }
thead th:nth-child(2) { width: 3.6rem; }
tbody th, td { white-space: nowrap; }
@media (max-width: 30rem) { th, td { font-size: .75rem; padding: .3rem .15rem; } }
tbody th, td { border-top: 1px solid var(--rule); }
"""

_KEY = '<span class="key found">simulated</span><span class="key expected">configured</span>'
_PER_CENT = [(0.0, "0"), (0.25, "25 %"), (0.5, "50 %"), (0.75, "75 %"), (1.0, "100 %")]
_TIMES = [(1, "1 s"), (60, "1 min"), (3600, "1 h"), (86_400, "1 d"), (2_592_000, "30 d")]


def page(study: Study) -> str:
    """The whole file."""
    title = f"{study.preset.upper()}: a year of {study.dimm_years:,} DIMMs"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1>{_introduction(study)}{_figures(study)}{_policies(study)}"
        "</body></html>\n"
    )


def _introduction(study: Study) -> str:
    facts = {
        "flaws": f"{study.flaws:,}",
        "expected by FIT": f"{study.flaws_expected:,.0f}",
        "corrected errors": f"{study.errors:,}",
        "uncorrected": f"{study.uncorrected:,}",
        "of them after a corrected one": f"{study.uncorrected_after_corrected:,}",
        f"transient; {_per_cent(study.transient_expected)} configured": _per_cent(
            study.transient_share
        ),
    }
    listed = "".join(f"<div><dt>{key}</dt><dd>{value}</dd></div>" for key, value in facts.items())
    return (
        f'<p class="soft">Simulated by pagewarden from config/faults.toml, seed {study.seed}. '
        "The same seed draws the same report.</p>"
        f"<dl>{listed}</dl>"
    )


def _figures(study: Study) -> str:
    figures = (_modes(study), _tail(study), _gaps(study), _concentration(study))
    return f'<div class="plots">{"".join(figures)}</div>'


def _figure(title: str, picture: str, caption: str) -> str:
    return f"<figure><h2>{title}</h2>{picture}<figcaption>{caption}</figcaption></figure>"


def _modes(study: Study) -> str:
    shares = [
        Bar(_shown(mode.mode), mode.found, mode.expected, f"{mode.flaws:,} flaws")
        for mode in study.modes
    ]
    picture = bars("Share of flaws by mode, simulated and configured", shares)
    return _figure("How far flaws reach", picture, f"Share of all flaws. {_KEY}")


def _tail(study: Study) -> str:
    seen = [point for point in study.tail if point.found > 0]
    least = min((point.found for point in seen), default=0.1)
    decades = max(ceil(-log10(least)), 1)
    most = max((point.errors for point in study.tail), default=10)
    plot = Plot(
        Axis("corrected errors of one flaw, ever", 1, max(most, 10), _decades(most), log=True),
        Axis("", 10**-decades, 1, [(10**-k, _share(k)) for k in range(decades + 1)], log=True),
    )
    expected = plot.line([(p.errors, p.expected) for p in study.tail if p.expected > 0], "expected")
    picture = plot.drawn(
        "Share of flaws with more errors than a number",
        [expected, plot.dots([(point.errors, point.found) for point in seen], "found")],
    )
    return _figure(
        "Most make a handful of errors, some make storms",
        picture,
        f"Share of lasting flaws with more errors than that. {_KEY}",
    )


def _gaps(study: Study) -> str:
    most = max((each.gaps for each in study.gaps), default=0) or 1
    plot = Plot(
        Axis("time between two errors of a flaw", 0.1, 1e8, _TIMES, log=True),
        Axis("", 0, most, [(0, "0"), (most / 2, f"{most / 2:,.0f}"), (most, f"{most:,}")]),
    )
    columns = [
        plot.column(
            each.from_seconds,
            each.to_seconds,
            each.gaps,
            f"{each.gaps:,} of {each.from_seconds:,.1f} to {each.to_seconds:,.1f} s",
        )
        for each in study.gaps
        if each.gaps
    ]
    mark = plot.upright(study.scrub_period_seconds, "scrub round")
    picture = plot.drawn("Histogram of the time between two errors of a flaw", [*columns, mark])
    return _figure(
        "Seconds within a burst, days between bursts",
        picture,
        f"Number of gaps. Their coefficient of variation is {study.gaps_variation:.1f}; "
        "chance alone would make it 1.",
    )


def _concentration(study: Study) -> str:
    so_far = [0, *accumulate(study.per_dimm)]
    parts = {at / 100: so_far[round(at / 100 * len(study.per_dimm))] for at in range(101)}
    points = [(part, errors / (so_far[-1] or 1)) for part, errors in parts.items()]
    worst = dict(points)[0.2]
    along = Axis("share of DIMMs that err, worst first", 0, 1, _PER_CENT)
    picture = (plot := Plot(along, Axis("", 0, 1, _PER_CENT))).drawn(
        "Share of errors that the worst DIMMs make",
        [plot.line([(0, 0), (1, 1)], "expected"), plot.line(points, "found")],
    )
    return _figure(
        f"The worst fifth of the DIMMs that err make {_per_cent(worst)} of the errors",
        picture,
        f"Share of errors; {len(study.per_dimm):,} of {study.dimm_years:,} DIMMs erred. "
        '<span class="key expected">if all were alike</span>',
    )


def _policies(study: Study) -> str:
    return (
        "<section><h2>What retiring pages would have saved</h2>"
        "<p>A page is retired on its N-th corrected error within T; the last policy retires the "
        "row. What is wrong with a cell, a word or a row is on a page or two, and policies end it. "
        "A column, a bank or a data line errs on another page each time: "
        "pages are the wrong measure there, and another DIMM is the right one.</p>"
        f"{_table('Corrected errors, and how many were avoided', study, _errors, _avoided)}"
        f"{_table('Uncorrected errors, and how many were avoided', study, _fatal, _fatal_avoided)}"
        f"{_table('Flaws, and MiB of memory lost to them', study, _flawed(study), _lost)}</section>"
    )


Cell = Callable[[Sequence[Saved]], tuple[str, float]]


def _table(caption: str, study: Study, total: Cell, cell: Cell) -> str:
    """A row a mode, a column a policy; the deeper the tint, the larger the share."""
    modes = [mode.mode for mode in study.modes]
    heads = ("", "in all", *(policy.name for policy in POLICIES))
    rows = [_row(_shown(mode), study, {mode}, (total, cell)) for mode in modes]
    rows.append(_row("all", study, set(modes), (total, cell)))
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in heads)
    return (
        f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def _row(name: str, study: Study, modes: Container[str], cells: tuple[Cell, Cell]) -> str:
    total, cell = cells
    by_policy = [
        [each for each in study.policies if each.policy == policy.name and each.mode in modes]
        for policy in POLICIES
    ]
    told = [total(by_policy[0]), *map(cell, by_policy)]
    data = "".join(
        f'<td style="background: rgba(var(--tint), {depth:.2f})">{text}</td>'
        for text, depth in told
    )
    return f'<tr><th scope="row">{name}</th>{data}</tr>'


def _errors(lines: Sequence[Saved]) -> tuple[str, float]:
    return f"{sum(each.errors for each in lines):,}", 0.0


def _avoided(lines: Sequence[Saved]) -> tuple[str, float]:
    of, avoided = sum(each.errors for each in lines), sum(each.errors_avoided for each in lines)
    return (_per_cent(avoided / of), _tint(avoided / of)) if of else ("–", 0.0)


def _fatal(lines: Sequence[Saved]) -> tuple[str, float]:
    return f"{sum(each.uncorrected for each in lines):,}", 0.0


def _fatal_avoided(lines: Sequence[Saved]) -> tuple[str, float]:
    of = sum(each.uncorrected for each in lines)
    avoided = sum(each.uncorrected_avoided for each in lines)
    return (f"{avoided:,}", _tint(avoided / of)) if of else ("–", 0.0)


def _lost(lines: Sequence[Saved]) -> tuple[str, float]:
    mebibytes = sum(each.bytes_lost for each in lines) / (1 << 20)
    return f"{mebibytes:,.{1 if mebibytes >= 10 else 2}f}", 0.0


def _flawed(study: Study) -> Cell:
    flaws = {mode.mode: mode.flaws for mode in study.modes}
    return lambda lines: (f"{sum(flaws[each.mode] for each in lines):,}", 0.0)


def _per_cent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _tint(share: float) -> float:
    return 0.6 * share


def _decades(most: int) -> list[tuple[float, str]]:
    powers = (10**k for k in range(ceil(log10(max(most, 10))) + 1))
    return [(power, f"{power:,}") for power in powers if power <= max(most, 10)]


def _share(decades: int) -> str:
    return "100 %" if not decades else f"{100 / 10**decades:g} %"


def _shown(mode: str) -> str:
    return mode.replace("_", "-")
