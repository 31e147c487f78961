"""What `pagewarden doctor` prints, and how it exits."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from agent.cli import build
from agent.doctor.facts import Facts
from agent.doctor.survey import Survey

FIT = Facts(kind="emulated", is_root=False, broker_url="mqtt://b", is_clock_set=True)
UNFIT = Facts(kind="xen", is_root=True, broker_url="mqtt://b", is_clock_set=True)


def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, found: Facts, *words: str) -> Result:
    async def facts(_: Survey) -> Facts:
        return found

    monkeypatch.setattr(Survey, "facts", facts)
    config = tmp_path / "agent.toml"
    config.write_text('host = "hv-1"\n', encoding="utf-8")
    return CliRunner().invoke(build(), ["doctor", "--config", str(config), *words])


def test_a_fit_host_is_a_success(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    done = run(monkeypatch, tmp_path, FIT)
    assert done.exit_code == 0
    assert "hypervisor        ok       the emulated one answers" in done.stdout


def test_what_is_refused_is_a_failure_and_says_its_fix(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done = run(monkeypatch, tmp_path, UNFIT)
    assert done.exit_code == 1
    assert "this machine runs under no Xen  boot this host with Xen" in done.stdout


def test_a_machine_reads_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told = json.loads(run(monkeypatch, tmp_path, UNFIT, "--json").stdout)
    assert told["fit"] is False
    assert told["lines"][0] == {
        "check": "hypervisor",
        "level": "refused",
        "what": "this machine runs under no Xen",
        "fix": 'boot this host with Xen, or set hypervisor.kind = "emulated"',
    }
