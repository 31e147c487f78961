"""`pagewarden decode`: what a person or a script sees of it."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from uuid import UUID

import pytest
import typer
from typer.testing import CliRunner, Result

from agent.adapters.recordings import FILES_MAX, HEAD_BYTES, opened
from agent.commands import decode
from agent.contract.ereport import Ereport
from agent.telemetry import formats
from tests.support.logs import EDAC, HEADER, LINE, ROW

BROKEN = LINE[:90]


def app() -> typer.Typer:
    """A command line with this command alone; the callback keeps it a subcommand."""
    application = typer.Typer(pretty_exceptions_enable=False)
    application.callback()(lambda: None)
    decode.register(application)
    return application


def run(*arguments: str | Path, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app(), ["decode", *map(str, arguments)], input=stdin)


def ereports(result: Result) -> list[Ereport]:
    return [Ereport.model_validate_json(line) for line in result.stdout.splitlines()]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Two errors, one line that cannot be read, and one about something else."""
    path = tmp_path / "kern.log"
    path.write_text(f"{LINE}\n[101.0] usb 1-1: new device\n{BROKEN}\n{LINE}\n")
    return path


def test_each_error_is_an_ereport_of_the_contract_on_a_line_of_its_own(log: Path) -> None:
    first, second = ereports(run("--json", log))
    assert (first.address, first.seq, second.seq) == (0x12345680, 0, 1)


def test_what_is_not_known_is_left_out(log: Path) -> None:
    first, *_ = run("--json", log).stdout.splitlines()
    assert "row" not in json.loads(first)


def test_a_refused_line_is_told_with_its_file_and_number(log: Path) -> None:
    assert f"{log}:3: EDAC line without its place" in run(log).stderr


def test_the_last_line_on_stderr_sums_up(log: Path) -> None:
    *_, last = run(log).stderr.splitlines()
    assert last == "pagewarden: 2 ereports (6 errors), 1 lines refused"


def test_people_get_columns(log: Path) -> None:
    heading, first, _ = run(log).stdout.splitlines()
    assert heading.split()[:2] == ["TIME", "(UTC)"]
    assert first.split()[:4] == ["1970-01-01T00:01:40.250000", "ce", "3", "0x12345680"]


def test_numbers_run_on_over_several_files_of_several_formats(log: Path, tmp_path: Path) -> None:
    table = tmp_path / "dimm.csv"
    table.write_text(f"{HEADER}\n{ROW}\n")
    assert [e.seq for e in ereports(run("--json", log, table))] == [0, 1, 2]


