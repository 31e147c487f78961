"""Pages that guests give away: to the host, or to another guest."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.random import Generator

from agent.contract.frames import DOM0, DomId, Gfn, Mfn
from agent.contract.hypercall import PageStatus
from agent.contract.toolstack import DomainState, GuestKind
from emulator.xen.defects import MENDED, Defects
from emulator.xen.frametable import FrameState
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import GuestSpec
from tests.support.hosts import (
    FIRST,
    HVM,
    L1,
    PLAIN,
    PV,
    SECOND,
    SHADOWED,
    fill,
    frame_of,
    holes,
    host_of,
    mark,
    pend,
)

SPECS = (PV, replace(HVM, pages=600), SHADOWED)
GIVER, TAKER = FIRST, SECOND


def two(
    giver: GuestSpec = PV, taker: GuestSpec = HVM, defects: Defects = MENDED
) -> tuple[Hypervisor, Mfn]:
    """A giver and a taker, and the frame behind the giver's page `PLAIN`, which is pending."""
    specs = replace(giver, name="giver"), replace(taker, name="taker")
    host = host_of(*specs, defects=defects)
    return host, mark(host, GIVER, PLAIN)


def given(host: Hypervisor, mfn: Mfn) -> bool:
    return host.transfer(mfn, host.domains[TAKER])


@pytest.mark.parametrize("spec", SPECS)
def test_a_page_that_is_ballooned_out_is_a_hole_and_the_guest_knows(
    spec: GuestSpec, rng: Generator
) -> None:
    host = host_of(spec)
    guest = host.guests[FIRST]
    host.balloon_out(guest.domain, np.array([PLAIN, 6]))
    guest.run(5000, rng)
    assert (holes(guest.domain), host.check()) == ([PLAIN, 6], [])
    assert (guest.verify(), guest.workload.faults, guest.workload.corruptions) == (0, 0, 0)


def test_a_marked_page_that_is_ballooned_out_is_offlined_at_once() -> None:
    host = host_of(PV)
    mfn = mark(host, FIRST, PLAIN)
    host.balloon_out(host.domains[FIRST], np.array([PLAIN]))
    assert host.table.state_of(mfn) is FrameState.OFFLINED


def test_what_becomes_of_a_ballooned_frame_does_not_touch_the_guest(rng: Generator) -> None:
    host = host_of(PV)
    guest, mfns = host.guests[FIRST], pend(host, FIRST, PLAIN)
    host.balloon_out(guest.domain, np.array([PLAIN]))
    host.memory.write(mfns, np.array([1], np.uint64))
    guest.run(5000, rng)
    assert guest.workload.corruptions == 0


@pytest.mark.parametrize("taker", SPECS, ids=lambda spec: spec.name)
@pytest.mark.parametrize("giver", SPECS, ids=lambda spec: spec.name)
def test_a_page_that_is_given_is_the_takers_and_both_are_well(
    giver: GuestSpec, taker: GuestSpec, rng: Generator
) -> None:
    host, mfn = two(giver, taker)
    assert given(host, mfn)
    for guest in host.guests.values():
        guest.run(5000, rng)
    assert [(g.workload.corruptions, g.workload.faults) for g in host.guests.values()] == [
        (0, 0),
        (0, 0),
    ]
    assert ([g.verify() for g in host.guests.values()], host.check()) == ([0, 0], [])


def test_whoever_asks_again_hears_of_another_owner() -> None:
    host, mfn = two()
    before = host.page_query([mfn]).pages[0].owner
    given(host, mfn)
    assert (before, host.page_query([mfn]).pages[0].owner) == (GIVER, TAKER)


def test_the_giver_has_a_hole_and_the_taker_as_many_pages_as_before() -> None:
    host, mfn = two()
    given(host, mfn)
    assert (holes(host.domains[GIVER]), holes(host.domains[TAKER])) == ([PLAIN], [])


def test_the_taker_knows_what_is_in_the_page() -> None:
    host, mfn = two()
    word = int(host.guests[GIVER].workload.words[PLAIN])
    given(host, mfn)
    gfn = host.table.gfn_of(mfn)
    assert gfn is not None
    assert int(host.guests[TAKER].workload.words[gfn]) == word


