"""The shipped unit under a real systemd: from its start to its stop, and what the journal keeps."""

import json
from pathlib import Path

import pytest

from tests.support import nspawn
from tests.support.needs import missing
from tests.support.nspawn import ROOT, Booted

UNIT = ROOT / "config" / "systemd" / "pagewarden.service"
FOR_XEN = UNIT.with_name("pagewarden-xen.conf")


def a_boot(folder: Path, unit: Path, *drop_ins: Path) -> Booted:
    if not nspawn.is_possible():
        missing("nspawn")
    return nspawn.boot(folder, unit, *drop_ins)


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Booted:
    """One boot for all of these tests: half a minute."""
    return a_boot(tmp_path_factory.mktemp("systemd"), UNIT)


@pytest.mark.parametrize("step", ["start", "reload", "stop"])
def test_systemd_calls_each_step_done(booted: Booted, step: str) -> None:
    assert booted.text(step).strip() == "0", booted.text("probe.log")


def test_it_runs_as_nobody_s_account_and_may_do_nothing(booted: Booted) -> None:
    process = booted.shown("process")
    assert booted.shown("running")["DynamicUser"] == "yes"
    assert int(process["Uid"].split()[0]) >= 61184  # where systemd's accounts for a while begin
    assert int(process["CapEff"], 16) == int(process["CapBnd"], 16) == 0
    assert process["NoNewPrivs"].strip() == "1"
    assert process["Seccomp"].strip() == "2"


def test_it_says_how_it_is(booted: Booted) -> None:
    running = booted.shown("running")
    assert (running["ActiveState"], running["SubState"]) == ("active", "running")
    assert running["StatusText"] == "well"
    assert running["WatchdogTimestampMonotonic"] != "0"


def test_a_reload_is_taken_by_the_process_that_runs(booted: Booted) -> None:
    """And what was observed is retired, under the sandbox of the unit."""
    (fields,) = said(booted, "policy_reloaded")
    assert fields["taken"] == ["retirement.mode"]
    assert json.loads(booted.text("case.json"))["rest"] == "retired"


def test_it_is_started_again_when_it_was_killed(booted: Booted) -> None:
    again = booted.shown("again")
    assert (again["ActiveState"], again["NRestarts"]) == ("active", "1")


def test_a_stop_is_a_success(booted: Booted) -> None:
    stopped = booted.shown("stopped")
    assert (stopped["ActiveState"], stopped["Result"]) == ("inactive", "success")


def entries(booted: Booted) -> list[dict[str, str]]:
    """What the unit itself wrote, as the journal has it."""
    lines = map(json.loads, booted.text("journal").splitlines())
    return [line for line in lines if line.get("_TRANSPORT") == "stdout"]


def said(booted: Booted, event: str) -> list[dict[str, object]]:
    lines = (json.loads(entry["MESSAGE"]) for entry in entries(booted))
    return [fields for fields in lines if fields["event"] == event]


def test_the_journal_has_one_line_a_decision(booted: Booted) -> None:
    """Each move of a case once, in order, as the case's own story has them."""
    history = [step["state"] for step in json.loads(booted.text("case.json"))["history"]]
    (opened,) = [fields for fields in said(booted, "case_opened") if fields["case"] == "c1"]
    moves = [fields for fields in said(booted, "case_moved") if fields["case"] == "c1"]
    assert opened["verdict"] == "2 errors in 24 h"
    assert [fields["from"] for fields in moves] == history[:-1]
    assert [fields["to"] for fields in moves] == history[1:]


def test_the_journal_knows_which_lines_a_person_should_look_at(booted: Booted) -> None:
    """Its priority is that of the line."""
    levels = {(json.loads(e["MESSAGE"])["level"], e["PRIORITY"]) for e in entries(booted)}
    assert levels == {("info", "6"), ("warning", "4")}


@pytest.fixture(scope="module")
def booted_for_xen(tmp_path_factory: pytest.TempPathFactory) -> Booted:
    """The same boot, with the drop-in for a dom0 beside the unit."""
    return a_boot(tmp_path_factory.mktemp("systemd-xen"), UNIT, FOR_XEN)


@pytest.mark.parametrize("step", ["start", "reload", "stop"])
def test_systemd_calls_each_step_done_on_a_xen_host_too(booted_for_xen: Booted, step: str) -> None:
    assert booted_for_xen.text(step).strip() == "0", booted_for_xen.text("probe.log")


def test_on_a_xen_host_nothing_is_shut_that_root_has(booted_for_xen: Booted) -> None:
    """What `xl` cannot reach, a guest that it restores is lost for."""
    process, first = booted_for_xen.shown("process"), booted_for_xen.shown("first")
    for right in ("Uid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp_filters"):
        assert process[right] == first[right], right
    assert booted_for_xen.text("ns") == booted_for_xen.text("ns-1") != ""


def test_on_a_xen_host_no_device_is_shut(booted_for_xen: Booted) -> None:
    """One that is allowed by name shuts all others."""
    running = booted_for_xen.shown("running")
    assert (running["DevicePolicy"], running.get("DeviceAllow", "")) == ("auto", "")


def test_on_a_xen_host_a_stop_leaves_xl_to_finish(booted_for_xen: Booted) -> None:
    assert booted_for_xen.shown("running")["KillMode"] == "process"


def test_a_unit_without_its_reload_would_be_found_out(tmp_path: Path) -> None:
    broken = tmp_path / UNIT.name
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    kept = (line for line in lines if not line.startswith("ExecReload="))
    broken.write_text("\n".join(kept) + "\n", encoding="utf-8")
    assert a_boot(tmp_path, broken).text("reload").strip() not in {"", "0"}
