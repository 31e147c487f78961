"""What `--help` says, on the terminal of 80 columns that everybody has."""

from inspect import cleandoc

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from agent.cli import build

WIDTH = 78  # the frame takes the rest


def texts() -> dict[str, str]:
    """The help of each command, and of the program."""
    program = get_command(build())
    assert isinstance(program, TyperGroup)
    commands = dict(program.commands)
    for name, group in program.commands.items():
        below = group.commands if isinstance(group, TyperGroup) else {}
        commands |= {f"{name} {command}": found for command, found in below.items()}
    return {"": program.help or "", **{name: each.help or "" for name, each in commands.items()}}


@pytest.mark.parametrize(("name", "text"), texts().items())
def test_no_line_of_a_help_breaks_by_itself(name: str, text: str) -> None:
    """All but the first paragraph is shown in the lines in which it was written."""
    _, *others = cleandoc(text).split("\n\n")
    too_long = [line for part in others for line in part.splitlines() if len(line) > WIDTH]
    assert too_long == [], name
