"""The docket: one page, one case, and not more of them than the caps allow."""

from dataclasses import replace

import pytest

from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PageUse
from agent.diagnosis.verdict import Verdict
from agent.retirement import docket as docket_module
from agent.retirement.caps import Caps, Rank, pages_of
from agent.retirement.case import Case, Origin
from agent.retirement.docket import Docket
from agent.retirement.ladder import Rung
from agent.retirement.reason import Reason
from agent.retirement.states import State
from tests.support.cases import BOOT, a_case


def verdict(mfn: int) -> Verdict:
    return Verdict(Mfn(mfn), 5, "2 errors in 24 h")


def test_two_verdicts_on_one_page_are_one_case() -> None:
    docket = Docket(Caps(10))
    assert len(docket.open([verdict(1), verdict(1)], 0)) == 1
    assert docket.open([verdict(1)], 1) == ()


def test_cases_are_numbered_on_from_an_earlier_life() -> None:
    docket = Docket(Caps(10), next_number=8)
    assert [case.id for case in docket.open([verdict(1), verdict(2)], 0)] == ["c8", "c9"]


def test_past_the_cap_a_page_is_refused_with_the_reason() -> None:
    docket = Docket(Caps(1))
    first, second = docket.open([verdict(1), verdict(2)], 0)
    assert first.state is State.OPEN
    assert (second.state, second.reason) == (State.UNRETIRABLE, Reason.RETIRED_MEMORY_CAP)


def test_a_page_that_cannot_be_retired_does_not_count_against_the_cap() -> None:
    docket = Docket(Caps(1))
    (first,) = docket.open([verdict(1)], 0)
    docket.put(replace(first, state=State.UNRETIRABLE))
    (second,) = docket.open([verdict(2)], 0)
    assert second.state is State.OPEN


def test_what_is_under_way_is_unfinished() -> None:
    docket = Docket(Caps(10), str(BOOT))
    docket.restore(
        [
            a_case(State.OPEN, id="c1", mfn=Mfn(1)),
            a_case(State.RETIRED, id="c2", mfn=Mfn(2)),
            a_case(State.EXCHANGING, id="c3", mfn=Mfn(3)),
            a_case(State.PARKED, id="c4", mfn=Mfn(4)),
        ],
        now_ns=9,
    )
    assert [case.id for case in docket.unfinished] == ["c1", "c3"]


def test_a_guest_s_cases_are_found_until_they_are_at_their_end() -> None:
    docket = Docket(Caps(10))
    parked = a_case(State.PARKED, owner=DomId(7))
    for case in (parked, a_case(State.RETIRED, mfn=Mfn(2), owner=DomId(7))):
        docket.put(case)
    assert docket.held_by(DomId(7)) == (parked,)
    assert docket.held_by(DomId(8)) == ()


def test_it_knows_whether_a_page_is_still_being_asked_about() -> None:
    docket = Docket(Caps(10))
    docket.put(a_case())
    assert docket.is_asking
    docket.put(a_case(State.CONFIRMING))
    assert not docket.is_asking


def test_counts_name_every_place_to_rest() -> None:
    docket = Docket(Caps(10), str(BOOT))
    docket.restore([a_case(State.RETIRED), a_case(State.SWAPPING, mfn=Mfn(9), id="c2")], now_ns=9)
    assert docket.counts() == {
        "open": 1,
        "retired": 1,
        "parked": 0,
        "unretirable": 0,
        "returned": 0,
        "observed": 0,
    }


def test_a_host_may_always_retire_one_page() -> None:
    assert pages_of(100, 0.001) == 1
    assert pages_of(134_217_728, 0.001) == 134_217


@pytest.mark.parametrize("state", set(State) - {State.RETURNING, State.RETURNED})
def test_after_a_reboot_of_the_host_a_page_is_asked_for_again(state: State) -> None:
    """The host has forgotten every mark, and its guests are others."""
    docket = Docket(Caps(10), boot="second")
    before = a_case(state, boot="first", owner=DomId(7), use=PageUse.PV, rung=Rung.EXCHANGE)
    (case,) = docket.restore([before], now_ns=9)
    assert docket.cases == (case,)
    assert (case.owner, case.use, case.rung, case.boot) == (None, None, None, "second")
    assert case.state is State.OPEN


def test_a_page_on_its_way_back_has_arrived_after_a_reboot() -> None:
    docket = Docket(Caps(10), boot="second")
    (case,) = docket.restore([a_case(State.RETURNING, boot="first")], now_ns=9)
    assert (case.state, case.boot) == (State.RETURNED, "second")


