"""`pagewarden emulator describe`: numbers that agree, and a report that stands alone."""

import json
import re
from collections.abc import Set as AbstractSet
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner, Result

from agent.cli import build
from emulator import presets
from emulator.describing.page import page
from emulator.describing.policies import POLICIES, Saved
from emulator.describing.study import Study, study
from emulator.errors import EmulatorError
from emulator.machine.faults import Mode

PAGE_FAILS = {Mode.COLUMN.word, Mode.BANK.word, Mode.MULTI_BANK.word, Mode.LANE.word}


@pytest.fixture(scope="module")
def fleet() -> Study:
    return study(presets.load("ddr4"), dimm_years=200_000, seed=3)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build(), ["emulator", "describe", *arguments])


def avoided(fleet: Study, policy: str, modes: AbstractSet[str]) -> float:
    lines = [line for line in fleet.policies if line.policy == policy and line.mode in modes]
    return sum(line.errors_avoided for line in lines) / sum(line.errors for line in lines)


def test_all_parts_tell_of_the_same_errors(fleet: Study) -> None:
    assert (sum(fleet.per_dimm), min(fleet.per_dimm) > 0) == (fleet.errors, True)
    assert sum(mode.flaws for mode in fleet.modes) == fleet.flaws
    for policy in POLICIES:
        lines = [line for line in fleet.policies if line.policy == policy.name]
        assert sum(line.errors for line in lines) == fleet.errors, policy
        assert sum(line.uncorrected for line in lines) == fleet.uncorrected, policy


def test_every_gap_between_two_errors_of_a_flaw_is_in_the_histogram(fleet: Study) -> None:
    gaps = sum(each.gaps for each in fleet.gaps)
    assert gaps == fleet.errors + fleet.uncorrected - fleet.flaws


def test_page_policies_end_what_is_on_a_page_and_fail_what_is_not(fleet: Study) -> None:
    on_a_page = {mode.word for mode in Mode} - PAGE_FAILS
    assert avoided(fleet, "2 / 24 h", on_a_page) > 0.7
    assert avoided(fleet, "2 / 24 h", PAGE_FAILS) < 0.05


def test_a_row_is_ended_sooner_by_retiring_it_than_page_by_page(fleet: Study) -> None:
    row = {Mode.ROW.word}
    assert avoided(fleet, "row 2 / 24 h", row) > avoided(fleet, "2 / 24 h", row)


def test_few_uncorrected_errors_are_avoided_by_retiring_pages(fleet: Study) -> None:
    """8 % in the field (Sridharan and Liberty, SC'12)."""
    lines = [line for line in fleet.policies if line.policy == "2 / 24 h"]
    assert 0.01 < sum(line.uncorrected_avoided for line in lines) / fleet.uncorrected < 0.16


def test_most_errors_are_those_of_few_dimms(fleet: Study) -> None:
    """The worst fifth of the DIMMs that err make over 94 % in the field (Schroeder et al.)."""
    worst = sum(fleet.per_dimm[: len(fleet.per_dimm) // 5])
    assert 0.85 < worst / fleet.errors < 0.99


def test_the_tail_is_that_of_the_model_although_the_year_ends_first(
    fleet: Study,
) -> None:
    """The tail counts all errors a flaw ever makes, so that it can agree with the model."""
    for point in fleet.tail:
        assert point.found == pytest.approx(point.expected, abs=0.05), point


def test_the_report_is_one_well_formed_file_that_fetches_nothing(fleet: Study) -> None:
    text = page(fleet)
    body = text[text.index("<body>") : text.index("</body>") + len("</body>")]
    root = ET.fromstring(body)  # the body is kept so strict that any reader of XML takes it
    assert len(root.findall(".//svg")) == 4
    assert len(root.findall(".//table")) == 3
    assert not re.search(r"https?://|src=|href=|@import|url\(", text)


def test_the_report_shows_the_numbers_of_the_study(fleet: Study) -> None:
    told = page(fleet)
    assert f"<dd>{fleet.errors:,}</dd>" in told
    assert f'<td style="background: rgba(var(--tint), 0.00)">{fleet.uncorrected:,}</td>' in told


def test_a_fleet_without_errors_in_the_year_is_drawn_too() -> None:
    """One DIMM, one flaw, and perhaps nothing of what there usually is."""
    few = [study(presets.load("ddr3"), dimm_years=200, seed=seed) for seed in (1, 4)]
    assert all("<svg" in page(each) for each in few)
    bare = replace(few[0], tail=[], per_dimm=[], errors=0, uncorrected=0, policies=nothing(few[0]))
    assert "<svg" in page(bare)


def nothing(found: Study) -> list[Saved]:
    return [
        replace(line, errors=0, errors_avoided=0, uncorrected=0, uncorrected_avoided=0)
        for line in found.policies
    ]


def test_the_same_seed_is_the_same_report(fleet: Study) -> None:
    assert page(study(presets.load("ddr4"), 200_000, seed=3)) == page(fleet)


def test_json_holds_all_numbers() -> None:
    told = run("--json", "--preset", "ddr3", "--dimm-years", "10000", "--seed", "7")
    assert (told.exit_code, json.loads(told.output)["preset"]) == (0, "ddr3")
    assert len(json.loads(told.output)["policies"]) == len(POLICIES) * len(Mode)


def test_the_report_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "faults.html"
    told = run("--html", str(file))
    assert told.exit_code == 0
    assert "ddr4: a year of 10,000 DIMMs" in told.output
    assert file.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--preset", "ddr6"), "preset: there is no 'ddr6'; there are: ddr3, ddr4, ddr5"),
        (("--dimm-years", "0"), "dimm-years: must be 1 to 1,000,000 (got 0)"),
        (("--dimm-years", "8"), "dimm-years: 8 of ddr4 had no flaw at all; ask for more"),
        (("--html", "/nowhere/faults.html"), "/nowhere/faults.html: cannot be written: No such"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(arguments: tuple[str, ...], complaint: str) -> None:
    told = run(*arguments)
    assert (told.exit_code, told.stderr.count("\n")) == (1, 1)
    assert f"pagewarden: {complaint}" in told.stderr


def test_too_many_dimms_are_refused_before_anything_is_simulated() -> None:
    with pytest.raises(EmulatorError, match="dimm-years"):
        study(presets.load("ddr4"), dimm_years=1_000_001, seed=1)
