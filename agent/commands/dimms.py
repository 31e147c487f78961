"""`pagewarden dimms`: each DIMM, what it has lost, and which of its pages are worst."""

import typer
from rich.console import Console
from rich.text import Text

from agent.adapters.client import fetch
from agent.commands.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    SocketOption,
    socket_of,
)
from agent.commands.table import Row, print_table
from agent.contract.status import DimmsView, DimmView, RankWear, View

HEADING = ("DIMM", "part and serial", "errors", "counted", "retired", "rank wear", "worst pages")


def register(app: typer.Typer) -> None:
    app.command("dimms")(dimms)


def dimms(
    config: ConfigOption = DEFAULT_CONFIG, socket: SocketOption = None, as_json: JsonOption = False
) -> None:
    """List the DIMMs: errors, pages counted and retired, wear of each rank, worst pages.

    Errors are those since the agent was started. Pages counted had an error
    lately; a dash stands where the host does not say which pages lie there. Rank
    wear is pages that are out of use because they went bad, of as many as may be:
    past that the DIMM is to be replaced, and no more are taken. What operators
    took out is under retired only.

    \b
    Examples:
      pagewarden dimms
      pagewarden dimms --json | jq -r '.dimms[] | select(.is_worn) | .dimm'

    Exit codes: 0 listed; 1 no agent answers; 2 wrong usage.
    """
    view = fetch(socket_of(config, socket), View.DIMMS, DimmsView)
    if as_json:
        typer.echo(view.model_dump_json())
        return
    console = Console(highlight=False)
    if view.dimms:
        print_table(console, HEADING, map(_row, view.dimms))
    else:
        console.print("nobody says which DIMMs there are, and none had errors")


def _row(one: DimmView) -> Row:
    tracked = "-" if one.pages_tracked is None else f"{one.pages_tracked:,}"
    worst = ", ".join(f"{page.mfn:#x} ({page.errors})" for page in one.worst)
    retired = f"{one.pages_retired:,}"
    wear = Text(wear_of(one), "red" if one.is_worn else "")
    cells = map(Text, (one.dimm, one.module, f"{one.errors:,}", tracked, retired))
    return (*cells, wear, Text(worst))


def wear_of(one: DimmView) -> str:
    """`rank 0: 3 of 64, rank 1: 1 of 64`, and what is to be done about it."""
    told = ", ".join(_rank(wear, one.pages_per_rank_max) for wear in one.wear)
    told = told or f"0 of {one.pages_per_rank_max}"
    return f"{told}: replace it" if one.is_worn else told


def _rank(wear: RankWear, most: int) -> str:
    count = f"{wear.pages} of {most}"
    return count if wear.rank is None else f"rank {wear.rank}: {count}"