@pytest.mark.parametrize("state", [State.SAVING, State.BACKING_OUT, State.RESTORING])
def test_after_a_reboot_a_guest_that_may_be_on_disk_is_restored_and_given_its_device(
    state: State,
) -> None:
    docket = Docket(Caps(10), boot="second")
    before = a_case(state, boot="first", image="c1--7", guest="db", detached=("nic",))
    (case,) = docket.restore([before], now_ns=9)
    assert (case.state, case.image, case.guest) == (State.RESTORING, "c1--7", "db")
    assert case.detached == ("nic",)


def test_in_the_same_boot_a_case_is_picked_up_where_it_was() -> None:
    docket = Docket(Caps(10), boot="first")
    case = a_case(State.EXCHANGING, boot="first", owner=DomId(7))
    assert docket.restore([case], now_ns=9) == ()
    assert docket.cases == (case,)


def capped(number: int) -> Case:
    known = a_case(State.UNRETIRABLE, reason=Reason.RETIRED_MEMORY_CAP)
    return replace(known, id=f"c{number}", mfn=Mfn(number))


def test_what_the_caps_refused_is_judged_anew_at_every_start() -> None:
    """And so is what was read first: all that is retired already counts."""
    docket = Docket(Caps(3), str(BOOT))
    kept = [capped(1), capped(2), a_case(State.RETIRED), a_case(mfn=Mfn(9))]
    assert [(c.mfn, c.state, c.reason) for c in docket.restore(kept, 9)] == [(1, State.OPEN, None)]
    assert docket.at(Mfn(2)).state is State.UNRETIRABLE


def test_in_the_same_boot_what_cannot_be_retired_is_not_asked_for_again() -> None:
    docket = Docket(Caps(3), str(BOOT))
    assert docket.restore([a_case(State.UNRETIRABLE, reason=Reason.XEN_HEAP)], 9) == ()


def test_past_the_cap_the_list_of_refused_pages_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(docket_module, "CAPPED_MAX", 3)
    docket = Docket(Caps(1))
    docket.open([verdict(mfn) for mfn in range(100)], 0)
    assert len(docket.cases) == 1 + 3
    assert docket.turned_away == 99


def test_two_requests_for_one_page_are_one_case() -> None:
    docket = Docket(Caps(10))
    ((before, case),) = docket.ask([verdict(1)], 0)
    assert (before, case.state) == (None, State.OPEN)
    assert docket.ask([verdict(1)], 1) == ()
    assert docket.open([verdict(1)], 2) == ()


@pytest.mark.parametrize("state", [State.PARKED, State.UNRETIRABLE])
def test_a_page_that_could_not_be_had_is_asked_for_again(state: State) -> None:
    docket = Docket(Caps(10))
    docket.put(a_case(state, mfn=Mfn(1)))
    ((before, after),) = docket.ask([verdict(1)], 1)
    assert before is not None
    assert (after.id, after.state) == (before.id, State.OPEN)


def test_an_operator_s_page_stops_at_the_cap_unless_it_may_go_beyond() -> None:
    docket = Docket(Caps(1))
    assert len(docket.ask([verdict(1), verdict(2)], 0)) == 1
    assert len(docket.ask([verdict(2)], 0, beyond_cap=True)) == 1


def test_what_went_beyond_the_cap_leaves_room_for_pages_that_go_bad() -> None:
    docket = Docket(Caps(1))
    docket.ask([verdict(1), verdict(2)], 0, beyond_cap=True)
    (bad,) = docket.open([verdict(3)], 0)
    assert bad.state is State.OPEN


def test_a_page_that_was_brought_back_and_goes_bad_again_gets_a_new_case() -> None:
    docket = Docket(Caps(10), next_number=8)
    docket.put(a_case(State.RETURNED, mfn=Mfn(1)))
    (case,) = docket.open([verdict(1)], 0)
    assert (case.id, docket.at(Mfn(1))) == ("c8", case)


def test_a_page_is_recalled_until_it_is_back() -> None:
    docket = Docket(Caps(10))
    docket.put(a_case(State.RETIRED))
    assert docket.recall(a_case().mfn) is not None
    docket.put(a_case(State.RETURNING))
    assert docket.is_recalled(a_case().mfn)
    docket.put(a_case(State.RETURNED))
    assert not docket.is_recalled(a_case().mfn)


def test_a_page_that_nobody_took_cannot_be_recalled() -> None:
    assert Docket(Caps(10)).recall(Mfn(1)) is None


# One rank of a DIMM


