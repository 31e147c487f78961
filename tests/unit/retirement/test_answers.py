"""What the contract's words mean for a case."""

import pytest

from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PageReply, PageStatus, PageUse, Refusal
from agent.contract.toolstack import (
    HERE,
    DomainInfo,
    DomainsReply,
    DomainState,
    GuestKind,
    PeerInfo,
    ToolOutcome,
    ToolReply,
)
from agent.retirement import answers
from agent.retirement.outcome import (
    BackOnline,
    Damaged,
    Done,
    Failed,
    Gone,
    Guest,
    Held,
    NotNow,
    Offlined,
    Outcome,
    Refused,
    Spared,
    TryAgain,
)
from agent.retirement.reason import TEXT, Reason, told
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
    assert answers.to_offline(refused(Refusal.DOM0)) == NotNow(Reason.DOM0)


def test_what_holds_a_page_comes_with_who_maps_it_and_whose_it_is() -> None:
    reply = page(MFN, PageStatus.OFFLINE_PENDING, PageUse.HVM, owner=7)
    guest = Guest("db", devices=("nic",))
    mapped = reply.model_copy(update={"mappers": (9, 0)})
    assert answers.to_offline(mapped, guest) == Held(
        PageUse.HVM, DomId(7), (DomId(0), DomId(9)), guest
    )


def test_a_broken_page_is_asked_nothing_more() -> None:
    assert answers.to_broken(page(MFN, PageStatus.OFFLINED)) == Offlined()
    assert answers.to_broken(page(MFN, PageStatus.OFFLINE_PENDING)) == NotNow(Reason.BROKEN)


@pytest.mark.parametrize("refusal", Refusal)
def test_every_refusal_is_a_reason(refusal: Refusal) -> None:
    assert Reason(refusal)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_words_for_people(reason: Reason) -> None:
    assert TEXT[reason]


def test_a_reason_is_told_with_what_the_peer_said() -> None:
    assert told(Reason.REFUSED, "no images left") == "refused: no images left"
    assert told(Reason.REFUSED, "") == "refused"
    assert told(None, "") == ""


def test_a_page_that_others_still_map_is_waited_for() -> None:
    mapped = page(MFN, PageStatus.OFFLINE_PENDING, PageUse.PV, owner=7)
    mapped = mapped.model_copy(update={"mappers": (9,)})
    assert answers.to_wait(mapped) == TryAgain(Reason.MAPPED_ELSEWHERE)
    free = page(MFN, PageStatus.OFFLINE_PENDING, PageUse.PV, owner=7)
    assert answers.to_wait(free) == Held(PageUse.PV, DomId(7))


def an_exchange(outcome: ToolOutcome, *blamed: int) -> tuple[Outcome, ...]:
    reply = ToolReply(outcome=outcome, reason="because", blamed=blamed)
    return answers.to_exchange(reply, [Mfn(1), Mfn(2)])


def test_a_page_that_stood_in_the_way_of_an_exchange_does_not_spoil_it_for_the_others() -> None:
    blamed, spared = an_exchange(ToolOutcome.REFUSED, 1)
    assert blamed == Refused(detail="because")
    assert spared == Spared()


@pytest.mark.parametrize("blamed", [(), (99,)])
def test_an_exchange_that_blames_none_of_ours_failed_for_all(blamed: tuple[int, ...]) -> None:
    """Else the same exchange would be asked for again, and for ever."""
    assert an_exchange(ToolOutcome.TRY_AGAIN, *blamed) == (TryAgain(detail="because"),) * 2


@pytest.mark.parametrize("word", [ToolOutcome.REFUSED, ToolOutcome.FAILED])
def test_a_device_that_is_not_detached_stays_for_a_reason_of_its_own(word: ToolOutcome) -> None:
    outcome = answers.to_detach(ToolReply(outcome=word, reason="busy"))
    assert outcome == Refused(Reason.DETACH_REFUSED, "busy")


def domains(**changes: object) -> DomainsReply:
    """One guest of 64 pages; no more than 63 are free here, and 64 at the peer."""
    info = DomainInfo(
        domid=7, name="db", kind=GuestKind.PV, state=DomainState.RUNNING, pages=64
    ).model_copy(update=changes)
    return DomainsReply(
        domains=(info,), free_pages=63, peers=(PeerInfo(name="hv-2", free_pages=64),)
    )


@pytest.mark.parametrize(
    ("place", "room"), [("", False), (HERE, False), ("hv-2", True), ("x", False)]
)
def test_a_guest_may_leave_to_where_there_is_room(place: str, room: bool) -> None:
    assert answers.to_guest(domains(), DomId(7), place).may_leave is room


@pytest.mark.parametrize("state", DomainState)
def test_a_crashed_or_dying_guest_is_not_alive(state: DomainState) -> None:
    alive = state in {DomainState.RUNNING, DomainState.SUSPENDED}
    assert answers.to_guest(domains(state=state), DomId(7), "").is_alive is alive


def test_a_guest_is_found_by_its_name_wherever_it_lives_now() -> None:
    assert answers.domid_of(domains(domid=12), "db") == DomId(12)
    assert answers.domid_of(domains(state=DomainState.DYING), "db") is None


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
        (refused(Refusal.NO_FREE_MEMORY), NotNow),
        (refused(Refusal.NOT_OWNED_BY_HVM), Refused),
        (refused(Refusal.MAPPED_ELSEWHERE), Refused),
        (refused(Refusal.BROKEN), NotNow),
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
