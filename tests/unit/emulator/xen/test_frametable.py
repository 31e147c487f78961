"""The frame table: what can become of a frame, and what cannot."""

import numpy as np
import pytest

from agent.contract.columns import I64
from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PageUse
from emulator.xen.frametable import (
    TRANSITIONS,
    Counts,
    FrameState,
    FrameTable,
    ImpossibleTransitionError,
    Step,
    Tenant,
)

GUEST = Tenant(PageUse.PV, DomId(7))
ONE = np.array([5], np.int64)
PAGE = Mfn(5)

FREE, IN_USE, OFFLINING, OFFLINED = FrameState


def in_state(state: FrameState) -> FrameTable:
    """A table of 16 frames whose frame 5 was brought to `state`."""
    table = FrameTable(16)
    if state in (IN_USE, OFFLINING):
        table.allocate(ONE, GUEST)
    if state in (OFFLINING, OFFLINED):
        table.offline(PAGE)
    return table


def take(step: Step, table: FrameTable) -> None:
    match step:
        case Step.ALLOCATE:
            table.allocate(ONE, GUEST)
        case Step.ASSIGN:
            table.assign(ONE, GUEST)
        case Step.FREE:
            table.release(ONE)
        case Step.OFFLINE:
            table.offline(PAGE)
        case Step.ONLINE:
            table.online(PAGE)


POSSIBLE = [(step, *row) for step, rows in TRANSITIONS.items() for row in rows.items()]
IMPOSSIBLE = [
    (step, state) for step in Step for state in FrameState if state not in TRANSITIONS[step]
]


@pytest.mark.parametrize(("step", "before", "after"), POSSIBLE)
def test_a_step_leads_where_the_table_says(
    step: Step, before: FrameState, after: FrameState
) -> None:
    table = in_state(before)
    take(step, table)
    assert table.state_of(PAGE) is after


@pytest.mark.parametrize(("step", "before"), IMPOSSIBLE)
def test_a_step_that_is_not_in_the_table_raises(step: Step, before: FrameState) -> None:
    with pytest.raises(ImpossibleTransitionError, match=f"frame 0x5: it is {before.name.lower()}"):
        take(step, in_state(before))


@pytest.mark.parametrize(("step", "before"), IMPOSSIBLE)
def test_an_impossible_step_changes_nothing(step: Step, before: FrameState) -> None:
    table = in_state(before)
    with pytest.raises(ImpossibleTransitionError):
        take(step, table)
    assert (table.state_of(PAGE), table.check()) == (before, [])


@pytest.mark.parametrize("state", FrameState)
def test_the_bookkeeping_agrees_with_the_column_in_every_state(state: FrameState) -> None:
    assert in_state(state).check() == []


def test_a_page_freed_while_offlining_is_offlined_at_once() -> None:
    table = in_state(OFFLINING)
    table.release(ONE)
    assert table.state_of(PAGE) is OFFLINED


def test_a_page_freed_while_offlining_is_never_counted_as_free() -> None:
    table = in_state(OFFLINING)
    table.release(ONE)
    assert table.counts == Counts(free=15, in_use=0, offlining=0, offlined=1)


def test_one_bad_frame_keeps_a_whole_free_from_happening() -> None:
    table = in_state(IN_USE)
    with pytest.raises(ImpossibleTransitionError):
        table.release(np.array([5, 6], np.int64))
    assert table.state_of(PAGE) is IN_USE


def test_a_frame_named_twice_is_a_double_free() -> None:
    table = in_state(IN_USE)
    with pytest.raises(ImpossibleTransitionError, match="twice"):
        table.release(np.array([5, 5], np.int64))


def test_offlining_a_guests_page_leaves_it_with_the_guest() -> None:
    table = in_state(OFFLINING)
    assert (table.use_of(PAGE), table.owner_of(PAGE)) == (PageUse.PV, DomId(7))


def test_a_freed_page_forgets_its_tenant_and_its_gfn() -> None:
    table = in_state(IN_USE)
    table.map(ONE, np.array([0], np.int64))
    table.release(ONE)
    assert (table.use_of(PAGE), table.owner_of(PAGE), table.gfn_of(PAGE)) == (
        PageUse.FREE,
        None,
        None,
    )


def test_gfn_zero_is_a_page_and_not_nothing() -> None:
    table = in_state(IN_USE)
    table.map(ONE, np.array([0], np.int64))
    assert table.gfn_of(PAGE) == 0


def test_dom0_owns_its_frames_by_the_number_zero() -> None:
    table = FrameTable(16)
    table.allocate(ONE, Tenant(PageUse.DOM0, DomId(0)))
    assert table.owner_of(PAGE) == DomId(0)


def test_the_xen_heap_belongs_to_no_domain() -> None:
    table = FrameTable(16)
    table.allocate(ONE, Tenant(PageUse.XEN_HEAP))
    assert table.owner_of(PAGE) is None


def test_marked_frames_are_listed_without_a_scan() -> None:
    table = in_state(OFFLINING)
    table.offline(Mfn(9))
    assert table.marked() == {PAGE: OFFLINING, Mfn(9): OFFLINED}


def test_a_frame_brought_back_is_not_marked_any_more() -> None:
    table = in_state(OFFLINED)
    table.online(PAGE)
    assert table.marked() == {}


@pytest.mark.parametrize(
    ("column", "complaint"),
    [
        ("_state", "the counts are not those of the column"),
        ("_use", "a free or offlined frame has a tenant"),
        ("_gfn_plus_1", "a free or offlined frame has an M2P entry"),
    ],
)
def test_the_check_notices_a_column_that_was_tampered_with(column: str, complaint: str) -> None:
    table = FrameTable(16)
    tampered: I64 = getattr(table, column)
    tampered[3] = 1
    assert complaint in table.check()
