"""The defects of real Xen 4.17 that lie in the frame table itself, as they are and mended.

D2 has its tests among the invariants of accounting.
"""

from collections.abc import Callable
from dataclasses import fields, replace

import pytest

from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PageUse
from emulator.xen.defects import (
    MENDED,
    SWITCHES,
    XEN_4_17,
    DefectId,
    Defects,
    HostDown,
    switched,
)
from emulator.xen.frametable import FrameState, FrameTable, Tenant
from emulator.xen.heap import Heap
from emulator.xen.moving import Move, Step, Trip
from emulator.xen.pages import PageKind
from tests.support.heap import frames
from tests.support.xen import ON_SMALL, PV_GUEST, SMALL, Xen

PV = Tenant(PageUse.PV, DomId(7))
PAGE = ON_SMALL[PageKind.PV]
ONE = frames(PAGE)
FRAMES = SMALL.frames


def table_with(defects: Defects) -> FrameTable:
    table = FrameTable(FRAMES)
    table.defects = defects
    return table


def assigned_late(defects: Defects) -> FrameTable:
    """The page was marked, and broke, after it was allocated and before a domain was given it."""
    table = table_with(defects)
    table.allocate(ONE)
    table.mark_broken(PAGE)
    table.offline(PAGE)
    table.assign(ONE, PV)
    return table


def given_back(defects: Defects) -> FrameTable:
    """A pending page of a guest was to be exchanged, which failed half-way."""
    xen = Xen(SMALL, defects)
    xen.offline(PAGE)
    domain = xen.host.domains[PV_GUEST]
    assert xen.host.move(domain, ONE, Trip(Step.COPY)) is Move.UNDONE
    assert xen.host.check() == []
    return xen.host.table


def broken_late(defects: Defects) -> FrameTable:
    """The page broke after it was offlined."""
    table = table_with(defects)
    table.offline(PAGE)
    table.mark_broken(PAGE)
    return table


def test_xen_has_all_defects_and_mended_has_none() -> None:
    has = [(getattr(XEN_4_17, each.name), getattr(MENDED, each.name)) for each in fields(Defects)]
    assert set(has) == {(True, False)}


def test_a_frame_table_is_mended_until_its_host_says_otherwise() -> None:
    assert (FrameTable(FRAMES).defects, Xen().host.table.defects) == (MENDED, XEN_4_17)


@pytest.mark.parametrize("assigned", [assigned_late, given_back])
def test_defect_4_a_page_that_is_assigned_is_not_offlining_any_more(
    assigned: Callable[[Defects], FrameTable],
) -> None:
    table = assigned(XEN_4_17)
    assert (table.state_of(PAGE), table.marked()) == (FrameState.IN_USE, {})


def test_defect_4_it_is_not_broken_any_more_either_and_is_handed_out_again() -> None:
    table = assigned_late(XEN_4_17)
    table.release(ONE)
    assert (table.is_broken(PAGE), table.free, table.check()) == (False, FRAMES, [])


@pytest.mark.parametrize("assigned", [assigned_late, given_back])
def test_defect_4_once_mended_a_page_that_is_assigned_stays_offlining(
    assigned: Callable[[Defects], FrameTable],
) -> None:
    table = assigned(MENDED)
    assert table.marked() == {PAGE: FrameState.OFFLINING}


def test_defect_4_once_mended_the_page_leaves_when_it_is_freed() -> None:
    table = assigned_late(MENDED)
    table.release(ONE)
    assert (table.state_of(PAGE), table.is_broken(PAGE)) == (FrameState.OFFLINED, True)


def test_a_page_table_that_is_given_back_is_still_one() -> None:
    host, mfn = Xen(SMALL, MENDED).host, ON_SMALL[PageKind.PAGE_TABLE]
    host.move(host.domains[PV_GUEST], frames(mfn), Trip(Step.COPY))
    assert (host.table.kind_of(mfn), host.check()) == (PageKind.PAGE_TABLE, [])


