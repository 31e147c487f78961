"""`pagewarden status` names the DIMM to replace, and its rank where that is known."""

import pytest

from agent.adapters.overview import worn_dimms
from agent.commands.status import heat, told
from agent.contract.status import HotPlace, WornDimm
from agent.retirement.caps import Rank


@pytest.mark.parametrize(
    ("worn", "text"),
    [
        (WornDimm(dimm="A1"), "A1"),
        (WornDimm(dimm="A1", ranks=(1,)), "A1 (rank 1)"),
        (WornDimm(dimm="A1", ranks=(0, 1)), "A1 (rank 0 and 1)"),
    ],
)
def test_a_worn_dimm_is_named_with_its_ranks(worn: WornDimm, text: str) -> None:
    assert told(worn) == text


def test_a_dimm_with_two_worn_ranks_is_named_once() -> None:
    ranks = (Rank("A", 0), Rank("A", 1), Rank("B"))
    assert worn_dimms(ranks) == (WornDimm(dimm="A", ranks=(0, 1)), WornDimm(dimm="B"))


def test_a_row_that_is_near_to_failing_is_named_with_its_errors() -> None:
    place = HotPlace(dimm="A1", rank=0, bank=3, row=17, errors=2, threshold=4)
    assert heat(place) == ("A1, rank 0, bank 3, row 17", "2 of 4", "")


def test_a_bank_that_fails_is_said_to() -> None:
    place = HotPlace(dimm="A1", rank=0, bank=3, errors=16, threshold=16)
    assert heat(place) == ("A1, rank 0, bank 3", "16 of 16", "failing")
