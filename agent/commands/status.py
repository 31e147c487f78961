"""`pagewarden status`: the running agent at a glance."""

from collections.abc import Iterable, Iterator, Sequence

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from agent.adapters.client import fetch
from agent.commands.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    SocketOption,
    socket_of,
)
from agent.commands.table import print_table
from agent.contract.status import HotPlace, StatusView, View, WornDimm


def register(app: typer.Typer) -> None:
    app.command("status")(status)


def status(
    config: ConfigOption = DEFAULT_CONFIG,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how the running agent does: health, what it counted, its cases, the hottest pages,
    rows and banks.

    The first line says the mode too: enforce, or observe (nothing is taken).

    \b
    Examples:
      pagewarden status
      pagewarden status --json | jq .cases
      pagewarden status --socket /run/pagewarden/agent.sock

    Exit codes: 0 healthy, 1 ailing or not running.
    """
    view = fetch(socket_of(config, socket), View.STATUS, StatusView)
    if as_json:
        typer.echo(view.model_dump_json())
    else:
        _print(view)
    raise typer.Exit(0 if view.healthy else 1)


def health_of(view: StatusView) -> str:
    """As markup."""
    if view.healthy:
        return "[green]healthy[/]"
    return f"[red]ailing[/]: {escape('; '.join(view.ailments))}"


def _print(view: StatusView) -> None:
    console = Console(highlight=False)
    about = f"pagewarden {view.version}  {view.mode}"
    console.print(f"[bold]{view.host}[/]  {about}  {health_of(view)}")
    for name, value in _counts(view).items():
        console.print(f"[dim]{name:<16}[/]  {escape(value)}", soft_wrap=True)
    for worn in view.replace_dimms:
        console.print(f"[yellow]replace DIMM {told(worn)}[/]: it has lost as many pages as it may")
    _print_hot(console, "pages nearest to their threshold", ("page", "errors"), _pages(view))
    places = ("place", "errors counted", "state")
    _print_hot(console, "hottest rows", places, map(heat, view.hot_rows))
    banks = "hottest banks, without what a failing row explains"
    _print_hot(console, banks, places, map(heat, view.hot_banks))


def told(worn: WornDimm) -> str:
    """`DIMM_A1`, and where that is known, `DIMM_A1 (rank 0 and 1)`."""
    ranks = " and ".join(map(str, worn.ranks))
    return f"{worn.dimm} (rank {ranks})" if ranks else worn.dimm


def _counts(view: StatusView) -> dict[str, str]:
    pauses, caps = view.guest_pauses_seconds, view.caps
    return {
        "ereports": f"{view.ereports:,} ({view.errors:,} errors), {view.duplicates:,} duplicates",
        "missing": f"{view.missing:,} now; {view.recovered:,} came late, {view.lost:,} given up",
        "messages refused": f"{view.refused_messages:,}",
        "pages counted": f"{view.pages_tracked:,}",
        "cases": ", ".join(f"{count:,} {rest}" for rest, count in view.cases.items()),
        "toward the cap": f"{caps.pages_taken:,} of {caps.pages_max:,} pages that may be taken",
        "guest pauses": f"{pauses.count}, median {pauses.p50:.3f} s, longest {pauses.max:.3f} s",
    }


def _pages(view: StatusView) -> Iterator[tuple[str, str]]:
    for page in view.hot_pages:
        yield f"{page.mfn:#x}", f"{page.errors} of {page.threshold}"


def _print_hot(
    console: Console, title: str, heading: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    """Nothing, if there are none."""
    cells = [[Text(cell) for cell in row] for row in rows]
    if cells:
        console.print(f"[bold]{title}[/]")
        print_table(console, heading, cells)


def heat(hot: HotPlace) -> tuple[str, str, str]:
    """Where, how near to failing, and whether it fails."""
    row = "" if hot.row is None else f", row {hot.row}"
    state = "failing" if hot.errors >= hot.threshold else ""
    where = f"{hot.dimm}, rank {hot.rank}, bank {hot.bank}{row}"
    return where, f"{hot.errors} of {hot.threshold}", state
