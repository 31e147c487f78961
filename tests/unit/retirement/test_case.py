"""The case machine, row by row, and what holds for the whole table."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contract.frames import DomId
from agent.contract.hypercall import PageReply, PageStatus, PageUse, Refusal
from agent.contract.toolstack import ToolOutcome, ToolReply
from agent.retirement import answers
from agent.retirement.advance import advance
from agent.retirement.caps import HOUR_NS
from agent.retirement.case import Case
from agent.retirement.ladder import Rung, Terms
from agent.retirement.outcome import (
    Asked,
    BackOnline,
    CameLate,
    Damaged,
    Done,
    Failed,
    Gone,
    Guest,
    Held,
    Kept,
    NoAnswer,
    NotNow,
    Offlined,
    Outcome,
    Overtaken,
    Postponed,
    Recalled,
    Refused,
    Returned,
    Seen,
    Spared,
    TryAgain,
)
from agent.retirement.patience import ABSENCES_MAX, ATTEMPTS_MAX, ROUNDS_MAX, retry_delay_seconds
from agent.retirement.reason import Reason
from agent.retirement.states import PAUSING, WATCHED, State
from agent.retirement.table import TRANSITIONS, Choice
from tests.support.cases import a_case

PV = Held(PageUse.PV, DomId(7))
HVM = Held(PageUse.HVM, DomId(7))
MAPPED = Held(PageUse.PV, DomId(7), (DomId(9),))
WITH_DEVICE = Held(PageUse.PV, DomId(7), guest=Guest("db", devices=("nic",)))
STOPPED = [state for state in State if state.stops_guest]
BRINGING_BACK = [State.RESUMING, State.BACKING_OUT, State.RESTORING, State.ATTACHING]
COMMANDS = [state for state in State if state.commands_guest]


def after(state: State, outcome: Outcome, **changes: object) -> Case:
    return advance(a_case(state, **changes), outcome, 2)


def then(case: Case, *outcomes: Outcome) -> Case:
    for outcome in outcomes:
        case = advance(case, outcome, 3)
    return case


# Rows


def test_a_free_page_is_read_back_before_it_counts_as_retired() -> None:
    confirming = after(State.OPEN, Offlined())
    assert confirming.state is State.CONFIRMING
    assert then(confirming, Offlined()).state is State.RETIRED


@pytest.mark.parametrize(
    ("held", "state"),
    [
        (HVM, State.SWAPPING),
        (PV, State.SUSPENDING),
        (MAPPED, State.WAITING),
        (replace(PV, use=PageUse.SHADOW), State.DROPPING_SHADOWS),
        (replace(PV, use=PageUse.HVM_STATE), State.SAVING),
        (WITH_DEVICE, State.DETACHING),
        (replace(PV, use=PageUse.DOM0), State.PARKED),
    ],
)
def test_how_a_page_is_held_decides_what_comes_first(held: Held, state: State) -> None:
    assert after(State.OPEN, held).state is state


def test_the_owner_that_the_hypervisor_names_is_the_one_that_is_asked() -> None:
    assert after(State.OPEN, PV).owner == DomId(7)


def test_a_failed_exchange_gives_the_guest_back_and_then_saves_it() -> None:
    backing_out = after(State.EXCHANGING, Failed(), rungs=(Rung.SAVE_RESTORE,))
    assert backing_out.state is State.BACKING_OUT
    assert then(backing_out, Done()).state is State.SAVING


def test_after_the_last_rung_the_page_is_parked_with_a_reason() -> None:
    parked = after(State.BACKING_OUT, Done(), rungs=(), rung=Rung.SAVE_RESTORE)
    assert (parked.state, parked.reason) == (State.PARKED, Reason.RUNGS_TRIED)


@pytest.mark.parametrize("later", [PV, MAPPED, WITH_DEVICE, HVM])
def test_nothing_more_is_tried_on_a_guest_that_may_be_damaged(later: Held) -> None:
    """Whatever is said of the page later, for as long as that guest holds it."""
    damaged = then(a_case(), PV, Done(), Damaged("half-way"), Done())
    assert (damaged.state, damaged.reason) == (State.PARKED, Reason.MAY_BE_DAMAGED)
    assert then(damaged, later).state is State.PARKED


def test_a_page_that_left_a_damaged_guest_is_helped_again() -> None:
    damaged = then(a_case(), PV, Done(), Damaged("half-way"), Done())
    assert then(damaged, replace(PV, owner=DomId(8))).state is State.SUSPENDING


def test_a_dom0_page_is_parked_and_says_that_the_host_needs_maintenance() -> None:
    parked = after(State.OPEN, NotNow(Reason.DOM0))
    assert parked.state is State.PARKED
    assert "maintenance" in parked.why


def test_a_xen_heap_page_is_unretirable() -> None:
    assert after(State.OPEN, Refused(Reason.XEN_HEAP)).state is State.UNRETIRABLE


def test_a_parked_page_that_was_freed_is_read_back() -> None:
    assert after(State.PARKED, Offlined()).state is State.CONFIRMING


def test_a_page_that_somebody_brought_back_is_asked_for_again() -> None:
    assert after(State.CONFIRMING, BackOnline()).state is State.OPEN


def test_a_forbidden_rung_is_not_climbed() -> None:
    held = advance(a_case(), PV, 2, Terms((Rung.SAVE_RESTORE,)))
    assert held.state is State.SAVING


def test_a_page_that_others_let_go_of_gets_the_rungs_of_its_use() -> None:
    waiting = then(a_case(), MAPPED, TryAgain(Reason.MAPPED_ELSEWHERE))
    assert waiting.state is State.WAITING
    assert then(waiting, PV).state is State.SUSPENDING


def test_waiting_for_those_who_map_a_page_ends() -> None:
    waiting = after(State.OPEN, MAPPED)
    patient = then(waiting, *[TryAgain(Reason.MAPPED_ELSEWHERE)] * (ATTEMPTS_MAX + 1))
    assert patient.state is State.SAVING


def test_a_page_whose_guest_left_for_another_s_sake_is_looked_at_again() -> None:
    for state in (State.WAITING, State.SWAPPING, State.SUSPENDING, State.SAVING, State.PARKED):
        assert after(state, Overtaken()).state is State.CONFIRMING


def test_a_parked_page_that_got_another_owner_is_helped_by_its_rungs() -> None:
    parked = after(State.OPEN, NotNow(Reason.DOM0))
    assert then(parked, HVM).state is State.SWAPPING


def test_a_parked_page_whose_rungs_were_tried_stays_parked() -> None:
    parked = then(a_case(), PV, Failed(), Done(), Failed(), Done())
    assert (parked.state, parked.tried) == (State.PARKED, (Rung.EXCHANGE, Rung.SAVE_RESTORE))
    assert then(parked, PV).state is State.PARKED


def test_a_rung_that_becomes_possible_is_climbed_by_a_parked_page() -> None:
    terms = Terms((Rung.MIGRATE,), "hv-2")
    parked = advance(a_case(), PV, 2, terms)
    roomy = replace(PV, guest=Guest(may_leave=True))
    assert advance(parked, roomy, 3, terms).state is State.MIGRATING


def test_a_rung_that_was_not_begun_is_due_still() -> None:
    parked = then(a_case(), PV, NotNow(Reason.STOPPED_BY_OTHERS))
    assert parked.state is State.PARKED
    assert then(parked, PV).state is State.SUSPENDING


# A device


def test_the_device_is_detached_before_the_rung_and_attached_after_it() -> None:
    states = [case.state for case in the_way(WITH_DEVICE, Done(), Done(), Done(), Done(), Done())]
    assert states == [
        *[State.DETACHING, State.SUSPENDING, State.EXCHANGING],
        *[State.RESUMING, State.ATTACHING, State.CONFIRMING],
    ]


def the_way(*outcomes: Outcome) -> list[Case]:
    """A case after each of these, from its beginning."""
    cases = [a_case()]
    for outcome in outcomes:
        cases.append(advance(cases[-1], outcome, 2))
    return cases[1:]


def test_once_it_is_attached_nothing_is_detached_any_more() -> None:
    *_, attaching, confirming = the_way(WITH_DEVICE, Done(), Done(), Done(), Done(), Done())
    assert (attaching.detached, confirming.detached) == (("nic",), ())


@pytest.mark.parametrize("no", [Refused(Reason.DETACH_REFUSED), Failed(Reason.DETACH_UNANSWERED)])
def test_a_guest_that_keeps_its_device_is_parked_by_way_of_attach(no: Refused | Failed) -> None:
    """It may have let go of another one, or of this one without a word."""
    attaching = then(a_case(), WITH_DEVICE, no)
    assert attaching.state is State.ATTACHING
    parked = then(attaching, NoAnswer("silence"), Done(), WITH_DEVICE)
    assert (parked.state, parked.reason) == (State.PARKED, no.reason)


def test_when_the_device_is_gone_for_good_the_page_is_helped_after_all() -> None:
    parked = then(a_case(), WITH_DEVICE, Refused(Reason.DETACH_REFUSED), Done(), WITH_DEVICE)
    assert then(parked, PV).state is State.SUSPENDING


def test_a_detach_that_is_never_answered_is_given_up() -> None:
    detaching = replace(then(a_case(), WITH_DEVICE), begun=True)
    silent = then(detaching, *[NoAnswer("silence")] * (ATTEMPTS_MAX + 1))
    assert (silent.state, silent.hands_off) == (State.ATTACHING, Reason.DETACH_UNANSWERED)


@given(
    st.lists(
        st.sampled_from([Done(), Failed(), Refused(), TryAgain(), Damaged(), Gone(), NoAnswer()]),
        max_size=60,
    )
)
def test_whatever_happens_a_detached_device_leads_to_attaching(outcomes: list[Outcome]) -> None:
    case = then(a_case(), WITH_DEVICE)
    for outcome in outcomes:
        if case.state in COMMANDS and type(outcome) in {*TRANSITIONS[case.state], NoAnswer}:
            before, case = case, advance(case, outcome, 3)
            left = bool(before.detached) and not case.detached
            assert not left or before.state is State.ATTACHING
        assert not (case.detached and case.state.is_at_rest)


def test_a_guest_that_is_in_no_domain_keeps_its_device_s_place_while_it_may_be_rebooting() -> None:
    attaching = after(State.ATTACHING, Gone(), detached=("nic",))
    assert (attaching.state, attaching.detached) == (State.ATTACHING, ("nic",))
    ended = then(attaching, *[Gone()] * ABSENCES_MAX)
    assert (ended.state, ended.detached) == (State.CONFIRMING, ())


# What an operator wants


@pytest.mark.parametrize("state", [State.OPEN, State.CONFIRMING, State.PARKED, State.RETIRED])
def test_a_recalled_page_is_brought_back_into_use(state: State) -> None:
    returning = after(state, Recalled())
    assert returning.state is State.RETURNING
    assert then(returning, Returned()).state is State.RETURNED


def test_a_broken_page_stays_retired_and_says_why() -> None:
    kept = then(after(State.RETIRED, Recalled()), Kept(Reason.BROKEN))
    assert (kept.state, kept.reason) == (State.RETIRED, Reason.BROKEN)


def test_a_page_that_is_not_brought_back_is_looked_at() -> None:
    tried = then(after(State.RETIRED, Recalled()), *[TryAgain()] * (ATTEMPTS_MAX + 1))
    assert tried.state is State.CONFIRMING


def test_a_guest_in_our_hands_is_let_go_of_before_its_page_is_recalled() -> None:
    for state in State:
        in_hand = a_case(state, begun=state.begins)
        begun = state.stops_guest or state.begins or state is State.ATTACHING
        over = state in {State.RETURNING, State.RETURNED}
        assert in_hand.may_be_recalled is not (begun or over)


def test_a_guest_whose_device_is_detached_gets_it_back_before_the_page() -> None:
    suspending = then(a_case(), WITH_DEVICE, Done())
    assert then(suspending, Recalled()).state is State.ATTACHING


def test_a_device_that_was_not_asked_for_is_not_attached() -> None:
    recalled = then(a_case(), WITH_DEVICE, Recalled())
    assert (recalled.state, recalled.detached) == (State.RETURNING, ())


@pytest.mark.parametrize("state", [State.PARKED, State.UNRETIRABLE])
def test_a_page_that_is_asked_for_again_gets_all_its_rungs_again(state: State) -> None:
    asked = after(state, Asked(), tried=(Rung.EXCHANGE,), reason=Reason.RUNGS_TRIED)
    assert (asked.state, asked.reason) == (State.OPEN, None)
    assert then(asked, PV).state is State.SUSPENDING


def test_asking_again_never_touches_a_guest_that_may_be_damaged() -> None:
    damaged = then(a_case(), PV, Done(), Damaged("half-way"), Done())
    assert then(damaged, Asked(), PV).state is State.PARKED


# The whole table


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("outcome", [NoAnswer("silence"), Spared()])
def test_no_answer_and_no_blame_leave_every_state_as_it_is(state: State, outcome: Outcome) -> None:
    """What was done is not known, or was nothing, so the same command is given again."""
    assert after(state, outcome).state is state


def test_others_who_map_a_page_have_their_time_whatever_restarts_in_between() -> None:
    """It is counted from the commit that began the wait: an agent that has just started has made no
    attempt yet.
    """
    waiting, terms = a_case(State.WAITING, moved_at_ns=0), Terms(mapped_seconds=60.0)
    mapped = TryAgain(Reason.MAPPED_ELSEWHERE)
    assert advance(waiting, mapped, 59 * 10**9, terms).state is State.WAITING
    assert advance(waiting, mapped, 61 * 10**9, terms).state is not State.WAITING


@pytest.mark.parametrize(
    "state",
    [s for s, row in TRANSITIONS.items() if row.get(TryAgain) is s if s not in WATCHED],
)
def test_try_again_is_not_tried_for_ever(state: State) -> None:
    tired = after(state, TryAgain(), attempts=ATTEMPTS_MAX, owner=DomId(7))
    assert (tired.state is state) is (state in BRINGING_BACK)


@pytest.mark.parametrize("state", BRINGING_BACK)
@pytest.mark.parametrize("trouble", [Failed(), TryAgain(), Damaged(), Refused()])
def test_bringing_a_guest_back_is_never_given_up(state: State, trouble: Outcome) -> None:
    assert after(state, trouble, attempts=10 * ATTEMPTS_MAX, detached=("nic",)).state is state


@pytest.mark.parametrize("state", COMMANDS)
@pytest.mark.parametrize("word", ToolOutcome)
def test_every_answer_of_the_toolstack_has_a_row(state: State, word: ToolOutcome) -> None:
    outcome = answers.to_command(ToolReply(outcome=word, reason="because"))
    assert after(state, outcome).state in State


Reader = Callable[[PageReply], Outcome]


@pytest.mark.parametrize("status", PageStatus)
@pytest.mark.parametrize("refusal", [None, *Refusal])
@pytest.mark.parametrize(
    ("state", "read"),
    [
        (State.OPEN, answers.to_offline),
        (State.PARKED, answers.to_offline),
        (State.OPEN, answers.to_broken),
        (State.PARKED, answers.to_broken),
        (State.WAITING, answers.to_wait),
        (State.WAITING, answers.to_broken),
        (State.SWAPPING, answers.to_swap),
        (State.CONFIRMING, answers.to_query),
        (State.CONFIRMING, answers.to_broken),
    ],
)
def test_every_answer_of_the_hypervisor_has_a_row(
    state: State, read: Reader, status: PageStatus, refusal: Refusal | None
) -> None:
    reply = PageReply(mfn=0x1234, status=status, use=PageUse.PV, owner=7, refusal=refusal)
    assert after(state, read(reply)).state in State


def test_only_an_operator_or_what_others_did_to_its_page_takes_a_case_out_of_a_final_state() -> (
    None
):
    """Or out of where it is only looked at."""
    for state in State:
        of_others = {CameLate, BackOnline, Returned}
        is_operators = set(TRANSITIONS[state]) <= {Asked, Recalled, *of_others}
        assert is_operators is (state.is_final or state is State.OBSERVED)


def test_what_comes_to_nothing_for_another_s_sake_has_a_row_wherever_nothing_was_begun() -> None:
    """A case in line for its guest may be overtaken, and its guest may be stopped by others."""
    for state in State:
        if state.begins:
            assert {Overtaken, NotNow, Recalled, Seen} <= set(TRANSITIONS[state])


def test_what_stops_a_guest_or_asks_for_its_device_may_be_postponed() -> None:
    may_be = {state for state in State if Postponed in TRANSITIONS[state]}
    assert may_be == PAUSING | {State.DETACHING}


def test_there_is_no_way_out_of_a_stop_but_through_a_resume_or_a_restore() -> None:
    """A stopped guest is left only when the command that starts it again is done, or it is gone."""
    for state in STOPPED:
        row = TRANSITIONS[state]
        ways = {o for o, to in row.items() if isinstance(to, Choice) or not to.stops_guest}
        assert ways <= allowed_ways_out(state)


def allowed_ways_out(state: State) -> set[type[Outcome]]:
    """What comes of no command leads out where none was given yet."""
    without_command: set[type[Outcome]] = {Overtaken, NotNow, Postponed, Seen, Recalled}
    if state is State.SAVING:
        return without_command  # an image may be there: "gone" leads to a restore
    if state is State.SUSPENDING:
        return {Gone, *without_command}
    return {Gone} if state is State.EXCHANGING else {Done, Gone}


# Caps

LATER = Postponed(Reason.OUTSIDE_WINDOWS)


def test_a_postponed_stop_is_due_again_when_its_page_is_read_back() -> None:
    postponed = then(a_case(), PV, LATER)
    assert (postponed.state, postponed.reason) == (State.POSTPONED, Reason.OUTSIDE_WINDOWS)
    assert then(postponed, PV).state is State.SUSPENDING


def test_why_a_stop_was_postponed_is_no_reason_for_what_comes_of_it() -> None:
    tried = then(a_case(), PV, LATER, PV, Failed(), Done(), Failed(), Done())
    assert (tried.state, tried.reason) == (State.PARKED, Reason.FAILED)
    assert then(a_case(), PV, LATER, PV).reason is None


def test_a_detaching_that_is_postponed_has_detached_nothing() -> None:
    postponed = then(a_case(), WITH_DEVICE, LATER)
    assert (postponed.state, postponed.detached) == (State.POSTPONED, ())


def test_a_rung_that_is_postponed_while_a_device_is_detached_gives_it_back_first() -> None:
    detached = then(a_case(), WITH_DEVICE, Done())
    assert then(detached, LATER).state is State.ATTACHING
    assert then(detached, LATER, Done(), WITH_DEVICE).state is State.DETACHING


@pytest.mark.parametrize("state", PAUSING)
@pytest.mark.parametrize("outcome", [Done(), Failed(), Damaged()])
def test_a_command_that_may_have_stopped_the_guest_is_a_pause(
    state: State, outcome: Outcome
) -> None:
    assert after(state, outcome).paused_at_ns == (2,)


@pytest.mark.parametrize("outcome", [TryAgain(), NoAnswer(), NotNow(Reason.AGENT_STOPPING), LATER])
def test_what_stopped_nobody_is_no_pause(outcome: Outcome) -> None:
    assert after(State.SUSPENDING, outcome).paused_at_ns == ()


def test_pauses_of_more_than_an_hour_ago_are_forgotten() -> None:
    case = a_case(State.SUSPENDING, paused_at_ns=(0, HOUR_NS))
    assert advance(case, Done(), HOUR_NS + 1).paused_at_ns == (HOUR_NS, HOUR_NS + 1)


# Only looking


@pytest.mark.parametrize(
    ("held", "told"),
    [
        (HVM, "hvm: swap first"),
        (PV, "pv: exchange first"),
        (Held(PageUse.FREE, None), "free: at once"),
        (Held(PageUse.DOM0, DomId(0)), "dom0: nothing but to ask for it"),
    ],
)
def test_a_page_that_is_only_looked_at_says_what_would_be_done(held: Held, told: str) -> None:
    seen = after(State.OPEN, Seen(held))
    assert (seen.state, seen.reason, seen.detail) == (State.OBSERVED, Reason.OBSERVING, told)
    assert then(seen, Asked()).state is State.OPEN


# Waiting


@given(attempts=st.integers(1, 10_000), name=st.text(min_size=1, max_size=8))
def test_waiting_doubles_and_is_bounded(attempts: int, name: str) -> None:
    case = replace(a_case(), id=name, attempts=attempts)
    delay = retry_delay_seconds(case, 0.5, 300.0)
    assert min(300.0, 0.5 * 2 ** min(attempts - 1, 32)) <= delay <= 300.0


def test_the_first_attempt_does_not_wait() -> None:
    assert retry_delay_seconds(a_case(), 0.5, 300.0) == 0.0


def test_a_page_that_keeps_coming_back_is_asked_for_ever_more_slowly_and_then_parked() -> None:
    case, delays = a_case(), list[float]()
    while case.state is not State.PARKED:
        case = then(case, Offlined(), BackOnline())
        delays.append(retry_delay_seconds(case, 0.5, 300.0))
    assert len(delays) == ROUNDS_MAX + 1
    assert case.reason is Reason.COMES_BACK
    assert all(later > earlier > 0 for earlier, later in pairwise(delays[:-1]))


def test_a_page_that_is_another_whenever_it_is_looked_at_is_parked_in_the_end() -> None:
    """Mapped, not mapped, mapped again: each is new, and none comes to anything."""
    case, looks = after(State.OPEN, MAPPED), 0
    while not case.state.is_at_rest:
        looks += 1
        case = then(replace(case, state=State.CONFIRMING), PV if looks % 2 else MAPPED)
    assert (case.reason, looks) == (Reason.KEEPS_CHANGING, ROUNDS_MAX + 1)
