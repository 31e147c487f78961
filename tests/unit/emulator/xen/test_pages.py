"""Kinds of page: each has a row, and a host can be laid out with all of them."""

import pytest

from agent.contract.frames import Mfn
from agent.contract.hypercall import PageStatus, PageUse, Refusal
from agent.contract.toolstack import GuestKind, ToolOutcome
from emulator.xen.layout import GuestSpec, Layout
from emulator.xen.pages import (
    PLACES_OF_XEN_FRAMES,
    ROWS,
    PageKind,
    Place,
    places_of_xen,
)
from emulator.xen.toolstack import Toolstack
from tests.support.xen import ON_SMALL, PV_GUEST, Xen


def test_every_kind_has_a_row() -> None:
    assert set(ROWS) == set(PageKind)


@pytest.mark.parametrize("use", PageUse)
def test_every_coarse_word_stands_for_a_fine_one(use: PageUse) -> None:
    assert use in {row.use for row in ROWS.values()}


@pytest.mark.parametrize("kind", PageKind)
def test_a_host_can_have_a_frame_of_every_kind(kind: PageKind) -> None:
    assert Xen().host.table.kind_of(ON_SMALL[kind]) is kind


def test_a_host_with_every_kind_holds_together() -> None:
    assert Xen().host.check() == []


@pytest.mark.parametrize(
    ("kind", "refusal"),
    [
        (PageKind.XEN_IMAGE, Refusal.XEN_HEAP),
        (PageKind.SHARED_INFO, Refusal.XEN_HEAP),
        (PageKind.LOW, Refusal.XEN_HEAP),
        (PageKind.ANONYMOUS, Refusal.XEN_HEAP),
        (PageKind.NOT_RAM, Refusal.OUT_OF_RANGE),
        (PageKind.ABSENT, Refusal.OUT_OF_RANGE),
    ],
)
def test_the_design_refuses_what_only_real_xen_knows(kind: PageKind, refusal: Refusal) -> None:
    page = Xen().host.page_offline_pending([ON_SMALL[kind]]).pages[0]
    assert (page.status, page.refusal) == (PageStatus.FAILED, refusal)


def test_a_page_of_xens_own_cannot_be_exchanged() -> None:
    xen, mfn = Xen(), ON_SMALL[PageKind.SHARED_INFO]
    xen.offline(mfn)
    toolstack = Toolstack(xen.host)
    toolstack.suspend(PV_GUEST)
    reply = toolstack.exchange(PV_GUEST, [mfn])
    assert (reply.outcome, reply.blamed) == (ToolOutcome.REFUSED, (mfn,))


def test_a_crashed_domain_is_nobody_to_the_toolstack() -> None:
    xen = Xen()
    xen.host.crash(PV_GUEST)
    toolstack = Toolstack(xen.host)
    assert toolstack.resume(PV_GUEST).outcome is ToolOutcome.NO_SUCH_DOMAIN


def test_the_places_of_a_pc_take_what_they_say() -> None:
    assert sum(map(len, places_of_xen(PLACES_OF_XEN_FRAMES))) == PLACES_OF_XEN_FRAMES


def test_the_ram_of_the_first_megabyte_ends_before_what_the_firmware_keeps() -> None:
    """Recorded: frame 9e is of the first megabyte, and 9f to ff are no RAM."""
    low, hole = places_of_xen(PLACES_OF_XEN_FRAMES)[:2]
    assert (low.kind, low.first, low.last) == (PageKind.LOW, 0, 0x9E)
    assert (hole.kind, hole.first, hole.last) == (PageKind.NOT_RAM, 0x9F, 0xFF)


def test_the_places_of_a_pc_fit_the_smallest_host_that_has_room_for_them() -> None:
    layout = Layout(PLACES_OF_XEN_FRAMES, 0, 0, (), places_of_xen(PLACES_OF_XEN_FRAMES))
    assert layout.frames_needed == layout.frames


LOW = Place(PageKind.LOW, 0, 9)


@pytest.mark.parametrize(
    ("places", "complaint"),
    [
        ((LOW, Place(PageKind.M2P, 9, 12)), "low at 0x0 to 0x9 overlaps m2p at 0x9 to 0xc"),
        ((Place(PageKind.M2P, 60, 64),), "m2p at 0x3c to 0x40 is not on a host of 0x40 frames"),
        ((Place(PageKind.M2P, 9, 8),), "m2p at 0x9 to 0x8 is not on a host"),
        ((Place(PageKind.HVM, 0, 1),), "hvm frames cannot be placed"),
    ],
)
def test_places_that_cannot_be_are_refused(places: tuple[Place, ...], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Layout(64, 0, 0, (), places)


@pytest.mark.parametrize(("frames", "behind"), [(0, 0), (3, 13), (10, 20), (11, 31), (20, 40)])
def test_what_is_laid_from_the_bottom_goes_round_the_places(frames: int, behind: int) -> None:
    layout = Layout(64, 0, 0, (), (LOW, Place(PageKind.M2P, 20, 29)))
    assert layout.behind(frames) == behind


def test_a_guest_cannot_have_a_frame_with_a_fixed_place() -> None:
    guest = GuestSpec("web", GuestKind.HVM, 1, (Mfn(3),))
    with pytest.raises(ValueError, match="frame 0x3 cannot be a guest's: it has a fixed place"):
        Layout(64, 0, 0, (guest,), (LOW,))


def test_a_pv_guest_needs_room_for_its_page_tables() -> None:
    with pytest.raises(ValueError, match="pages must be at least 5, for its page tables"):
        GuestSpec("db", GuestKind.PV, 4)
