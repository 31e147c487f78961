"""`pagewarden why` and `dimms`: what is known of a page and of a DIMM, in words."""

import pytest
import typer

from agent.commands.dimms import wear_of
from agent.commands.why import counted, facts, parse_page, word
from agent.contract.hypercall import PageStatus, PageUse
from agent.contract.status import Counted, DimmView, HostWord, PageView, RankWear

ONE_OF_TWO = Counted(errors=1, threshold=2, window_seconds=86_400.0)
HELD = HostWord(status=PageStatus.OFFLINE_PENDING, use=PageUse.PV, owner=7, guest="db")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "1 of 2 in 24 h: 1 more within the window is a verdict"),
        ({"errors": 2, "fired": True}, "2 of 2 in 24 h: it had its verdict"),
        ({"window_seconds": 5400.0}, "1 of 2 in 90 min: 1 more within the window is a verdict"),
        ({"errors": 0, "window_seconds": 90.0}, "0 of 2 in 90 s: 2 more within the window"),
    ],
)
def test_it_says_how_far_a_page_is_from_its_verdict(changes: dict[str, object], text: str) -> None:
    assert counted(ONE_OF_TWO.model_copy(update=changes)).startswith(text)


def test_the_hypervisor_s_word_names_who_holds_the_page_and_who_maps_it() -> None:
    mapped = HELD.model_copy(update={"mappers": (0,), "devices": ("nic0",), "is_broken": True})
    assert word(HELD) == "offline_pending, used as pv of dom7 (db)"
    for part in ("mapped by dom0", "nic0", "uncorrected"):
        assert part in word(mapped)


def test_a_hypervisor_that_says_nothing_is_said_so() -> None:
    view = PageView(mfn=1, counted=ONE_OF_TWO, silence="no answer in 5 s")
    assert dict(facts(view))["hypervisor"] == "no answer in 5 s"
    assert dict(facts(view))["DIMM"] == "nobody says"


def test_a_range_is_no_page() -> None:
    with pytest.raises(typer.BadParameter, match="more than one page"):
        parse_page("1-2")


@pytest.mark.parametrize(
    ("wear", "is_worn", "text"),
    [
        ((), False, "0 of 64"),
        ((RankWear(pages=3),), False, "3 of 64"),
        ((RankWear(rank=0, pages=64), RankWear(rank=1, pages=2)), True, "rank 0: 64 of 64, "),
    ],
)
def test_wear_is_of_each_rank(wear: tuple[RankWear, ...], is_worn: bool, text: str) -> None:
    dimm = DimmView(dimm="A", wear=wear, is_worn=is_worn, pages_per_rank_max=64)
    assert wear_of(dimm).startswith(text)
    assert wear_of(dimm).endswith("replace it") is is_worn