def test_the_same_recording_has_the_same_identity_under_any_name(log: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(log.read_bytes())
    assert run("--json", log).stdout == run("--json", copy).stdout


def test_another_recording_has_another_identity(log: Path) -> None:
    before = ereports(run("--json", log))[0].boot_id
    log.write_text(f"{LINE}\n")
    assert ereports(run("--json", log))[0].boot_id != before


def test_a_long_log_that_grows_keeps_its_identity(log: Path) -> None:
    """So that what was applied of it already is known again."""
    log.write_text(f"{LINE}\n" * (HEAD_BYTES // len(LINE) + 1))
    before = ereports(run("--json", log))
    with log.open("a") as file:
        file.write(f"{LINE}\n")
    assert ereports(run("--json", log))[: len(before)] == before


def test_standard_input_reads_as_the_file_does(log: Path) -> None:
    piped = run("--json", "-", stdin=log.read_text())
    assert piped.stdout == run("--json", log).stdout


def test_the_host_is_the_one_that_is_named(log: Path) -> None:
    assert {e.host for e in ereports(run("--json", "--host", "hv-1", log))} == {"hv-1"}


def test_lines_of_several_hosts_are_warned_of(log: Path) -> None:
    log.write_text("".join(f"Jan  3 22:28:26 {name} kernel: {EDAC}\n" for name in ("a", "b")))
    assert "several hosts (a, b)" in run(log).stderr


@pytest.mark.parametrize(
    ("option", "line", "time_ns"),
    [
        (("--year", "2019"), f"Jan  1 00:00:01 hv-1 kernel: {EDAC}", 1546300801 * 10**9),
        (("--zone", "Europe/Berlin"), f"[Tue Jan  1 01:00:01 2019] {EDAC}", 1546300801 * 10**9),
        (("--boot-time", "2019-01-01T00:00:00Z"), f"[1.000000] {EDAC}", 1546300801 * 10**9),
        (("--boot-time", "1546300800.5"), f"[0.500000] {EDAC}", 1546300801 * 10**9),
    ],
)
def test_what_a_date_leaves_unsaid_can_be_said(
    log: Path, option: Sequence[str], line: str, time_ns: int
) -> None:
    log.write_text(line)
    assert ereports(run("--json", *option, log))[0].time_ns == time_ns


def test_a_date_without_a_year_is_from_before_the_file_was_last_written(log: Path) -> None:
    log.write_text(f"Dec 31 23:59:59 hv-1 kernel: {EDAC}\n")
    os.utime(log, (1546387200, 1546387200))  # 2 January 2019
    assert ereports(run("--json", log))[0].time_ns == 1546300799 * 10**9


def test_a_page_size_changes_the_address(log: Path) -> None:
    assert ereports(run("--json", "--page-size", "65536", log))[0].address == 0x123450680


def test_a_format_that_is_named_is_not_guessed(log: Path) -> None:
    assert "SmartMem header" in run("--format", "smartmem", log).stderr


def test_success_means_that_something_was_decoded(log: Path) -> None:
    assert run(log).exit_code == 0


QUIET = "Jan  1 00:00:01 hv-1 kernel: a quiet day"


@pytest.mark.parametrize(
    ("text", "told"), [(f"{QUIET}\n" * 3, "3 lines"), (f"{QUIET} without an end", "1 line")]
)
def test_a_log_without_errors_is_a_success_that_says_so(log: Path, text: str, told: str) -> None:
    log.write_text(text)
    result = run(log)
    assert result.exit_code == 0
    assert result.stderr == f"pagewarden: no memory errors in {told}\n"


def test_an_empty_input_is_a_failure_that_says_so(log: Path) -> None:
    """A pipe whose writer failed looks like that."""
    log.write_text("")
    result = run("--format", "edac", log)
    assert result.exit_code == 1
    assert "there was nothing to be read" in result.stderr


def test_nothing_decoded_is_a_failure(log: Path) -> None:
    log.write_text(f"{BROKEN}\n")
    assert run(log).exit_code == 1


@pytest.mark.parametrize(
    ("name", "why"), [("nothing.log", "No such file"), (".", "Is a directory"), ("a\0b", "null")]
)
def test_a_file_that_cannot_be_opened_is_one_line_and_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(name)
    (line,) = result.stderr.splitlines()
    assert line.startswith("pagewarden: ")
    assert why in line
    assert result.exit_code == 2


def test_too_many_files_are_refused_by_number(log: Path) -> None:
    assert f"at most {FILES_MAX} files" in run(*[log] * (FILES_MAX + 1)).stderr


def test_standard_input_is_not_read_twice() -> None:
    assert run("-", "-", stdin=LINE).exit_code == 2


@pytest.mark.parametrize(
    "option",
    [
        ("--host", "a/b"),
        ("--zone", "Nowhere/Town"),
        ("--zone", "../etc"),
        ("--boot-time", "then"),
        ("--page-size", "1"),
        ("--year", "0"),
        ("--format", "xml"),
    ],
)
def test_an_option_that_makes_no_sense_is_wrong_usage(log: Path, option: Sequence[str]) -> None:
    assert run(*option, log).exit_code == 2


def test_a_label_cannot_steer_the_terminal(log: Path) -> None:
    log.write_text(LINE.replace("CPU_SrcID#0", "\x1b[2JDIMM"))
    assert "\x1b" not in run(log).stdout


def test_a_reader_that_goes_away_is_no_trouble(log: Path) -> None:
    """As in `pagewarden decode … | head -1`."""
    log.write_text(f"{LINE}\n" * 2000)
    program = "from tests.unit.commands.test_decode import app; app()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "decode", "--json", log],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": ""},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert (process.stderr.read(), process.wait(30)) == (b"", 0)


def test_a_long_file_is_never_held_whole() -> None:
    """Only the head is read on opening, and the rest as it is asked for."""
    with opened(["/dev/zero"]) as (recording,):
        sizes = [len(chunk) for chunk in islice(recording.chunks(), 3)]
    assert sizes == [HEAD_BYTES] * 3


def test_an_identity_is_a_fixed_function_of_the_bytes(log: Path) -> None:
    """It must not change from release to release: it says which ereports were applied."""
    log.write_text(f"{LINE}\n")
    assert ereports(run("--json", log))[0].boot_id == UUID("bcf0b834-b5e4-519e-bfb4-88e63b6c8638")


@pytest.mark.parametrize("name", ["auto", *formats.NAMES])
def test_every_format_of_the_table_can_be_named_and_no_other(name: str, log: Path) -> None:
    assert run("--format", name, log).exit_code in {0, 1}
    assert run("--format", f"{name}x", log).exit_code == 2


def test_the_help_names_every_format() -> None:
    told = " ".join(run("--help").stdout.replace("│", " ").split())
    assert all(name in told for name in formats.NAMES)


def test_a_database_of_rasdaemon_is_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "anything.bin"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "CREATE TABLE mc_event (id INTEGER PRIMARY KEY, timestamp TEXT, err_count INTEGER, "
            "err_type TEXT, err_msg TEXT, label TEXT, address INTEGER, driver_detail TEXT)"
        )
        row = (7, "2023-04-15 11:49:42 +0000", 3, "Corrected", "read", "A1", 0x12345680, "rank:1")
        database.execute("INSERT INTO mc_event VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    (only,) = ereports(run("--json", path))
    assert (only.address, only.count, only.dimm, only.rank) == (0x12345680, 3, "A1", 1)
