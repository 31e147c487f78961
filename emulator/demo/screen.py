"""What one sees while it runs: errors coming in, pages nearing their threshold, cases, guests.

On a terminal this is a picture that moves; elsewhere (a pipe, a log) one line for each thing that
happened. Both look at the same evidence and keep only what they need to draw the next one.
"""

import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from agent.contract.status import CaseView, Rest
from agent.contract.toolstack import DomainState
from emulator.demo.judge import Evidence, harm
from emulator.demo.play import Verdict, Watch
from emulator.demo.stage import Stage

BARS = "▁▂▃▄▅▆▇█"
HISTORY = 48  # looks
ROWS_MAX = 12
HOT_MAX = 4
FRAME_ROWS = 15  # around cases, hot pages and guests: border, titles, headings, the last line
COLOURS = {
    Rest.OPEN: "yellow",
    Rest.RETIRED: "green",
    Rest.PARKED: "cyan",
    Rest.UNRETIRABLE: "red",
    Rest.RETURNED: "blue",
    Rest.OBSERVED: "magenta",
}


@contextmanager
def watching(console: Console, stage: Stage, *, quiet: bool) -> Generator[Watch, None, None]:
    """Something to show evidence to, for as long as the run lasts."""
    if quiet:
        yield lambda _: None
    elif console.is_terminal:
        picture = Picture(stage)
        with Live(console=console, refresh_per_second=8) as live:  # its last view stays
            yield lambda evidence: live.update(picture.drawn(evidence, console.height))
    else:
        yield Lines(console).watch


@dataclass(slots=True)
class Lines:
    """One line whenever a case opened or moved."""

    console: Console
    _seen: dict[str, str] = field(default_factory=dict[str, str])

    def watch(self, evidence: Evidence) -> None:
        for case in evidence.cases:
            if self._seen.get(case.id) != case.state:
                self._seen[case.id] = case.state
                self.console.print(
                    f"{evidence.truth.seconds:6.1f} s  {case.id:<4} page {case.mfn:<#10x} "
                    f"{case.state:<12} {case.use or '':<8} {_why(case)}",
                    markup=False,
                    highlight=False,
                    soft_wrap=True,
                )


@dataclass(slots=True)
class Picture:
    """The run as it moves."""

    stage: Stage
    _rates: deque[float] = field(default_factory=lambda: deque[float](maxlen=HISTORY))
    _last: tuple[float, int] | None = None

    def drawn(self, evidence: Evidence, rows: int) -> RenderableType:
        """In no more than `rows` rows, as far as there is room for a case at all."""
        cases = cases_shown(evidence, rows)
        self._rates.append(self._rate(evidence.status.errors))
        return Panel(
            Group(
                _title(evidence),
                self._errors(evidence),
                _hot(evidence),
                _cases(evidence, cases),
                _guests(evidence),
            ),
            title=f"[bold]pagewarden demo[/] · {self.stage.bus.name}",
            subtitle=f"[dim]{self.stage.metrics_url}[/]",
            padding=(0, 1),
        )

    def _rate(self, errors: int) -> float:
        """Errors a second since the last look."""
        now = time.monotonic()
        then, before = self._last or (now, errors)
        self._last = (now, errors)
        return (errors - before) / (now - then) if now > then else 0.0

    def _errors(self, evidence: Evidence) -> Text:
        rate, said = self._rates[-1], evidence.status
        return Text.assemble(
            ("errors   ", "dim"),
            (sparkline(self._rates), "magenta"),
            f"  {rate:,.0f}/s\n         {said.errors:,} in all, {said.ereports:,} ereports, ",
            f"{said.duplicates:,} duplicates, {said.missing:,} missing\n",
        )


def cases_shown(evidence: Evidence, rows: int) -> int:
    """How many of the cases, the newest, there is room for."""
    hot = min(len(evidence.status.hot_pages), HOT_MAX)
    left = rows - FRAME_ROWS - hot - len(evidence.truth.guests)
    return max(1, min(ROWS_MAX, left))


