"""Layouts: what a host cannot be is said in one line, before it is built."""

import pytest

from agent.contract.frames import MFN_MAX, Mfn
from agent.contract.toolstack import GuestKind
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
