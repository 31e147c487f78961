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


def told_of(log: str, folder: Path, capsys: pytest.CaptureFixture[str], *, is_kept: bool) -> str:
    path = folder / "decode.log"
    path.write_text(log)
    command._tell_decoded(path, is_kept=is_kept)
    return capsys.readouterr().err


def test_a_few_refused_lines_are_told_with_their_reasons_behind_the_sums(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = "kern.log:3: half of it\npagewarden: 2 ereports (2 errors), 1 lines refused\n"
    assert told_of(log, tmp_path, capsys, is_kept=False).splitlines() == [
        "pagewarden: 2 ereports (2 errors), 1 lines refused",
        "kern.log:3: half of it",
    ]


@pytest.mark.parametrize("is_kept", [True, False])
def test_of_many_refused_lines_the_first_are_told_and_where_the_others_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, is_kept: bool
) -> None:
    log = "".join(f"kern.log:{n}: half of it\n" for n in range(10)) + "pagewarden: 10 lines refused"
    _, *reasons, last = told_of(log, tmp_path, capsys, is_kept=is_kept).splitlines()
    where = f"in {tmp_path / 'decode.log'}" if is_kept else "all of them with --keep FOLDER"
    assert reasons == [f"kern.log:{n}: half of it" for n in range(command.REASONS_SHOWN)]
    assert last == f"and {10 - command.REASONS_SHOWN} more: {where}"
