"""The command line as a whole: each command is there by itself, and brings little along."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from agent.cli import COMMANDS, GROUP, build


def names(command: str = "") -> set[str]:
    group = get_command(build(command))
    assert isinstance(group, TyperGroup)
    return set(group.commands)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_there_when_it_alone_is_asked_for(command: str) -> None:
    assert command in names(command)


def test_no_command_is_missing_in_the_table() -> None:
    of_others = {each.name for each in entry_points(group=GROUP)} | {"break", "broker"}
    assert names() - of_others == set(COMMANDS)


UNNEEDED = ("emulator", "agent.bridge", "agent.doctor", "agent.telemetry.kernel_log", "rich.live")


def test_the_agent_holds_nothing_of_the_other_commands_in_memory() -> None:
    script = "from agent.cli import build; build('agent'); import sys; print(*sys.modules)"
    told = subprocess.run((sys.executable, "-c", script), check=True, capture_output=True)
    assert not set(told.stdout.decode().split()) & set(UNNEEDED)
