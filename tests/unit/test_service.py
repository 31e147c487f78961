"""The unit for systemd is one that systemd reads, and lets the agent at little."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from agent import app, checkup

UNIT = Path(__file__).parents[2] / "config" / "systemd" / "pagewarden.service"
EXPOSURE_MAX = 20  # of 100: systemd's 2.0

SETTINGS = dict(re.findall(r"^(\w+)=(.+)$", UNIT.read_text(encoding="utf-8"), re.MULTILINE))


def analyzed(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    command = ["systemd-analyze", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def exposure_of(unit: Path, most: int = EXPOSURE_MAX) -> int:
    options = ("--offline=true", "--no-pager", f"--threshold={most}")
    return analyzed("security", *options, unit).returncode


def test_systemd_reads_the_unit(tmp_path: Path) -> None:
    """With a program that is there, in place of ours."""
    copy = tmp_path / UNIT.name
    text = UNIT.read_text(encoding="utf-8")
    copy.write_text(re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    done = analyzed("verify", "--man=no", copy)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_unit_with_a_mistake_would_be_told(tmp_path: Path) -> None:
    copy = tmp_path / "broken.service"
    copy.write_text("[Service]\nExecStart=/bin/true\nProtectSystems=strict\n")
    assert "ProtectSystems" in analyzed("verify", "--man=no", copy).stderr


def test_the_unit_is_let_at_little() -> None:
    assert exposure_of(UNIT) == 0


def test_a_unit_that_is_let_at_everything_would_be_found_out(tmp_path: Path) -> None:
    copy = tmp_path / "bare.service"
    copy.write_text("[Service]\nExecStart=/bin/true\n")
    assert exposure_of(copy) != 0


def test_a_stop_has_the_time_that_the_agent_may_take() -> None:
    may_take = app.STOP_SECONDS_MAX + app.RELEASE_SECONDS_MAX
    assert int(SETTINGS["TimeoutStopSec"]) > may_take


def test_the_watchdog_is_fed_many_times_before_it_bites() -> None:
    assert int(SETTINGS["WatchdogSec"]) > 10 * checkup.BEAT_SECONDS


def test_a_reload_is_the_signal_that_the_agent_reads_its_policy_at() -> None:
    assert SETTINGS["ExecReload"] == "/bin/kill -HUP $MAINPID"
