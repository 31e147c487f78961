"""`pagewarden status`: the running agent at a glance."""

from collections.abc import Sequence

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from agent.adapters.client import fetch
from agent.commands.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    SocketOption,
    socket_of,
)
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
    console.print(_counts(view))
    for worn in view.replace_dimms:
        console.print(f"[yellow]replace DIMM {told(worn)}[/]: it has lost as many pages as it may")
    if view.hot_pages:
        console.print(_hot_pages(view))
    for title, places in (("hottest rows", view.hot_rows), ("hottest banks", view.hot_banks)):
        if places:
            console.print(_hot_places(title, places))


def told(worn: WornDimm) -> str:
    """`DIMM_A1`, and where that is known, `DIMM_A1 (rank 0 and 1)`."""
    ranks = " and ".join(map(str, worn.ranks))
    return f"{worn.dimm} (rank {ranks})" if ranks else worn.dimm


def _counts(view: StatusView) -> Table:
    table = Table.grid(padding=(0, 2))
    pauses, caps = view.guest_pauses_seconds, view.caps
    for name, value in {
        "ereports": f"{view.ereports:,} ({view.errors:,} errors), {view.duplicates:,} duplicates",
        "missing": f"{view.missing:,} now; {view.recovered:,} came late, {view.lost:,} given up",
        "messages refused": f"{view.refused_messages:,}",
        "pages counted": f"{view.pages_tracked:,}",
        "cases": ", ".join(f"{count} {rest}" for rest, count in view.cases.items()),
        "pages taken": f"{caps.pages_taken:,} of the {caps.pages_max:,} that may be",
        "guest pauses": f"{pauses.count}, median {pauses.p50:.3f} s, longest {pauses.max:.3f} s",
    }.items():
        table.add_row(f"[dim]{name}[/]", value)
    return table


def _hot_pages(view: StatusView) -> Table:
    table = Table("page", "errors", title="nearest to their threshold", title_justify="left")
    for page in view.hot_pages:
        table.add_row(f"{page.mfn:#x}", f"{page.errors} of {page.threshold}")
    return table


def _hot_places(title: str, places: Sequence[HotPlace]) -> Table:
    table = Table("place", "errors", "", title=title, title_justify="left")
    for place in places:
        table.add_row(*heat(place))
    return table


def heat(hot: HotPlace) -> tuple[str, str, str]:
    """Where, how near to failing, and whether it fails."""
    row = "" if hot.row is None else f", row {hot.row}"
    state = "failing" if hot.errors >= hot.threshold else ""
    where = f"{escape(hot.dimm)}, rank {hot.rank}, bank {hot.bank}{row}"
    return where, f"{hot.errors} of {hot.threshold}", state
