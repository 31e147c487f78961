"""A table for whoever reads it: in a frame on a terminal, plain columns in a pipe.

A terminal has a width, so a long cell goes on below itself there. A pipe has none: a row is a line,
and nothing in it is cut, so that `grep`, `sort` and a mail see all of it.
"""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

Row = Sequence[Text]

_BETWEEN = "  "


def print_table(console: Console, heading: Sequence[str], rows: Iterable[Row]) -> None:
    if console.is_terminal:
        table = Table()
        for name in heading:
            table.add_column(name, overflow="fold")  # half a serial number says nothing
        for row in rows:
            table.add_row(*row)
        console.print(table)
        return
    for line in plain([heading, *([cell.plain for cell in row] for row in rows)]):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def plain(rows: Sequence[Sequence[str]]) -> list[str]:
    """`rows` as lines whose columns stand below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_BETWEEN.join(map(str.ljust, row, widths)).rstrip() for row in rows]
