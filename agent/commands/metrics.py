"""`pagewarden metrics`: what the agent tells Prometheus, from the one table that declares it."""

import json
from collections.abc import Iterator
from typing import Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from agent.adapters.catalogue import AGENT, CASES, INTAKE, MEMORY, PEERS, TABLE, Row, series_max
from agent.commands.options import JsonOption
from agent.commands.table import print_table

SECTIONS = {
    "What came in": INTAKE,
    "The memory": MEMORY,
    "Cases and guests": CASES,
    "Peers": PEERS,
    "The agent": AGENT,
}
HEADING = ("metric", "type", "unit", "labels", "series, at most", "meaning")
VALUES_SHOWN = 5  # of a label; the JSON has them all


def register(app: typer.Typer) -> None:
    app.command("metrics")(metrics)


def metrics(
    as_json: JsonOption = False,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown, a table a section.")
    ] = False,
) -> None:
    """List every metric of the agent: name, type, unit, labels, bound, meaning.

    On a terminal each is a block; in a pipe it is a line, with nothing left out.

    \b
    Examples:
      pagewarden metrics
      pagewarden metrics --markdown > METRICS.md
      pagewarden metrics --json | jq '.[].name'

    Exit codes: 0 done.
    """
    if as_json:
        typer.echo(json.dumps([told(row) for row in TABLE], indent=1))
    elif as_markdown:
        typer.echo(markdown(), nl=False)
    else:
        console = Console(highlight=False)
        if console.is_terminal:
            _print_blocks(console)
        else:
            print_table(console, HEADING, ([Text(cell) for cell in cells(row)] for row in TABLE))


def _print_blocks(console: Console) -> None:
    """A block a metric: a name is longer than a column of a terminal could be."""
    for title, section in SECTIONS.items():
        console.print(Text(title, "bold"))
        for row in section:
            name, kind, unit, labels, most, meaning = cells(row)
            series = "1 series" if most == "1" else f"at most {most} series"
            about = "; ".join(filter(None, (kind, unit, series, labels)))
            console.print(Text(name, "cyan"))
            console.print(Padding(Text(meaning), (0, 0, 0, 4)))
            console.print(Padding(Text(about, "dim"), (0, 0, 0, 4)))


def told(row: Row) -> dict[str, object]:
    """One row, for machines."""
    return {
        "name": row.name,
        "type": row.type_name,
        "help": row.help,
        "unit": row.unit,
        "labels": {label.name: list(label.values) for label in row.labels},
        "buckets": list(row.buckets),
        "series_max": row.series_max,
    }


def cells(row: Row) -> tuple[str, ...]:
    """One row, for people."""
    labels = "; ".join(_label(label.name, label.values) for label in row.labels)
    return row.name, row.type_name, row.unit, labels, str(row.series_max), row.help


def _label(name: str, values: tuple[str, ...]) -> str:
    """`state: open, waiting, …`, or the bare name of an open list."""
    shown = ", ".join(values[:VALUES_SHOWN])
    rest = f" and {len(values) - VALUES_SHOWN} more" if len(values) > VALUES_SHOWN else ""
    return f"{name}: {shown}{rest}" if values else name


def markdown() -> str:
    """The whole table as a page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Metrics"
    yield ""
    yield "Written by `pagewarden metrics --markdown`. Every series of a closed list of labels is"
    yield "there from the start; the open lists (DIMMs, banks) are bounded, and what is beyond is"
    yield f"`other`. A page has {series_max():,} series at most, and those of the process itself."
    for title, rows in SECTIONS.items():
        yield from ("", f"## {title}", "")
        yield f"| {' | '.join(HEADING)} |"
        yield f"|{'|'.join('---' for _ in HEADING)}|"
        for row in rows:
            name, *others = cells(row)
            yield f"| {' | '.join((f'`{name}`', *others))} |"
