"""The form of a call about pages: a list, or a range, and never both."""

import pytest
from pydantic import ValidationError

from agent.contract.codec import one_line
from agent.contract.frames import MFN_MAX
from agent.contract.hypercall import PAGES_MAX, PagesRequest

CHOICE = "give mfns, or first and last: "


def complaint(**keys: object) -> str:
    with pytest.raises(ValidationError) as wrong:
        PagesRequest.model_validate(keys)
    return one_line(wrong.value)


def test_a_list_means_its_pages_in_its_order() -> None:
    assert list(PagesRequest(mfns=(7, 3)).pages) == [7, 3]


def test_a_range_means_both_of_its_ends_and_all_between() -> None:
    assert list(PagesRequest(first=3, last=5).pages) == [3, 4, 5]


def test_a_range_of_one_page_is_one() -> None:
    assert list(PagesRequest(first=0, last=0).pages) == [0]


def test_a_range_may_be_as_long_as_a_list() -> None:
    assert len(PagesRequest(first=1, last=PAGES_MAX).pages) == PAGES_MAX


@pytest.mark.parametrize(
    ("keys", "given"),
    [
        ({}, "none"),
        ({"first": 1}, "first"),
        ({"last": 1}, "last"),
        ({"mfns": [1], "last": 1}, "mfns and last"),
        ({"mfns": [1], "first": 1, "last": 2}, "mfns and first and last"),
    ],
)
def test_pages_are_named_in_exactly_one_way(keys: dict[str, object], given: str) -> None:
    assert CHOICE + given + " given" in complaint(**keys)


@pytest.mark.parametrize("last", [9, 10 + PAGES_MAX])
def test_a_range_that_is_none_or_too_long_names_the_key_and_what_would_be_right(last: int) -> None:
    said = complaint(first=10, last=last)
    assert said.startswith("at last: ")
    assert f"must be 10 (first) to {9 + PAGES_MAX}" in said


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"mfns": []}, "mfns"),
        ({"mfns": [MFN_MAX + 1]}, "mfns.0"),
        ({"mfns": [0] * (PAGES_MAX + 1)}, "mfns"),
        ({"first": -1, "last": 1}, "first"),
        ({"first": 1, "last": MFN_MAX + 1}, "last"),
        ({"first": 1, "end": 2}, "end"),
    ],
)
def test_what_is_wrong_with_a_key_names_the_key(keys: dict[str, object], place: str) -> None:
    assert complaint(**keys).startswith(f"at {place}: ")
