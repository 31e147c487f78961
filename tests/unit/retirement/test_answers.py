"""What the contract's words mean for a case."""

import pytest

from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PageReply, PageStatus, PageUse, Refusal
from agent.contract.toolstack import ToolOutcome, ToolReply
from agent.retirement import answers
from agent.retirement.outcome import (
    BackOnline,
    Damaged,
    Done,
    Failed,
    Gone,
    Held,
    NotNow,
    Offlined,
    Outcome,
    Refused,
    TryAgain,
)
from tests.support.cases import page

MFN = Mfn(5)


def refused(refusal: Refusal | None) -> PageReply:
    reply = page(MFN, PageStatus.FAILED, PageUse.UNKNOWN)
    return reply.model_copy(update={"refusal": refusal})


def test_a_page_that_was_free_is_offlined_at_once() -> None:
    assert answers.to_offline(page(MFN, PageStatus.OFFLINED)) == Offlined(PageUse.FREE)


def test_a_pending_page_is_held_by_the_owner_that_is_named() -> None:
    reply = page(MFN, PageStatus.OFFLINE_PENDING, PageUse.PV, owner=7)
    assert answers.to_offline(reply) == Held(PageUse.PV, DomId(7))


def test_dom0_is_an_owner_and_not_nobody() -> None:
    """Its domain id is 0."""
    reply = page(MFN, PageStatus.OFFLINE_PENDING, PageUse.DOM0, owner=0)
    assert answers.to_offline(reply) == Held(PageUse.DOM0, DomId(0))


def test_a_refused_dom0_page_may_come_free_one_day() -> None:
    assert answers.to_offline(refused(Refusal.DOM0)) == NotNow(answers.NEEDS_MAINTENANCE)


@pytest.mark.parametrize("refusal", [Refusal.XEN_HEAP, Refusal.OUT_OF_RANGE, None])
def test_what_can_never_be_offlined_is_refused_with_a_reason(refusal: Refusal | None) -> None:
    outcome = answers.to_offline(refused(refusal))
    assert isinstance(outcome, Refused)
    assert outcome.reason


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (PageStatus.OFFLINED, Offlined()),
        (PageStatus.OFFLINE_PENDING, Held(PageUse.PV, DomId(7))),
        (PageStatus.ONLINE, BackOnline()),
    ],
)
def test_a_query_is_taken_at_its_word(status: PageStatus, outcome: Outcome) -> None:
    assert answers.to_query(page(MFN, status, PageUse.PV, owner=7)) == outcome


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (page(MFN, PageStatus.OFFLINED), Offlined),
        (page(MFN, PageStatus.OFFLINE_PENDING, PageUse.HVM, owner=7), Failed),
        (refused(Refusal.NO_FREE_MEMORY), TryAgain),
        (refused(Refusal.NOT_OWNED_BY_HVM), Refused),
    ],
)
def test_a_swap_is_done_when_the_old_page_is_offlined(
    reply: PageReply, kind: type[Outcome]
) -> None:
    assert isinstance(answers.to_swap(reply), kind)


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        (ToolOutcome.DONE, Done),
        (ToolOutcome.REFUSED, Refused),
        (ToolOutcome.FAILED, Failed),
        (ToolOutcome.TRY_AGAIN, TryAgain),
        (ToolOutcome.GUEST_MAY_BE_DAMAGED, Damaged),
        (ToolOutcome.NO_SUCH_DOMAIN, Gone),
    ],
)
def test_each_word_of_the_toolstack_has_an_outcome_of_its_own(
    word: ToolOutcome, kind: type[Outcome]
) -> None:
    assert isinstance(answers.to_command(ToolReply(outcome=word)), kind)
