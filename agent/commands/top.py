"""`pagewarden top`: the running agent, live, in as many rows as the terminal has.

What matters most stands first: health, what comes in, what the caps leave, then the pages that are
near their threshold and the cases under way. These two share the rows that are left; what does not
fit is counted, never cut off unseen.
"""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agent.adapters.client import fetch
from agent.commands.cases import COLOURS
from agent.commands.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    SocketOption,
    socket_of,
)
from agent.commands.rates import Rate
from agent.commands.status import health_of, told
from agent.contract.errors import AgentError, PeerError
from agent.contract.status import CaseView, HotPage, StatusView, TopView, View

HEAD_ROWS = 6  # the host, four lines of figures, a blank one
TABLE_ROWS = 2  # of a table, beside its rows: the heading, and how many more there are
ROWS_IN_A_PIPE = 60


def register(app: typer.Typer) -> None:
    app.command("top")(top)


def top(
    config: ConfigOption = DEFAULT_CONFIG,
    socket: SocketOption = None,
    every: Annotated[
        float, typer.Option("--every", min=0.2, max=3600, help="Seconds between two looks.")
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="One look, and no more.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Watch the running agent: health, rates, hottest pages, cases under way, pauses, caps.

    It fits itself to the terminal, as that changes too, until Ctrl-C. While the
    agent is away (restarted, say) it says so and shows what was seen last. Where
    there is no terminal, one look is taken. With --json each look is a line.

    \b
    Examples:
      pagewarden top
      pagewarden top --once
      pagewarden top --json --every 10 | jq -c .status.cases

    Exit codes: 0 healthy at the last look (and for Ctrl-C); 1 ailing, or no agent
    answers the first look; 2 wrong usage.
    """
    path = socket_of(config, socket)
    view = fetch(path, View.TOP, TopView)
    console = Console(highlight=False)
    if as_json:
        _print_json(path, view, every, once=once)
    elif once or not console.is_terminal:
        console.print(drawn(view, Rates(), ROWS_IN_A_PIPE))
        raise typer.Exit(0 if view.status.healthy else 1)
    else:
        _watch(console, path, Screen(view), every)


def _print_json(path: Path, view: TopView, every: float, *, once: bool) -> None:
    typer.echo(view.model_dump_json())
    while not once:
        time.sleep(every)
        view = fetch(path, View.TOP, TopView)
        typer.echo(view.model_dump_json())
    raise typer.Exit(0 if view.status.healthy else 1)


def _watch(console: Console, path: Path, screen: "Screen", every: float) -> None:
    """Until Ctrl-C, which is how one leaves: the last view stays on the terminal then."""
    try:
        with Live(
            get_renderable=lambda: screen.shown(console.height),
            console=console,
            screen=True,
            refresh_per_second=4,
        ):
            while True:
                time.sleep(every)
                screen.look(path)
    except KeyboardInterrupt:
        console.print(screen.shown(console.height))
        raise typer.Exit from None


@dataclass(slots=True)
class Rates:
    """What comes in, and how fast."""

    errors: Rate = field(default_factory=Rate)
    ereports: Rate = field(default_factory=Rate)

    def see(self, view: TopView) -> None:
        self.errors.see(view.at, view.status.errors)
        self.ereports.see(view.at, view.status.ereports)


@dataclass(slots=True)
class Screen:
    """What is shown: the last view, and why there is no newer one, if there is not."""

    view: TopView
    rates: Rates = field(default_factory=Rates)
    away: str = ""

    def __post_init__(self) -> None:
        self.rates.see(self.view)

    def look(self, path: Path) -> None:
        try:
            self.view, self.away = fetch(path, View.TOP, TopView), ""
            self.rates.see(self.view)
        except (AgentError, PeerError) as error:
            self.away = str(error)

    def shown(self, rows: int) -> RenderableType:
        if not self.away:
            return drawn(self.view, self.rates, rows)
        away = Text(self.away, "red", no_wrap=True, overflow="ellipsis")
        return Group(away, drawn(self.view, self.rates, rows - 1))


@dataclass(frozen=True, slots=True)
class Room:
    """Rows for each of the two tables."""

    hot: int
    cases: int


def room(rows: int, hot: int, cases: int) -> Room:
    """How `rows` are shared by so many hot pages and cases: half each, and what one does not need
    is the other's. There is one of each at least, however small the terminal.
    """
    left = max(rows - HEAD_ROWS - 2 * TABLE_ROWS - 1, 2)
    hot_rows = max(1, min(hot, max(left // 2, left - cases)))
    return Room(hot_rows, max(1, left - hot_rows))


def drawn(view: TopView, rates: Rates, rows: int) -> RenderableType:
    """All of it in `rows` rows."""
    status = view.status
    share = room(rows, len(status.hot_pages), len(view.under_way))
    return Group(
        _head(status),
        _figures(view, rates),
        Text(),
        _hot(status.hot_pages, share.hot),
        _cases(view, share.cases),
    )


def _head(status: StatusView) -> Text:
    line = Text.from_markup(f"[bold]{status.host}[/]  {status.mode}  {health_of(status)}")
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _figures(view: TopView, rates: Rates) -> Table:
    status, caps, pauses = view.status, view.status.caps, view.status.guest_pauses_seconds
    worn = ", ".join(map(told, status.replace_dimms))
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    for name, value in {
        "errors": f"{status.errors:,}{_told(rates.errors)} in {status.ereports:,} ereports"
        f"{_told(rates.ereports)}; {status.missing:,} missing",
        "cases": ", ".join(f"{count:,} {rest}" for rest, count in status.cases.items() if count)
        or "none",
        "retired": f"{caps.pages_taken:,} pages of the {caps.pages_max:,} that may be"
        + (f"; replace {worn}" if worn else ""),
        "pauses": f"{pauses.count:,}, median {pauses.p50:.3f} s, longest {pauses.max:.3f} s; "
        f"{caps.pauses_per_guest_and_hour_max} a guest and hour may be",
    }.items():
        table.add_row(name, value)
    return table


def _told(rate: Rate) -> str:
    return "" if rate.per_second is None else f" ({rate.per_second:,.1f}/s)"


def _table(*heading: str) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in heading:
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    return table


def _hot(pages: tuple[HotPage, ...], rows: int) -> RenderableType:
    table = _table("hottest page", "errors", "")
    for page in pages[:rows]:
        bar = "█" * page.errors + "░" * (page.threshold - page.errors)
        table.add_row(f"{page.mfn:#x}", f"{page.errors} of {page.threshold}", Text(bar, "yellow"))
    return Group(table, _more(len(pages), rows, "no page is near its threshold"))


def _cases(view: TopView, rows: int) -> RenderableType:
    table = _table("case under way", "page", "DIMM", "state", "reason")
    for case in view.under_way[:rows]:
        table.add_row(*_cells(case))
    return Group(table, _more(view.open, rows, "no case is under way"))


def _cells(case: CaseView) -> tuple[Text, ...]:
    state = Text(case.state, COLOURS[case.rest])
    return Text(case.id), Text(f"{case.mfn:#x}"), Text(case.dimm or ""), state, Text(case.reason)


def _more(count: int, rows: int, none: str) -> Text:
    if not count:
        return Text(none, "dim")
    return Text(f"and {count - rows:,} more" if count > rows else "", "dim")
