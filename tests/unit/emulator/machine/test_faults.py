"""Flaws: how far each mode reaches on the DIMM, and none further."""

from dataclasses import fields, replace

import numpy as np
import pytest

from emulator.machine.faults import REACH, Flaw, Mode, addresses_of, site_of
from emulator.machine.memory import Geometry, Places
from tests.support.flaws import HOST, SITE, a_flaw

ERRORS = 20_000
SUBARRAY_ROWS = 512


def places_of(flaw: Flaw, geometry: Geometry = HOST) -> Places:
    rng = np.random.default_rng(1)
    return geometry.places(addresses_of(flaw, ERRORS, geometry, SUBARRAY_ROWS, rng))


def distinct(places: Places) -> dict[str, int]:
    """How many of each coordinate are met."""
    return {f.name: len(np.unique(getattr(places, f.name))) for f in fields(places)}


@pytest.mark.parametrize("mode", Mode)
def test_only_what_the_mode_reaches_differs_between_its_errors(mode: Mode) -> None:
    met = distinct(places_of(a_flaw(mode)))
    assert {name for name, count in met.items() if count > 1} == set(REACH[mode])


@pytest.mark.parametrize("mode", Mode)
def test_every_flaw_is_where_it_was_found(mode: Mode) -> None:
    places = places_of(a_flaw(mode))
    found = {
        "dimm": HOST.dimm_of(places),
        **{name: getattr(places, name) for name in ("rank", "bank_group", "bank", "row", "column")},
    }
    for name in set(found) - set(REACH[mode]):
        assert set(found[name].tolist()) == {getattr(SITE, name)}, name


def test_a_row_errs_in_all_its_columns_and_so_on_two_pages() -> None:
    flaw = a_flaw(Mode.ROW)
    address = addresses_of(flaw, ERRORS, HOST, SUBARRAY_ROWS, np.random.default_rng(1))
    assert len(np.unique(address)) == HOST.columns
    assert len(np.unique(address >> 12)) == HOST.row_bytes // 4096


def test_a_column_errs_in_the_rows_of_its_subarray() -> None:
    rows = np.unique(places_of(a_flaw(Mode.COLUMN)).row)
    assert (len(rows), int(rows.min()), int(rows.max())) == (512, 1024, 1535)


def test_a_column_at_the_end_of_a_small_bank_stays_within_it() -> None:
    small = replace(HOST, memory=700 * HOST.capacity // HOST.rows)
    flaw = replace(a_flaw(Mode.COLUMN), site=replace(SITE, row=699))
    rows = np.unique(places_of(flaw, small).row)
    assert (int(rows.min()), int(rows.max())) == (700 - 512, 699)


def test_a_lane_errs_all_over_its_dimm() -> None:
    met = distinct(places_of(a_flaw(Mode.LANE)))
    assert (met["rank"], met["bank_group"], met["bank"]) == (2, 4, 4)
    assert met["row"] > ERRORS * 0.9


def test_a_flaw_can_be_put_at_an_address() -> None:
    address = 0x12_3456_7000
    flaw = replace(a_flaw(Mode.CELL), site=site_of(address, HOST))
    (found,) = addresses_of(flaw, 1, HOST, SUBARRAY_ROWS, np.random.default_rng(1))
    assert found == address


@pytest.mark.parametrize(
    ("errors", "uncorrected_at", "complaint"),
    [(0, None, "at least 1 error"), (3, 4, "must be 0 to 3"), (3, -1, "must be 0 to 3")],
)
def test_a_flaw_that_cannot_be_is_refused(
    errors: int, uncorrected_at: int | None, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        a_flaw(errors=errors, uncorrected_at=uncorrected_at)
