"""`pagewarden emulator record`, from the command line to the file."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from emulator.recording import command


def run(*arguments: str | Path) -> Result:
    application = typer.Typer(pretty_exceptions_enable=False)
    application.callback()(lambda: None)
    command.register(application)
    return CliRunner().invoke(application, ["record", *map(str, arguments)])


def test_the_same_choice_makes_the_same_bytes(tmp_path: Path) -> None:
    choice = ("--format", "edac", "--preset", "ddr4", "--span", "365d", "--wear", "20")
    for name in ("a", "b"):
        assert run(tmp_path / name, *choice).exit_code == 0
    first, second = (tmp_path / "a").read_bytes(), (tmp_path / "b").read_bytes()
    assert (first == second, len(first) > 1000) == (True, True)


def test_its_summary_counts_what_is_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    result = run(file, "--format", "ereports", "--scenario", "row-failing", "--json")
    told = json.loads(result.stdout)
    assert told["records"] == len(file.read_text().splitlines()) == 100


def test_standard_output_is_the_recording_alone() -> None:
    result = run("-", "--format", "smartmem", "--scenario", "row-failing", "--json")
    assert (len(result.stdout.splitlines()), json.loads(result.stderr)["records"]) == (101, 100)


def test_many_dimms_are_spread_over_sockets(tmp_path: Path) -> None:
    choice = ("--preset", "ddr4", "--dimms", "32", "--span", "365d", "--wear", "50")
    run(tmp_path / "a", "--format", "ereports", *choice)
    lines = (tmp_path / "a").read_text().splitlines()
    sockets = {json.loads(line)["dimm"].partition("_")[0] for line in lines}
    assert sockets == {"CPU0", "CPU1", "CPU2", "CPU3"}


def test_a_file_that_is_there_is_left_alone_unless_forced(tmp_path: Path) -> None:
    file = tmp_path / "kern.log"
    file.write_text("mine")
    choice = (file, "--format", "edac", "--scenario", "row-failing")
    refused = run(*choice)
    assert (refused.exit_code, file.read_text()) == (1, "mine")
    assert "is there already; replace it with --force" in refused.stderr
    assert run(*choice, "--force").exit_code == 0


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        (
            ["--format", "csv", "--preset", "ddr4"],
            "--format: there is no 'csv'; there are: ereports",
        ),
        (["--format", "edac"], "name a --scenario or a --preset, one of them"),
        (["--format", "edac", "--preset", "ddr2"], "there is no 'ddr2'; there are: ddr3"),
        (["--format", "edac", "--preset", "ddr4", "--dimms", "9"], "--dimms: a socket has 8"),
        (
            ["--format", "edac", "--preset", "ddr4", "--span", "2 moons"],
            "command line: span: must be",
        ),
        (
            ["--format", "edac", "--preset", "ddr4", "--span", "36500d", "--wear", "1000000"],
            "wear: ",
        ),
        (["--format", "edac", "--scenario", "straight-line"], "it puts faults on pages of guests"),
        (["--format", "rasdaemon", "--scenario", "polled"], "is a database: name a file"),
        (
            ["--format", "mcelog", "--scenario", "firmware-first"],
            "holds machine checks, and this host's firmware keeps those to itself; there are:",
        ),
        (
            ["--format", "mcelog", "--scenario", "polled", "--registers", "amd"],
            "has no room for AMD's IPID",
        ),
    ],
)
def test_what_cannot_be_recorded_is_one_line(choice: list[str], says: str) -> None:
    result = run("-", *choice)
    assert (result.exit_code, says in result.stderr) == (1, True)
    assert len(result.stderr.splitlines()) == 1


def test_memory_that_does_not_wear_out_has_nothing_to_record(tmp_path: Path) -> None:
    file = tmp_path / "none.log"
    result = run(file, "--format", "edac", "--preset", "ddr4", "--wear", "0")
    assert (result.exit_code, file.read_bytes()) == (0, b"")


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    result = run(tmp_path / "no" / "a", "--format", "edac", "--scenario", "polled")
    assert (result.exit_code, "cannot be written" in result.stderr) == (1, True)
