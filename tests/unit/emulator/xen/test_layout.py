"""Layouts: what a host cannot be is said in one line, before it is built."""

from dataclasses import replace
from typing import TypedDict, Unpack

import pytest

from agent.contract.frames import FIRST_RESERVED_DOMID, MFN_MAX, Mfn
from agent.contract.toolstack import GuestKind, Paging
from emulator.xen.layout import GuestSpec, Layout


def guest(name: str = "web", pages: int = 8, at: tuple[int, ...] = ()) -> GuestSpec:
    return GuestSpec(name, GuestKind.HVM, pages, tuple(map(Mfn, at)))


def test_a_layout_knows_what_its_tenants_need() -> None:
    assert Layout(64, 4, 8, (guest(), guest("db"))).frames_needed == 28


@pytest.mark.parametrize(
    ("frames", "xen_heap_frames", "dom0_frames", "guests", "complaint"),
    [
        (0, 0, 0, (), "frames must be 1 to"),
        (MFN_MAX + 2, 0, 0, (), "frames must be 1 to"),
        (64, -1, 0, (), "must be at least 0"),
        (1 << 20, 0, 0, (guest(),) * FIRST_RESERVED_DOMID, "a host has at most 32751 guests"),
        (64, 32, 32, (guest(pages=1),), "has 64 frames, but its tenants need 65"),
        (64, 0, 0, (guest(), guest()), "two guests are called web"),
        (64, 0, 0, (guest(at=(3,)), guest("db", at=(3,))), "frame 0x3 is to be owned twice"),
        (64, 0, 0, (guest(at=(64,)),), "frame 0x40 is not on a host of 0x40 frames"),
    ],
)
def test_a_host_that_cannot_be_is_refused(
    frames: int,
    xen_heap_frames: int,
    dom0_frames: int,
    guests: tuple[GuestSpec, ...],
    complaint: str,
) -> None:
    with pytest.raises(ValueError, match=complaint):
        Layout(frames, xen_heap_frames, dom0_frames, guests)


@pytest.mark.parametrize("nodes", [0, 65])
def test_a_host_has_as_many_nodes_as_xen_keeps_apart(nodes: int) -> None:
    with pytest.raises(ValueError, match="nodes must be 1 to 64"):
        Layout(1024, 0, 0, nodes=nodes)


def test_a_guest_needs_a_page() -> None:
    with pytest.raises(ValueError, match="guest web: pages must be at least 1"):
        guest(pages=0)


def test_a_guest_cannot_own_more_frames_than_it_has_pages() -> None:
    with pytest.raises(ValueError, match="names 2 frames, but it has 1 pages"):
        guest(pages=1, at=(1, 2))


@pytest.mark.parametrize("working_set_pages", [-1, 9])
def test_a_working_set_lies_within_the_guest(working_set_pages: int) -> None:
    with pytest.raises(ValueError, match="working_set_pages must be 1 to 8"):
        GuestSpec("web", GuestKind.HVM, 8, working_set_pages=working_set_pages)


class Counts(TypedDict, total=False):
    """Numbers of pages of a guest."""

    working_set_pages: int
    shared_pages: int
    pool_pages: int
    state_pages: int
    pod_pages: int
    cow_pages: int
    ring_pages: int
    buffer_pages: int


def special(
    kind: GuestKind = GuestKind.HVM, pages: int = 16, **counts: Unpack[Counts]
) -> GuestSpec:
    return GuestSpec("web", kind, pages, **counts)


@pytest.mark.parametrize(
    "counts",
    [
        Counts(shared_pages=-1),
        Counts(pool_pages=-1),
        Counts(state_pages=-1),
        Counts(pod_pages=-1),
        Counts(cow_pages=-1),
        Counts(ring_pages=-1),
        Counts(buffer_pages=-1),
    ],
)
def test_no_number_of_pages_is_negative(counts: Counts) -> None:
    with pytest.raises(ValueError, match="no number of pages may be negative"):
        special(**counts)


def test_rings_and_buffers_lie_in_the_working_set() -> None:
    with pytest.raises(ValueError, match="do not fit its working set"):
        special(working_set_pages=5, ring_pages=2, buffer_pages=4)


@pytest.mark.parametrize("counts", [Counts(cow_pages=1), Counts(pod_pages=1), Counts(pool_pages=1)])
def test_a_pv_guest_has_none_of_what_translated_guests_have(counts: Counts) -> None:
    with pytest.raises(ValueError, match="a PV guest shares no memory"):
        special(GuestKind.PV, **counts)


def test_a_pv_guest_needs_a_page_beside_its_tables() -> None:
    with pytest.raises(ValueError, match="pages must be at least 5, for its page tables"):
        special(GuestKind.PV, pages=4)


@pytest.mark.parametrize("counts", [Counts(pod_pages=16), Counts(cow_pages=8, pod_pages=8)])
def test_a_guest_has_a_page_of_its_own_from_the_start(counts: Counts) -> None:
    with pytest.raises(ValueError, match="leave too few pages that are its own at once"):
        special(**counts)


def test_the_frames_it_must_own_are_behind_pages_of_its_own() -> None:
    with pytest.raises(ValueError, match="leave too few pages that are its own at once"):
        replace(guest(pages=4, at=(1, 2, 3)), cow_pages=2)


def test_pages_with_a_purpose_lie_one_kind_before_the_other() -> None:
    spec = special(ring_pages=2, cow_pages=3, buffer_pages=4, pod_pages=1)
    assert (spec.buffers, spec.cows, spec.rings) == (range(6, 10), range(12, 15), range(10, 12))


def test_pages_with_a_purpose_lie_before_the_tables_of_a_pv_guest() -> None:
    spec = special(GuestKind.PV, ring_pages=2, buffer_pages=4)
    assert (spec.usable, spec.buffers, spec.rings) == (12, range(6, 10), range(10, 12))


def test_frames_beside_are_needed_too() -> None:
    spec = special(shared_pages=1, pool_pages=2, state_pages=3)
    assert (spec.frames_beside, Layout(64, 0, 0, (spec,)).frames_needed) == (6, 22)


def test_a_guest_is_paged_in_hardware_unless_it_is_said_otherwise() -> None:
    assert guest().paging is Paging.HAP