def on_rank(mfn: int, dimm: str | None, rank: int | None = 0) -> Verdict:
    return Verdict(Mfn(mfn), 5, "2 errors in 24 h", dimm, rank)


def test_past_the_cap_of_a_rank_its_dimm_is_to_be_replaced() -> None:
    docket = Docket(Caps(10, pages_per_rank_max=1))
    first, second = docket.open([on_rank(1, "A"), on_rank(2, "A")], 0)
    assert first.state is State.OPEN
    assert (second.state, second.reason) == (State.UNRETIRABLE, Reason.REPLACE_DIMM)
    assert docket.worn_ranks == (Rank("A", 0),)


@pytest.mark.parametrize("other", [("B", 0), ("A", 1), ("A", None)])
def test_another_rank_has_a_cap_of_its_own(other: tuple[str, int | None]) -> None:
    """Pages whose rank nobody knows count as those of one rank more."""
    docket = Docket(Caps(10, pages_per_rank_max=1))
    cases = docket.open([on_rank(1, "A"), on_rank(2, *other)], 0)
    assert {case.state for case in cases} == {State.OPEN}


def test_without_a_rank_a_dimm_counts_as_one() -> None:
    docket = Docket(Caps(10, pages_per_rank_max=1))
    cases = docket.open([on_rank(1, "A", None), on_rank(2, "A", None)], 0)
    assert [case.reason for case in cases] == [None, Reason.REPLACE_DIMM]
    assert [str(rank) for rank in docket.worn_ranks] == ["A"]


def test_pages_of_no_known_dimm_wear_none_out() -> None:
    docket = Docket(Caps(10, pages_per_rank_max=1))
    cases = docket.open([on_rank(1, None), on_rank(2, None)], 0)
    assert {case.state for case in cases} == {State.OPEN}
    assert docket.worn_ranks == ()


def test_a_page_that_comes_back_counts_against_its_rank_no_more() -> None:
    docket = Docket(Caps(10, pages_per_rank_max=1))
    (case,) = docket.open([on_rank(1, "A")], 0)
    docket.put(replace(case, state=State.RETURNED))
    assert docket.worn_ranks == ()


def test_after_a_reboot_a_page_is_of_the_same_rank_still() -> None:
    docket = Docket(Caps(10, pages_per_rank_max=1), boot="second")
    docket.restore([a_case(State.RETIRED, boot="first", dimm="A", rank=1)], now_ns=9)
    assert docket.worn_ranks == (Rank("A", 1),)


def test_at_a_start_an_old_verdict_takes_nothing_again_that_was_given_back() -> None:
    docket = Docket(Caps(10))
    docket.put(a_case(State.RETURNED, mfn=Mfn(1)))
    (missed,) = docket.open_missed([verdict(1), verdict(2)], 9)
    assert missed.mfn == 2


# Marked by others


def found(mfn: int = 1) -> Verdict:
    return Verdict(Mfn(mfn), 5, "found marked", "A")


def test_a_page_that_others_have_marked_gets_a_case_that_is_only_watched() -> None:
    docket = Docket(Caps(10))
    (case,) = docket.adopt([found()], 0)
    assert (case.state, case.origin, case.reason) == (
        State.FOUND,
        Origin.FOUND,
        Reason.FOUND_MARKED,
    )
    assert docket.unfinished == ()


def test_a_page_that_has_a_case_is_not_adopted() -> None:
    docket = Docket(Caps(10))
    docket.open([verdict(1)], 0)
    assert docket.adopt([found(1)], 1) == ()


def test_what_others_have_taken_is_adopted_past_the_cap_and_counts_against_it() -> None:
    docket = Docket(Caps(2))
    assert len(docket.adopt([found(1), found(2), found(3)], 0)) == 3
    (refused,) = docket.open([verdict(4)], 1)
    assert refused.reason is Reason.RETIRED_MEMORY_CAP


def test_errors_on_a_page_that_others_have_marked_make_its_case_ours() -> None:
    docket = Docket(Caps(10))
    (before,) = docket.adopt([found()], 0)
    wanted = Verdict(Mfn(1), 6, "2 errors in 24 h", "A", 1)
    ((was, now),) = docket.claim([wanted], 1)
    assert was is before
    assert (now.id, now.state, now.origin) == (before.id, State.OPEN, Origin.VERDICT)
    assert (now.verdict, now.rank) == ("2 errors in 24 h", 1)
    assert docket.claim([wanted], 2) == ()


def test_an_operator_s_request_makes_it_ours_though_it_is_out_of_use_already() -> None:
    docket = Docket(Caps(1))
    docket.put(a_case(State.RETIRED, origin=Origin.FOUND))
    ((_, now),) = docket.ask([Verdict(a_case().mfn, 6, "asked for")], 1)
    assert (now.state, now.origin) == (State.RETIRED, Origin.OPERATOR)


