"""`pagewarden status` names the DIMM to replace, and its rank where that is known."""

import pytest

from agent.adapters.overview import worn_dimms
from agent.commands.status import told
from agent.contract.status import WornDimm
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
