"""A table for whoever reads it: in a frame on a terminal, plain columns in a pipe.

A terminal has a width, so the longest cell goes on below itself there; names and numbers never do,
as half of one says nothing. Where no room is left for that, the columns are plain there too. A pipe
has no width: a row is a line, and nothing in it is cut, so that `grep`, `sort` and a mail see all.
"""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

Row = Sequence[Text]

_BETWEEN = "  "
_FRAME = 3  # characters a column, and one more
PROSE_MIN = 24  # characters in a line of the longest column


def print_table(console: Console, heading: Sequence[str], rows: Iterable[Row]) -> None:
    cells = [[Text(name) for name in heading], *rows]
    widths = _widths([[cell.plain for cell in row] for row in cells])
    longest = max(range(len(widths)), key=widths.__getitem__)
    room = console.width - sum(widths) + widths[longest] - _FRAME * len(widths) - 1
    if console.is_terminal and room >= min(widths[longest], PROSE_MIN):
        console.print(_framed(heading, cells[1:], longest))
        return
    for line in plain([[cell.plain for cell in row] for row in cells]):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _framed(heading: Sequence[str], rows: Iterable[Row], longest: int) -> Table:
    table = Table()
    for at, name in enumerate(heading):
        table.add_column(name, overflow="fold", no_wrap=at != longest)
    for row in rows:
        table.add_row(*row)
    return table


def plain(rows: Sequence[Sequence[str]]) -> list[str]:
    """`rows` as lines whose columns stand below each other."""
    widths = _widths(rows)
    return [_BETWEEN.join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]