@pytest.mark.parametrize("state", [State.FOUND, State.RETIRED])
def test_what_only_others_wanted_is_not_asked_for_after_a_reboot(state: State) -> None:
    docket = Docket(Caps(10), boot="second")
    (case,) = docket.restore([a_case(state, boot="first", origin=Origin.FOUND)], now_ns=9)
    assert (case.state, case.reason) == (State.RETURNED, Reason.HOST_REBOOTED)
    assert len(docket.adopt([Verdict(case.mfn, 9, "found marked")], 10)) == 1


@pytest.mark.parametrize("origin", [Origin.VERDICT, Origin.OPERATOR])
def test_what_was_wanted_here_is_asked_for_after_a_reboot(origin: Origin) -> None:
    docket = Docket(Caps(10), boot="second")
    (case,) = docket.restore([a_case(State.RETIRED, boot="first", origin=origin)], now_ns=9)
    assert (case.state, case.origin) == (State.OPEN, origin)


# Another DIMM


def after_reboot(case: Case, module: str) -> Case:
    """`case`, of a page on slot A, on the docket of the next boot."""
    docket = Docket(Caps(10), "second", {"A": module} if module else {})
    docket.restore([replace(case, boot="first", dimm="A")], now_ns=9)
    return docket.at(case.mfn)


@pytest.mark.parametrize("state", [State.RETIRED, State.PARKED, State.UNRETIRABLE, State.OPEN])
def test_what_is_known_of_a_page_goes_with_its_dimm(state: State) -> None:
    case = after_reboot(a_case(state, module="old"), "new")
    assert (case.state, case.reason) == (State.RETURNED, Reason.DIMM_REPLACED)


@pytest.mark.parametrize(("was", "is_now"), [("old", "old"), ("old", ""), ("", "new")])
def test_a_dimm_that_may_be_the_same_keeps_its_retired_pages(was: str, is_now: str) -> None:
    assert after_reboot(a_case(State.RETIRED, module=was), is_now).state is State.OPEN


def test_a_dimm_that_was_not_known_is_known_from_the_next_boot_on() -> None:
    assert after_reboot(a_case(State.RETIRED), "new").module == "new"


def test_a_guest_on_disk_is_restored_before_its_case_may_go() -> None:
    case = after_reboot(a_case(State.RESTORING, module="old", image="c1--7", guest="db"), "new")
    assert (case.state, case.image) == (State.RESTORING, "c1--7")


@pytest.mark.parametrize("boot", ["first", "second"])
def test_a_page_of_a_replaced_dimm_goes_back_as_soon_as_its_guest_is_restored(boot: str) -> None:
    docket = Docket(Caps(10), "second", {"A": "new"})
    saved = a_case(State.RESTORING, module="old", image="c1--7", guest="db", dimm="A", boot=boot)
    docket.restore([saved], now_ns=9)
    assert docket.is_recalled(saved.mfn)


def test_a_page_of_the_same_dimm_is_asked_for_when_its_guest_is_restored() -> None:
    docket = Docket(Caps(10), "second", {"A": "old"})
    saved = a_case(State.RESTORING, module="old", image="c1--7", guest="db", dimm="A", boot="first")
    docket.restore([saved], now_ns=9)
    assert not docket.is_recalled(saved.mfn)


def test_a_new_case_knows_its_dimm() -> None:
    docket = Docket(Caps(10), modules={"A": "P/1"})
    (case,) = docket.open([on_rank(1, "A")], 0)
    assert case.module == "P/1"


def test_a_page_of_a_replaced_dimm_that_goes_bad_gets_a_case_of_its_own() -> None:
    docket = Docket(Caps(10), "second", {"A": "new"})
    docket.restore([a_case(State.RETIRED, boot="first", dimm="A", module="old")], now_ns=9)
    (case,) = docket.open([on_rank(0x1234, "A")], 10)
    assert (case.state, case.module) == (State.OPEN, "new")


# Pauses


def test_when_a_guest_was_stopped_is_known_from_its_cases_and_so_survives() -> None:
    docket = Docket(Caps(10))
    first = a_case(State.RETIRED, guest="db", paused_at_ns=(5, 6))
    docket.restore([first, a_case(State.RETIRED, mfn=Mfn(2), guest="db", paused_at_ns=(6,))], 9)
    assert docket.paused_at_ns("db") == {5, 6}
    assert docket.paused_at_ns("web") == frozenset()
