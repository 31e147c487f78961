"""Which cases go together, and whose turn it is."""

from dataclasses import replace

import pytest

from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PAGES_MAX
from agent.retirement import batch
from agent.retirement.advance import advance
from agent.retirement.case import Case
from agent.retirement.outcome import Done, Failed, Gone, Outcome
from agent.retirement.states import State
from tests.support.cases import a_case
from tests.support.driving import in_line


def case(state: State, number: int = 1, **changes: object) -> Case:
    known = in_line(state, guest="db", id=f"c{number}", mfn=Mfn(number))
    return replace(known, **changes)  # type: ignore[arg-type] # names of fields, checked at run time


def test_all_who_are_in_line_for_a_guest_share_its_stop() -> None:
    first, second = case(State.SUSPENDING), case(State.SAVING, 2)
    elsewhere = case(State.OPEN, 3), case(State.SWAPPING, 4), case(State.PARKED, 5)
    assert batch.sharing(first, [*elsewhere, second, first]) == (first, second)


def test_who_is_in_line_for_another_guest_that_had_the_same_domid_does_not_share_it() -> None:
    assert batch.sharing(case(State.SUSPENDING), [case(State.SUSPENDING, 2, guest="web")])[1:] == ()


def test_no_more_of_them_than_one_call_may_name() -> None:
    many = [case(State.SUSPENDING, n) for n in range(PAGES_MAX + 10)]
    assert len(batch.sharing(many[0], many)) == PAGES_MAX


def test_what_an_earlier_life_left_is_picked_up_guest_by_guest() -> None:
    mine, other = case(State.EXCHANGING), case(State.SAVING, 2, guest="web", owner=DomId(8))
    assert set(batch.stops([other, case(State.OPEN, 3), mine])) == {(mine,), (other,)}


def test_more_pages_than_one_call_may_name_are_picked_up_in_several_stops() -> None:
    many = [case(State.SUSPENDING, n) for n in range(PAGES_MAX + 10)]
    assert [len(stop) for stop in batch.stops(many)] == [PAGES_MAX, 10]


@pytest.mark.parametrize("state", [state for state in State if state.commands_guest])
def test_every_command_about_a_guest_has_its_place_in_the_order(state: State) -> None:
    only = case(state)
    assert batch.due([only]) == (only,)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (State.EXCHANGING, State.RESUMING),  # the guest is resumed once, when all is exchanged
        (State.RESUMING, State.SAVING),  # what stands still comes before what would begin
        (State.SAVING, State.SUSPENDING),  # one save frees what many exchanges would
        (State.RESTORING, State.ATTACHING),  # there must be a guest to attach to
        (State.SWAPPING, State.ATTACHING),
    ],
)
def test_what_comes_before_what(first: State, second: State) -> None:
    early, late = case(first), case(second, 2)
    assert batch.due([late, early]) == (early,)


def test_one_resume_is_for_those_that_were_exchanged_and_those_that_were_not() -> None:
    both = case(State.RESUMING), case(State.BACKING_OUT, 2)
    assert batch.due(both) == both


def test_pages_are_swapped_one_by_one() -> None:
    """A swap of many would be refused whole for the sake of one."""
    pages = case(State.SWAPPING, detached=("nic",)), case(State.SWAPPING, 2, detached=("nic",))
    assert batch.due(pages) == pages[:1]


@pytest.mark.parametrize(
    ("now", "is_in_hand"),
    [
        (case(State.EXCHANGING), True),
        (case(State.CONFIRMING), False),
        (case(State.SAVING), False),
        (case(State.SAVING, detached=("nic",)), True),
        (case(State.SUSPENDING), False),
        (case(State.SUSPENDING, begun=True), True),
        (case(State.DETACHING, detached=("nic",)), False),
    ],
)
def test_a_guest_is_in_our_hands_from_its_first_command_to_its_last(
    now: Case, is_in_hand: bool
) -> None:
    assert now.is_in_hand is is_in_hand


def test_who_was_begun_goes_on_before_who_was_not() -> None:
    """The guest may stand still for one of them; the other joins when it is begun itself."""
    begun = case(State.SUSPENDING, begun=True)
    assert batch.due([case(State.SUSPENDING, 2), begun]) == (begun,)


def test_one_image_has_one_name_however_many_cases_it_is_for() -> None:
    pages = case(State.SAVING, boot="0123456789"), case(State.SAVING, 2)
    assert {named.image for named in batch.named(pages)} == {"c1-01234567-7"}


def test_a_name_that_was_written_down_before_is_kept() -> None:
    pages = case(State.SAVING), case(State.SAVING, 2, image="c9--7")
    assert {named.image for named in batch.named(pages)} == {"c9--7"}


@pytest.mark.parametrize(
    ("state", "outcome", "left"),
    [
        (State.SAVING, Done(), True),
        (State.MIGRATING, Done(), True),
        (State.SUSPENDING, Gone(), True),
        (State.SUSPENDING, Done(), False),
        (State.SAVING, Failed(), False),
        (State.ATTACHING, Gone(), False),  # it asks for the guest, wherever it lives now
    ],
)
def test_a_guest_leaves_its_domain_by_a_save_a_migration_or_its_end(
    state: State, outcome: Outcome, left: bool
) -> None:
    assert batch.has_left([(case(state), outcome)]) is left


def test_who_else_had_pages_of_a_guest_that_left_is_overtaken() -> None:
    others = [case(State.PARKED, 2), case(State.CONFIRMING, 3), case(State.SUSPENDING, 4)]
    moves = batch.overtaken([(case(State.SAVING), Done())], [case(State.SAVING), *others], 2)
    assert [(before.id, after.state) for before, after in moves] == [
        ("c2", State.CONFIRMING),
        ("c4", State.CONFIRMING),
    ]


def test_a_stop_for_many_pages_is_one_pause() -> None:
    """Each case has it, so that a restart of the agent knows it; of each guest it counts once."""
    shared = [a_case(id=f"c{n}", guest="db", pauses=((5, 0.25),)) for n in range(3)]
    other = a_case(guest="web", pauses=((5, 0.25), (9, 0.5)))
    assert batch.pauses_of([*shared, other]) == (0.25, 0.25, 0.5)


def test_how_long_a_guest_stood_still_is_in_its_case() -> None:
    resumed = advance(a_case(State.RESUMING, guest="db"), Done(0.25), 7)
    assert resumed.pauses == ((7, 0.25),)
