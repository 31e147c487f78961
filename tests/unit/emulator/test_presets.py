"""The fault model's file: complete, as its sources say, and mistakes told in one line."""

import re
from pathlib import Path

import pytest

from emulator import presets
from emulator.errors import EmulatorError
from emulator.machine.faults import Mode

DOCUMENTED = Path(__file__).parents[3] / "config" / "faults.toml"

# FIT of one DDR2 device of Jaguar (Sridharan and Liberty, SC'12): transient, permanent.
JAGUAR = {
    Mode.CELL: (14.2, 18.6),
    Mode.WORD: (1.4, 0.3),
    Mode.COLUMN: (1.4, 5.6),
    Mode.ROW: (0.2, 8.2),
    Mode.BANK: (0.8, 10.0),
    Mode.MULTI_BANK: (0.3, 1.4),
    Mode.LANE: (0.9, 2.8),
}


def test_ddr3_is_six_tenths_of_what_was_counted_in_jaguar() -> None:
    model = presets.load("ddr3").model
    for mode, (transient, permanent) in JAGUAR.items():
        assert model.transient_fit[mode] == pytest.approx(0.6 * transient), mode
        assert model.permanent_fit[mode] == pytest.approx(0.6 * permanent), mode
    assert model.transient_share == pytest.approx(0.29, abs=0.005)


@pytest.mark.parametrize(
    ("mode", "least", "most"),
    [
        (Mode.CELL, 0.50, 0.55),
        (Mode.COLUMN, 0.08, 0.12),
        (Mode.ROW, 0.15, 0.20),
        (Mode.BANK, 0.08, 0.12),
    ],
)
def test_ddr4s_flaws_are_of_many_bits_as_often_as_in_the_field(
    mode: Mode, least: float, most: float
) -> None:
    """Beigi et al., HPCA'23: over 45 % of them, and rows before columns and banks."""
    assert least < presets.load("ddr4").model.share(mode) < most


def test_ddr5_has_fewer_flaws_and_more_of_them_are_more_than_a_cell() -> None:
    ddr4, ddr5 = presets.load("ddr4").model, presets.load("ddr5").model
    assert ddr5.fit < ddr4.fit
    assert ddr5.share(Mode.CELL) < ddr4.share(Mode.CELL)


@pytest.mark.parametrize("name", presets.names())
def test_as_many_dimms_have_an_uncorrected_error_as_in_the_field(name: str) -> None:
    """0.05 to 0.39 % in a year (Schroeder et al., SIGMETRICS'09)."""
    model, host = presets.load(name).model, presets.load(name).host
    lasting = sum(model.permanent_fit[mode] * model.uncorrected[mode] for mode in Mode) / model.fit
    assert 0.0005 < lasting * model.flaws_expected(host, dimm_years=1.0) < 0.0039


def test_errors_of_a_flaw_are_spread_as_unevenly_as_in_the_field() -> None:
    """Mean and median of errors are 55 times apart in the field (Meza et al., DSN'15)."""
    pareto = presets.load("ddr4").model.errors
    median = 2  # the least k of which at most half of all flaws have more
    assert pareto.above(median) <= 0.5 < pareto.above(median - 1)
    assert 40 < pareto.mean / median < 80


@pytest.mark.parametrize("name", presets.names())
def test_a_host_has_eight_dimms_of_64_gib(name: str) -> None:
    host = presets.load(name).host
    assert (host.dimms, host.capacity) == (8, 512 << 30)


def test_an_unknown_preset_is_answered_with_all_there_are() -> None:
    with pytest.raises(EmulatorError, match="no 'ddr6'; there are: ddr3, ddr4, ddr5"):
        presets.load("ddr6")


@pytest.mark.parametrize(
    ("was", "becomes", "complaint"),
    [
        ("alpha = 0.8", "alpha = 0", "errors.alpha: Input should be greater than 0"),
        ("[scrub]", "[scrub]\nperoid = 1", "scrub.peroid: there is no such key"),
        (", lane = 30.0 }", " }", "burst_errors: each mode needs a number; there is none for lane"),
        ("word = 1.5,", "wrod = 1.5,", "arrivals.burst_errors.wrod"),
        ("first = 0.25", "first = 2", "uncorrected.first: Input should be less than"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    tmp_path: Path, was: str, becomes: str, complaint: str
) -> None:
    text = DOCUMENTED.read_text(encoding="utf-8")
    assert was in text
    file = tmp_path / "faults.toml"
    file.write_text(text.replace(was, becomes, 1), encoding="utf-8")
    with pytest.raises(EmulatorError, match=re.escape(complaint)) as raised:
        presets.load("ddr4", file)
    assert "\n" not in str(raised.value)