def sparkline(values: deque[float]) -> str:
    """A bar a value, the tallest for the largest."""
    top = max(values, default=0.0) or 1.0
    bars = "".join(BARS[round(value / top * (len(BARS) - 1))] for value in values)
    return bars.rjust(HISTORY)


def _title(evidence: Evidence) -> Text:
    said = evidence.status
    health = ("healthy", "green") if said.healthy else ("; ".join(said.ailments), "red")
    seconds = f"\n{evidence.truth.seconds:5.1f} s   agent: "
    title = Text.assemble((evidence.truth.title, "bold"), seconds, health, "\n")
    title.no_wrap, title.overflow = True, "ellipsis"
    return title


def _hot(evidence: Evidence) -> RenderableType:
    if not evidence.status.hot_pages:
        return Text("no page is nearing its threshold\n", style="dim")
    table = Table.grid(padding=(0, 1))
    for page in evidence.status.hot_pages[:HOT_MAX]:
        bar = "█" * page.errors + "░" * (page.threshold - page.errors)
        table.add_row(f"{page.mfn:#x}", f"[yellow]{bar}[/]", f"{page.errors} of {page.threshold}")
    return Group(Text("nearing their threshold", style="dim"), table, Text())


def _cases(evidence: Evidence, shown: int) -> RenderableType:
    table = Table(box=None, header_style="dim")
    for name in ("case", "page", "used as", "state", "why"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for case in evidence.cases[-shown:]:
        state = f"[{COLOURS[case.rest]}]{case.state}[/]"
        table.add_row(case.id, f"{case.mfn:#x}", case.use or "", state, _why(case))
    hidden = len(evidence.cases) - shown
    more = Text(f"and {hidden} earlier ones\n" if hidden > 0 else "", style="dim")
    return Group(table, more)


def _why(case: CaseView) -> str:
    return case.reason.replace("_", " ")


def _guests(evidence: Evidence) -> RenderableType:
    table = Table("guest", "kind", "state", "reads", "corrupt", box=None, header_style="dim")
    for guest in evidence.truth.guests:
        colour = "green" if guest.state is DomainState.RUNNING else "yellow"
        harm = f"[red]{guest.harm}[/]" if guest.harm else "0"
        state = f"[{colour}]{guest.state}[/]"
        table.add_row(guest.name, guest.kind, state, f"{guest.reads:,}", harm)
    pauses = evidence.status.guest_pauses_seconds
    line = f"guest pauses: {pauses.count}, median {pauses.p50:.3f} s, longest {pauses.max:.3f} s"
    return Group(table, Text(line, style="dim"))


def print_summary(console: Console, verdict: Verdict) -> None:
    """The end of a run, for people."""
    said, truth = verdict.evidence.status, verdict.evidence.truth
    pauses = said.guest_pauses_seconds
    table = Table.grid(padding=(0, 2))
    for name, value in {
        "ereports": f"{said.ereports:,}, {said.errors:,} errors, each counted once",
        "cases": ", ".join(f"{count} {rest}" for rest, count in said.cases.items() if count)
        or "none",
        "guest pauses": f"{pauses.count}, median {pauses.p50:.3f} s, longest {pauses.max:.3f} s",
        "guest corruptions": f"{harm(truth):,}",
        "truth": _truth(verdict),
    }.items():
        table.add_row(f"[dim]{name}[/]", value)
    console.print(table)
    for line in verdict.remarks:
        console.print(line, markup=False, soft_wrap=True)


def _truth(verdict: Verdict) -> str:
    frames = verdict.evidence.truth.frames
    if verdict.truth_agrees:
        pages = "1 page" if frames.offlined == 1 else f"{frames.offlined} pages"
        return f"[green]agrees[/]: the host's frame table has {pages} offlined"
    return "[red]disagrees[/]:"
