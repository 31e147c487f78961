"""The demo's command line: what an operator gets wrong is one line."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

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
