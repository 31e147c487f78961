"""`pagewarden requests`: what operators asked for, and how far each is."""

import time
from collections.abc import Iterable, Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from agent.adapters.client import fetch
from agent.commands.cases import instant
from agent.commands.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    SocketOption,
    socket_of,
)
from agent.commands.table import Row, print_table
from agent.contract.requests import RequestsView, RequestView
from agent.contract.status import View

HEADING = ("request", "wish", "what", "asked", "state", "done", "rate", "left", "came of it")


def register(app: typer.Typer) -> None:
    app.command("requests")(requests)


def requests(
    under_way: Annotated[
        bool, typer.Option("--under-way", help="Only those that are not over.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what operators asked for: progress, rate, time left, and what came of it.

    The newest is last. A request is under way, over, or cancelled: of that one no
    page more is begun. The rate is the mean since it was asked for, and the time
    left follows from it. What came of its pages is told by reason.

    \b
    Examples:
      pagewarden requests
      pagewarden requests --under-way
      pagewarden requests --json | jq '.requests[] | {id, left}'

    Exit codes: 0 listed; 1 no agent answers; 2 wrong usage.
    """
    found = fetch(socket_of(config, socket), View.REQUESTS, RequestsView).requests
    chosen = tuple(one for one in found if not (under_way and one.is_over))
    if as_json:
        typer.echo(RequestsView(requests=chosen).model_dump_json())
        return
    console = Console(highlight=False)
    if chosen:
        print_table(console, HEADING, rows(chosen, time.time()))
    else:
        console.print("no requests")


def rows(found: Iterable[RequestView], now: float) -> Iterator[Row]:
    for one in found:
        about = (one.id, str(one.wish), one.what, instant(one.asked_at), state_of(one))
        yield tuple(map(Text, (*about, _done(one), *pace(one, now), _came(one))))


def state_of(one: RequestView) -> str:
    """`cancelled` means that it is over as well; `ending`, that some of it is under way still."""
    if one.is_cancelled:
        return "cancelled" if one.is_over else "ending"
    return "over" if one.is_over else "under way"


def pace(one: RequestView, now: float) -> tuple[str, str]:
    """Pages a second and the time left, at time `now`; a dash where nobody can say."""
    if one.is_over:
        return "-", "-"
    rate = (one.pages - one.left) / max(now - one.asked_at, 1e-3)
    if rate <= 0:
        return "0/s", "-"
    return f"{rate:,.0f}/s", duration(one.left / rate)


def duration(seconds: float) -> str:
    """`42 s`, `3 min`, `5 h 20 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min"


def _done(one: RequestView) -> str:
    return f"{one.pages - one.left:,} of {one.pages:,}"


def _came(one: RequestView) -> str:
    """`300 retired, 2 parked: dom0, 7 xen_heap`; the last are pages that no case is about."""
    told = ((came.pages, ": ".join(filter(None, (came.rest, came.reason)))) for came in one.came)
    return ", ".join(f"{pages:,} {what}" for pages, what in told)
