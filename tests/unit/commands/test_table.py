"""A table on a terminal and in a pipe."""

from collections.abc import Sequence
from io import StringIO

from rich.console import Console
from rich.text import Text

from agent.commands.table import Row, plain, print_table

LONG = "dom0 holds it and must let go of it by itself: the host needs maintenance " * 3
ROWS = [(Text("c1"), Text("parked", "cyan"), Text(LONG)), (Text("c12"), Text("open"), Text("[x]"))]


def printed(*, is_terminal: bool, width: int = 60, rows: Sequence[Row] = ROWS) -> list[str]:
    stream = StringIO()
    console = Console(file=stream, force_terminal=is_terminal, width=width)
    print_table(console, ("case", "state", "reason")[-len(rows[0]) :], rows)
    return stream.getvalue().splitlines()


def test_in_a_pipe_a_row_is_a_line_with_nothing_cut_coloured_or_framed() -> None:
    assert printed(is_terminal=False) == [
        "case  state   reason",
        f"c1    parked  {LONG}".rstrip(),
        "c12   open    [x]",
    ]


def test_on_a_terminal_it_keeps_to_the_width() -> None:
    lines = printed(is_terminal=True)
    assert len(lines) > len(ROWS) + 4
    assert any("┏" in line for line in lines)


def test_columns_stand_below_each_other_and_no_line_ends_in_spaces() -> None:
    assert plain([("a", "b"), ("longer", "")]) == ["a       b", "longer"]


def test_on_a_terminal_names_are_never_broken() -> None:
    """Half of one cannot be copied."""
    name = "r-a-name-that-somebody-gave-to-it"
    lines = printed(is_terminal=True, width=66, rows=[(Text(name), Text(LONG))])
    assert any("┏" in line for line in lines)
    assert any(name in line for line in lines)


def test_on_a_terminal_without_room_the_columns_are_plain() -> None:
    lines = printed(is_terminal=True, width=40)
    assert lines[0] == "case  state   reason"
    assert not any("┏" in line for line in lines)
