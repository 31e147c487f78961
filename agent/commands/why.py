"""`pagewarden why`: all that is known of one page, and what would be done about it."""

from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.adapters.client import fetch
from agent.commands.cases import instant, print_story
from agent.commands.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    SocketOption,
    socket_of,
)
from agent.commands.requests import parse_pages
from agent.contract.durations import in_words
from agent.contract.status import Counted, HostWord, PageView, View


def register(app: typer.Typer) -> None:
    app.command("why")(why)


def parse_page(text: str) -> int:
    """The number of one page, hexadecimal or decimal."""
    span = parse_pages(text)
    if span.first != span.last:
        raise typer.BadParameter(f"{text!r} is more than one page")
    return span.first


def why(
    mfn: Annotated[
        int, typer.Argument(parser=parse_page, metavar="MFN", help="Hexadecimal or decimal.")
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    socket: SocketOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell what is known of a page, and what would be done if it went bad now.

    That is: the errors that count against it and how many more it takes, the DIMM
    that it lies on, its case and that one's story, what the hypervisor says of it
    at this moment, and the rungs that would be tried, or what stands in the way.
    To ask changes nothing. An address is a page number with three hexadecimal
    digits more.

    \b
    Examples:
      pagewarden why 0x1234
      pagewarden why 0x1234 --json | jq .would

    Exit codes: 0 told; 1 the host has no such page, or no agent answers; 2 wrong
    usage.
    """
    view = fetch(socket_of(config, socket), f"{View.PAGES}/{mfn}", PageView)
    if as_json:
        typer.echo(view.model_dump_json())
        return
    console = Console(highlight=False)
    console.print(Text(f"page {view.mfn:#x}", "bold"))
    table = Table.grid(padding=(0, 2))
    for name, value in facts(view):
        table.add_row(Text(name, "dim"), Text(value))
    console.print(table)
    if view.case is not None:
        print_story(console, view.case)


def facts(view: PageView) -> Iterator[tuple[str, str]]:
    """All but the story."""
    yield "DIMM", view.dimm or "nobody says"
    yield "errors", counted(view.counted)
    if view.counted.newest_at is not None:
        yield "newest error", instant(view.counted.newest_at)
    yield "hypervisor", view.silence or (word(view.host) if view.host else "")
    if view.case is not None:
        yield "case", f"{view.case.id}, {view.case.state}: {view.case.reason}".rstrip(": ")
    if view.would is not None:
        yield "would do", view.would.text


def counted(how: Counted) -> str:
    """`1 of 2 in 24 h: 1 more is a verdict`."""
    told = f"{how.errors} of {how.threshold} in {in_words(round(how.window_seconds * 1e9))}"
    if how.fired:
        return f"{told}: it had its verdict"
    return f"{told}: {how.missing} more within the window is a verdict"


def word(host: HostWord) -> str:
    """What the hypervisor says, in one line."""
    owner = "" if host.owner is None else f" of dom{host.owner}"
    name = f" ({host.guest})" if host.guest else ""
    parts = [f"{host.status}, used as {host.use}{owner}{name}"]
    if host.mappers:
        parts.append("mapped by " + ", ".join(f"dom{domid}" for domid in host.mappers))
    if host.devices:
        parts.append(f"its guest has {', '.join(host.devices)}")
    if host.is_broken:
        parts.append("broken: it had an uncorrected error")
    return "; ".join(parts)
