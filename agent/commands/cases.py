"""`pagewarden cases` and `pagewarden case`: what became of each failing page."""

from datetime import UTC, datetime
from typing import Annotated

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
from agent.contract.status import CasesView, CaseView, Rest, View

COLOURS = {
    Rest.OPEN: "yellow",
    Rest.RETIRED: "green",
    Rest.PARKED: "cyan",
    Rest.UNRETIRABLE: "red",
    Rest.RETURNED: "blue",
    Rest.OBSERVED: "magenta",
}

HEADING = ("case", "page", "DIMM", "state", "used as", "owner", "opened", "reason")


def register(app: typer.Typer) -> None:
    app.command("cases")(cases)
    app.command("case")(case)


def cases(
    config: ConfigOption = DEFAULT_CONFIG,
    socket: SocketOption = None,
    rest: Annotated[
        Rest | None, typer.Option("--only", help="Only the cases that are there.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the cases: one for each page that was found to be going bad.

    OPEN cases are under way, RETIRED pages are out of use for good, PARKED ones
    leave when their owner lets go of them, UNRETIRABLE ones cannot be taken (the
    reason says why), RETURNED ones are in use again: brought back by an operator,
    or on another DIMM now. OBSERVED ones were only looked at. In a pipe a case is
    a line, with nothing left out.

    \b
    Examples:
      pagewarden cases
      pagewarden cases --only parked --json
    """
    found = fetch(socket_of(config, socket), View.CASES, CasesView).cases
    chosen = tuple(one for one in found if rest is None or one.rest is rest)
    if as_json:
        typer.echo(CasesView(cases=chosen).model_dump_json())
        return
    console = Console(highlight=False)
    if chosen:
        print_table(console, HEADING, map(_row, chosen))
    else:
        console.print("no cases")


def _row(one: CaseView) -> Row:
    owner = "" if one.owner is None else f"dom{one.owner}"
    before = map(Text, (one.id, f"{one.mfn:#x}", one.dimm or ""))
    after = map(Text, (one.use or "", owner, instant(one.opened_at), one.reason))
    return (*before, Text(one.state, COLOURS[one.rest]), *after)


def case(
    case_id: Annotated[str, typer.Argument(help="The case, as `cases` lists it.", metavar="ID")],
    config: ConfigOption = DEFAULT_CONFIG,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell one case's story: every state it was in, when, and why.

    \b
    Examples:
      pagewarden case c1
      pagewarden case c1 --json
    """
    view = fetch(socket_of(config, socket), f"{View.CASES}/{case_id}", CaseView)
    if as_json:
        typer.echo(view.model_dump_json())
        return
    console = Console(highlight=False)
    print_story(console, view)


def print_story(console: Console, view: CaseView) -> None:
    """Every state that the case was in."""
    where = f"  on {view.dimm}" if view.dimm else ""
    head = Text.assemble((view.id, "bold"), f"  page {view.mfn:#x}{where}  ")
    console.print(head.append(view.state, COLOURS[view.rest]))
    steps = ((Text(instant(s.at)), Text(s.state), Text(s.detail)) for s in view.history)
    print_table(console, ("when", "state", "detail"), steps)


def instant(seconds: float) -> str:
    """UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