def test_a_heap_can_hand_out_pages_that_are_to_be_assigned() -> None:
    table = FrameTable(FRAMES)
    mfns = Heap(table).take(FRAMES)
    assert mfns is not None
    table.assign(mfns, PV)
    assert table.owned_by(mfns, PV)


@pytest.mark.parametrize("defects", [XEN_4_17, MENDED])
def test_a_page_that_breaks_before_it_leaves_goes_to_the_broken_list(defects: Defects) -> None:
    table = table_with(defects)
    table.mark_broken(PAGE)
    table.offline(PAGE)
    table.offline(Mfn(PAGE + 1))
    assert (table.broken_list(), table.offlined_list()) == ({PAGE}, {PAGE + 1})


@pytest.mark.parametrize("defects", [XEN_4_17, MENDED])
def test_a_page_that_breaks_while_it_is_pending_goes_to_the_broken_list(defects: Defects) -> None:
    table = table_with(defects)
    table.allocate(ONE, PV)
    table.offline(PAGE)
    table.mark_broken(PAGE)
    table.release(ONE)
    assert (table.broken_list(), table.offlined_list()) == ({PAGE}, set())


def test_defect_6_a_page_that_breaks_once_it_is_offlined_stays_on_the_list_of_the_whole() -> None:
    table = broken_late(XEN_4_17)
    table.offline(PAGE)
    assert (table.broken_list(), table.offlined_list()) == (set(), {PAGE})


def test_defect_6_once_mended_the_page_goes_to_the_broken_list() -> None:
    table = broken_late(MENDED)
    assert (table.broken_list(), table.offlined_list()) == ({PAGE}, set())


@pytest.mark.parametrize("defects", [XEN_4_17, MENDED])
def test_a_page_that_is_only_pending_is_on_neither_list(defects: Defects) -> None:
    table = table_with(defects)
    table.allocate(ONE, PV)
    table.mark_broken(PAGE)
    table.offline(PAGE)
    assert (table.broken_list(), table.offlined_list()) == (set(), set())


HEAD, WITHIN = ON_SMALL[PageKind.FREE], Mfn(ON_SMALL[PageKind.FREE] + 1)


def asked_twice(mfn: Mfn, defects: Defects, *, broken: bool = True) -> str:
    """How Xen ends by it; empty if it does not."""
    xen = Xen(SMALL, defects)
    xen.op.pages.offline(mfn, cpu=1, broken=broken)
    answer = xen.op.pages.offline(mfn, cpu=1)
    return answer.why if isinstance(answer, HostDown) else ""


def test_defect_13_a_broken_page_that_headed_a_buddy_is_a_panic_when_it_is_asked_about() -> None:
    assert asked_twice(HEAD, XEN_4_17).startswith("Xen BUG at common/domain.c:92")


def test_defect_13_is_of_heads_of_broken_pages_and_of_real_xen() -> None:
    harmless = (
        asked_twice(WITHIN, XEN_4_17),
        asked_twice(HEAD, XEN_4_17, broken=False),
        asked_twice(HEAD, replace(XEN_4_17, orders_read_as_owners=False)),
    )
    assert harmless == ("", "", "")


def test_defect_13_ends_when_the_page_is_back_among_the_free_ones() -> None:
    table = table_with(XEN_4_17)
    table.offline(Mfn(0))
    before = table.reads_as_owned(Mfn(0))
    table.online(Mfn(0))
    assert (before, table.reads_as_owned(Mfn(0))) == (True, False)


def test_a_switch_can_be_set_by_its_number() -> None:
    found = switched(MENDED, {DefectId.D7: True, DefectId.T8: True})
    assert found == replace(MENDED, pod_lock_hangs=True, exchange_ignores_devices=True)


def test_the_numbers_are_those_of_the_switches() -> None:
    assert (SWITCHES[DefectId.D10], SWITCHES[DefectId.D13], SWITCHES[DefectId.T1]) == (
        "whole_range_wraps",
        "orders_read_as_owners",
        "exchange_names_wrong_owner",
    )
