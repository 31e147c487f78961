"""The demo's command line: what an operator gets wrong is one line."""

from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from emulator import scenario
from emulator.demo import command


def complaint(*options: str) -> str:
    """What `pagewarden demo` says on stderr when it will not start."""
    app = typer.Typer()
    command.register(app)
    done = CliRunner().invoke(app, [*options])
    assert done.exit_code == 1
    assert isinstance(done.exception, SystemExit)
    return done.stderr.strip()


@pytest.mark.parametrize("folder", ["/proc/nowhere", "/dev/null/nowhere"])
def test_a_folder_that_cannot_be_made_is_one_line(folder: str) -> None:
    said = complaint("--keep", folder)
    assert said.startswith(f"pagewarden: --keep {folder}: cannot be made: ")
    assert "\n" not in said


def test_a_folder_with_an_earlier_run_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pagewarden.db").touch()
    assert "an earlier run is kept there" in complaint("--keep", str(tmp_path))


def test_a_scenario_that_is_not_there_names_those_that_are() -> None:
    assert "straight-line" in complaint("--scenario", "nope")


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_list_of_scenarios_fits_the_terminal_with_titles_below_each_other(
    width: int, capsys: pytest.CaptureFixture[str]
) -> None:
    command._print_scenarios(Console(width=width, force_terminal=True))
    rows = capsys.readouterr().out.splitlines()
    column = max(map(len, scenario.names())) + 2
    assert max(map(len, rows)) <= width
    assert {row[column - 2 : column] for row in rows} == {"  "}
    assert [row[:column].strip() for row in rows if not row.startswith(" ")] == scenario.names()


def test_in_a_pipe_a_scenario_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    command._print_scenarios(Console(width=40, force_terminal=False))
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == scenario.names()
