"""The emulator's commands: whatever happens is told in one line."""

import asyncio

import pytest
import typer
from typer.testing import CliRunner

from agent.cli import build
from emulator import cli
from emulator.errors import EmulatorError


def told(capsys: pytest.CaptureFixture[str], trouble: BaseException) -> str:
    """What a command that ends in `trouble` says."""

    async def fail() -> None:
        raise trouble

    with pytest.raises(typer.Exit) as ended:
        cli._run(fail)
    assert ended.value.exit_code == 1
    return capsys.readouterr().err


def test_trouble_of_the_operators_is_told_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, EmulatorError("seed: too large")) == "pagewarden: seed: too large\n"


def test_trouble_deep_in_a_group_of_tasks_is_told_alike(
    capsys: pytest.CaptureFixture[str],
) -> None:
    deep = ExceptionGroup("tasks", [ExceptionGroup("more", [EmulatorError("seed: too large")])])
    assert told(capsys, deep) == "pagewarden: seed: too large\n"


def test_a_surprise_is_a_line_and_not_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    said = told(capsys, ZeroDivisionError("division by zero"))
    assert said == "pagewarden: the emulator failed: ZeroDivisionError: division by zero\n"


def test_what_the_loop_finds_lying_about_is_a_line_too(capsys: pytest.CaptureFixture[str]) -> None:
    async def drop_an_exception() -> None:
        context = {"message": "never retrieved", "exception": OSError("gone")}
        asyncio.get_running_loop().call_exception_handler(context)

    cli._run(drop_an_exception)
    assert capsys.readouterr().err == "emulator: a loose end: never retrieved (OSError('gone'))\n"


def test_options_of_the_emulator_are_refused_before_a_command_below_it() -> None:
    """They would be ignored in silence otherwise."""
    told = CliRunner().invoke(build(), ["emulator", "--seed", "7", "describe"])
    assert (told.exit_code, "--seed before `describe`" in told.stderr) == (2, True)


def test_the_emulator_says_which_commands_are_below_it() -> None:
    assert "describe" in CliRunner().invoke(build(), ["emulator", "--help"]).output
