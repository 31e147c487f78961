"""Records: what passes the check is an ereport the contract takes."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contract.ereport import Ereport
from agent.telemetry.exact import coordinate, nanoseconds, whole
from agent.telemetry.record import BOUNDS, DETAIL_CHARS_MAX, Decoded, Refused, checked

A_RECORD = Decoded(line=7, time_ns=0)
BOOT = UUID(int=1)


@given(st.fixed_dictionaries({name: st.integers(-2, below + 1) for name, below in BOUNDS.items()}))
def test_what_is_not_refused_always_makes_an_ereport(values: dict[str, int]) -> None:
    outcome = checked(replace(A_RECORD, **values))  # type: ignore[arg-type] # all of them are ints
    assert isinstance(outcome, Refused) or isinstance(outcome.ereport("hv-1", BOOT, 0), Ereport)


@pytest.mark.parametrize("name", BOUNDS)
def test_the_largest_number_that_the_contract_takes_is_not_refused(name: str) -> None:
    record = replace(A_RECORD, **{name: BOUNDS[name] - 1})  # type: ignore[arg-type] # an int
    assert checked(record) is record


@pytest.mark.parametrize("name", BOUNDS)
def test_one_more_than_that_is_refused(name: str) -> None:
    record = replace(A_RECORD, **{name: BOUNDS[name]})  # type: ignore[arg-type] # an int
    assert isinstance(checked(record), Refused)


def test_a_refusal_names_the_line_and_the_field() -> None:
    assert checked(replace(A_RECORD, row=-1)) == Refused(7, "row must be 0 to 2147483647 (got -1)")


@pytest.mark.parametrize(
    ("text", "ns"),
    [("1", 10**9), ("0.000000001", 1), ("1180532.573917", 1180532573917000), ("1.5", 15 * 10**8)],
)
def test_seconds_are_exact_to_the_nanosecond(text: str, ns: int) -> None:
    assert nanoseconds(text) == ns


@pytest.mark.parametrize("text", ["", "1e9", "-1", "1_0", "١", "9" * 5000, " 1", "nan"])
def test_what_is_no_plain_number_is_none(text: str) -> None:
    assert (whole(text), nanoseconds(text), coordinate(text)) == (None, None, None)


@pytest.mark.parametrize(("text", "number"), [("0x1F", 31), ("010", 10), ("7", 7)])
def test_a_coordinate_is_hexadecimal_only_behind_0x(text: str, number: int) -> None:
    assert coordinate(text) == number


def test_a_detail_that_is_too_long_for_an_ereport_is_cut() -> None:
    record = checked(Decoded(line=1, time_ns=1, detail="x" * 5000))
    assert isinstance(record, Decoded)
    assert (len(record.detail or ""), (record.detail or "")[-1]) == (DETAIL_CHARS_MAX, "…")
