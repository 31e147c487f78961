"""The case machine, row by row, and what holds for the whole table."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contract.frames import DomId
from agent.contract.hypercall import PageReply, PageStatus, PageUse, Refusal
from agent.contract.toolstack import ToolOutcome, ToolReply
from agent.retirement import answers
from agent.retirement.case import (
    ATTEMPTS_MAX,
    ROUNDS_MAX,
    TRANSITIONS,
    Case,
    State,
    advance,
    retry_delay_seconds,
)
from agent.retirement.ladder import Rung
from agent.retirement.outcome import (
    BackOnline,
    Damaged,
    Done,
    Failed,
    Gone,
    Held,
    NoAnswer,
    NotNow,
    Offlined,
    Outcome,
    Refused,
    TryAgain,
)
from tests.support.cases import a_case

PV = Held(PageUse.PV, DomId(7))
HVM = Held(PageUse.HVM, DomId(7))
TOOL_STATES = [state for state in State if state.stops_guest]
RESUMING_STATES = [State.RESUMING, State.BACKING_OUT, State.RELEASING]


def after(state: State, outcome: Outcome, **changes: object) -> Case:
    return advance(a_case(state, **changes), outcome, 2)


def test_a_free_page_is_read_back_before_it_counts_as_retired() -> None:
    confirming = after(State.OPEN, Offlined())
    assert confirming.state is State.CONFIRMING
    assert advance(confirming, Offlined(), 3).state is State.RETIRED


def test_a_page_of_an_hvm_guest_is_swapped_first() -> None:
    assert after(State.OPEN, HVM).state is State.SWAPPING


def test_a_page_of_a_pv_guest_is_exchanged_first() -> None:
    assert after(State.OPEN, PV).state is State.SUSPENDING


def test_the_owner_that_the_hypervisor_names_is_the_one_that_is_asked() -> None:
    assert after(State.OPEN, PV).owner == DomId(7)


def test_a_failed_exchange_gives_the_guest_back_and_then_saves_it() -> None:
    backing_out = after(State.EXCHANGING, Failed("no"), rungs=(Rung.SAVE_RESTORE,))
    assert backing_out.state is State.BACKING_OUT
    assert advance(backing_out, Done(), 3).state is State.SAVING


def test_after_the_last_rung_the_page_is_parked_with_a_reason() -> None:
    parked = after(State.BACKING_OUT, Done(), rungs=(), rung=Rung.SAVE_RESTORE)
    assert parked.state is State.PARKED
    assert parked.reason


def test_a_guest_that_may_be_damaged_is_resumed_and_left_alone() -> None:
    releasing = after(State.EXCHANGING, Damaged("half-way"), rungs=(Rung.SAVE_RESTORE,))
    assert releasing.state is State.RELEASING
    assert advance(releasing, Done(), 3).state is State.PARKED


def test_a_dom0_page_is_parked_and_says_that_the_host_needs_maintenance() -> None:
    assert after(State.OPEN, NotNow("maintenance")).state is State.PARKED


def test_a_xen_heap_page_is_unretirable() -> None:
    assert after(State.OPEN, Refused(Refusal.XEN_HEAP)).state is State.UNRETIRABLE


def test_a_parked_page_that_was_freed_is_read_back() -> None:
    assert after(State.PARKED, Offlined()).state is State.CONFIRMING


def test_a_page_that_somebody_brought_back_is_asked_for_again() -> None:
    assert after(State.CONFIRMING, BackOnline()).state is State.OPEN


def test_a_forbidden_rung_is_not_climbed() -> None:
    held = advance(a_case(), PV, 2, (Rung.SAVE_RESTORE,))
    assert held.state is State.SAVING


@pytest.mark.parametrize("state", State)
def test_no_answer_leaves_every_state_as_it_is(state: State) -> None:
    """What was done is not known, so the same command is given again."""
    assert after(state, NoAnswer("silence")).state is state


@pytest.mark.parametrize("state", [State.OPEN, State.SWAPPING, State.SUSPENDING, State.SAVING])
def test_try_again_is_not_tried_for_ever(state: State) -> None:
    tired = after(state, TryAgain("busy"), attempts=ATTEMPTS_MAX, owner=DomId(7))
    assert tired.state is not state


@pytest.mark.parametrize("state", [*RESUMING_STATES, State.RESTORING])
@pytest.mark.parametrize(
    "trouble", [Failed("no"), TryAgain("busy"), Damaged("half-way"), Refused("no")]
)
def test_bringing_a_guest_back_is_never_given_up(state: State, trouble: Outcome) -> None:
    stubborn = after(state, trouble, attempts=10 * ATTEMPTS_MAX)
    assert stubborn.state is state


@pytest.mark.parametrize("state", TOOL_STATES)
@pytest.mark.parametrize("word", ToolOutcome)
def test_every_answer_of_the_toolstack_has_a_row(state: State, word: ToolOutcome) -> None:
    outcome = answers.to_command(ToolReply(outcome=word, reason="because"))
    assert after(state, outcome).state in State


@pytest.mark.parametrize("status", PageStatus)
@pytest.mark.parametrize("refusal", [None, *Refusal])
@pytest.mark.parametrize(
    ("state", "read"),
    [
        (State.OPEN, answers.to_offline),
        (State.PARKED, answers.to_offline),
        (State.SWAPPING, answers.to_swap),
        (State.CONFIRMING, answers.to_query),
    ],
)
def test_every_answer_of_the_hypervisor_has_a_row(
    state: State, read: object, status: PageStatus, refusal: Refusal | None
) -> None:
    reply = PageReply(mfn=0x1234, status=status, use=PageUse.PV, owner=7, refusal=refusal)
    assert after(state, read(reply)).state in State  # type: ignore[operator] # a function of the table above


def test_every_state_but_the_final_ones_has_a_way_on() -> None:
    for state in State:
        assert bool(TRANSITIONS[state]) is not state.is_final


def allowed_ways_out(state: State) -> set[type[Outcome]]:
    if state is State.SAVING:
        return set()  # an image may be there, so even "gone" leads to a restore
    return {Done, Gone} if state in {*RESUMING_STATES, State.RESTORING} else {Gone}


def test_there_is_no_way_out_of_a_stop_but_through_a_resume_or_a_restore() -> None:
    """A stopped guest is left only when the command that starts it again is done, or it is gone."""
    for state in TOOL_STATES:
        ways = {
            o
            for o, t in TRANSITIONS[state].items()
            if not isinstance(t, State) or not t.stops_guest
        }
        assert ways <= allowed_ways_out(state)


@given(attempts=st.integers(1, 10_000), name=st.text(min_size=1, max_size=8))
def test_waiting_doubles_and_is_bounded(attempts: int, name: str) -> None:
    case = replace(a_case(), id=name, attempts=attempts)
    delay = retry_delay_seconds(case, 0.5, 300.0)
    assert min(300.0, 0.5 * 2 ** min(attempts - 1, 32)) <= delay <= 300.0


def test_the_first_attempt_does_not_wait() -> None:
    assert retry_delay_seconds(a_case(), 0.5, 300.0) == 0.0


def test_a_page_that_keeps_coming_back_online_is_asked_for_ever_more_slowly_and_then_parked() -> (
    None
):
    case, delays = a_case(), list[float]()
    while case.state is not State.PARKED:
        case = advance(advance(case, Offlined(), 2), BackOnline(), 3)
        delays.append(retry_delay_seconds(case, 0.5, 300.0))
    assert len(delays) == ROUNDS_MAX + 1
    assert all(later > earlier > 0 for earlier, later in pairwise(delays[:-1]))


def test_a_parked_page_that_got_another_owner_is_helped_by_its_rungs() -> None:
    parked = after(State.OPEN, NotNow("dom0 holds it"))
    assert advance(parked, HVM, 3).state is State.SWAPPING


def test_a_parked_page_whose_rungs_were_tried_stays_parked() -> None:
    parked = after(State.PARKED, PV, use=PageUse.PV, rung=Rung.SAVE_RESTORE, rungs=())
    assert parked.state is State.PARKED
