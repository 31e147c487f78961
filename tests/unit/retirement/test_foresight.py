"""What would be done about a page: the ladder's word, and what stands above the ladder."""

import pytest

from agent.contract.frames import DomId
from agent.contract.hypercall import PageReply, PageStatus, PageUse
from agent.retirement.foresight import Foresight, foresee
from agent.retirement.ladder import Rung, Terms
from agent.retirement.outcome import Guest
from agent.retirement.reason import Reason
from tests.support.cases import MFN, page

PV = page(MFN, PageStatus.ONLINE, PageUse.PV, DomId(7))
FREE = page(MFN, PageStatus.ONLINE)
EVERY_RUNG_OF_PV = (Rung.EXCHANGE, Rung.SAVE_RESTORE)


def ahead(of: PageReply, refusal: Reason | None = None, *, observes: bool = False) -> Foresight:
    return foresee(of, Guest("db"), Terms(), refusal, observes=observes)


def test_a_guest_s_page_climbs_its_ladder() -> None:
    assert ahead(PV) == Foresight(EVERY_RUNG_OF_PV)
    assert ahead(PV).text == "exchange, then save_restore"


def test_a_free_page_is_taken_at_once() -> None:
    assert ahead(FREE).text == "the hypercall takes it at once"


@pytest.mark.parametrize(
    ("use", "why"), [(PageUse.XEN_HEAP, Reason.XEN_HEAP), (PageUse.DOM0, Reason.DOM0)]
)
def test_what_has_no_rung_says_why(use: PageUse, why: Reason) -> None:
    assert ahead(page(MFN, PageStatus.ONLINE, use, 0)).obstacle is why


def test_a_cap_stands_above_the_ladder() -> None:
    assert ahead(PV, Reason.REPLACE_DIMM) == Foresight(obstacle=Reason.REPLACE_DIMM)


def test_a_broken_page_is_never_touched_whatever_the_caps_say() -> None:
    broken = PV.model_copy(update={"is_broken": True})
    assert ahead(broken, Reason.REPLACE_DIMM).obstacle is Reason.BROKEN


def test_what_is_out_of_use_needs_nothing() -> None:
    out = FREE.model_copy(update={"status": PageStatus.OFFLINED})
    assert ahead(out, Reason.REPLACE_DIMM).text == "nothing: it is out of use"


def test_who_only_observes_tells_the_rungs_and_that_they_are_not_climbed() -> None:
    seen = ahead(PV, observes=True)
    assert seen == Foresight(EVERY_RUNG_OF_PV, Reason.OBSERVING)
    assert seen.text.endswith('but retirement.mode is "observe"')