def test_the_frame_that_made_room_for_it_is_free() -> None:
    host, mfn = two()
    freed, free = frame_of(host.domains[TAKER], 0), host.host.free
    given(host, mfn)
    assert (host.table.state_of(freed), host.host.free) == (FrameState.FREE, free + 1)


def test_a_page_can_be_given_without_a_free_page_on_the_host() -> None:
    host, mfn = two()
    fill(host)
    assert given(host, mfn)


def test_a_pending_page_is_pending_with_its_new_owner() -> None:
    host, mfn = two()
    given(host, mfn)
    between = host.page_query([mfn]).pages[0].status
    host.destroy(host.domains[TAKER])
    after = host.page_query([mfn]).pages[0].status
    assert (between, after) == (PageStatus.OFFLINE_PENDING, PageStatus.OFFLINED)


def test_defect_4_a_pending_page_that_is_given_away_is_pending_no_more() -> None:
    host, mfn = two(defects=replace(MENDED, assign_forgets_marks=True))
    given(host, mfn)
    assert (host.table.state_of(mfn), host.offlined()) == (FrameState.IN_USE, [])


def test_a_page_can_be_given_back(rng: Generator) -> None:
    host, mfn = two(PV, PV)
    given(host, mfn)
    assert host.transfer(mfn, host.domains[GIVER])
    for guest in host.guests.values():
        guest.run(5000, rng)
    assert ([g.workload.corruptions for g in host.guests.values()], host.check()) == ([0, 0], [])


def refused(host: Hypervisor, mfn: Mfn) -> bool:
    """Whether it cannot be given, and nothing changed."""
    before = [domain.p2m.tolist() for domain in host.domains.values()], host.host
    answer = given(host, mfn)
    return not answer and before == (
        [domain.p2m.tolist() for domain in host.domains.values()],
        host.host,
    )


@pytest.mark.parametrize("mfn", [4000, 1 << 20])
def test_what_is_nobodys_cannot_be_given(mfn: int) -> None:
    assert refused(two()[0], Mfn(mfn))


def test_a_page_cannot_be_given_to_who_has_it() -> None:
    host, _ = two()
    assert refused(host, frame_of(host.domains[TAKER], 9))


@pytest.mark.parametrize("domid", [GIVER, TAKER])
@pytest.mark.parametrize("state", [DomainState.SUSPENDED, DomainState.CRASHED])
def test_both_must_run_for_it(domid: DomId, state: DomainState) -> None:
    host, mfn = two()
    host.domains[domid].state = state
    assert refused(host, mfn)


def test_a_page_that_somebody_maps_cannot_be_given() -> None:
    host, mfn = two()
    host.map_page(DOM0, host.domains[GIVER], PLAIN)
    assert refused(host, mfn)


def test_a_page_table_cannot_be_given() -> None:
    host, _ = two()
    assert refused(host, frame_of(host.domains[GIVER], L1))


def test_a_buffer_of_a_device_cannot_be_given() -> None:
    spec = replace(HVM, devices=("nic0",), buffer_pages=2)
    host, _ = two(spec, PV)
    assert refused(host, frame_of(host.domains[GIVER], spec.buffers[0]))


def test_a_shared_page_cannot_be_given() -> None:
    spec = replace(HVM, cow_pages=2)
    host, _ = two(spec, PV)
    assert refused(host, frame_of(host.domains[GIVER], spec.cows[0]))


def test_who_can_do_without_none_of_its_pages_can_take_none() -> None:
    tiny = GuestSpec("tiny", GuestKind.HVM, 2, devices=("nic0",), buffer_pages=2)
    host, mfn = two(PV, tiny)
    assert refused(host, mfn)


def test_it_is_put_where_nobody_maps_what_was_there() -> None:
    host, mfn = two()
    host.map_page(DOM0, host.domains[TAKER], Gfn(0))
    given(host, mfn)
    assert host.table.gfn_of(mfn) == 1
