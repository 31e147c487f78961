"""From a guest's page to the host's frame, by tables, EPT and shadows."""

from dataclasses import replace

import numpy as np
import pytest

from agent.contract.frames import Mfn
from agent.contract.toolstack import GuestKind, Paging
from emulator.xen.domains import NO_FRAME
from emulator.xen.layout import GuestSpec
from emulator.xen.translation import Ept, Shadows, Walked
from tests.support.hosts import FIRST, HVM, PV, SHADOWED, host_of

GFN = np.array([7])


def ept_of(spec: GuestSpec) -> Ept:
    translation = host_of(spec).guests[FIRST].translation
    assert isinstance(translation, Ept)
    return translation


@pytest.mark.parametrize(
    ("spec", "way"),
    [
        (PV, Walked),
        (HVM, Ept),
        (SHADOWED, Shadows),
        (replace(HVM, kind=GuestKind.PVH), Ept),
        (replace(PV, paging=Paging.SHADOW), Walked),
    ],
)
def test_a_guest_is_led_by_its_paging(spec: GuestSpec, way: type) -> None:
    assert isinstance(host_of(spec).guests[FIRST].translation, way)


@pytest.mark.parametrize("spec", [PV, HVM, SHADOWED])
def test_a_new_guest_is_led_where_its_p2m_says(spec: GuestSpec) -> None:
    guest = host_of(spec).guests[FIRST]
    found = guest.translation.find(np.arange(spec.pages))
    assert np.array_equal(found.frames, guest.domain.p2m)


def test_2_mib_that_are_in_one_piece_are_one_entry() -> None:
    assert ept_of(HVM).superpages.tolist() == [0, 512, NO_FRAME]


def test_2_mib_that_are_in_one_piece_and_not_aligned_are_not() -> None:
    spec = replace(HVM, at=tuple(map(Mfn, range(1, 1201))))
    assert ept_of(spec).superpages.tolist() == [NO_FRAME] * 3


def test_2_mib_with_one_page_elsewhere_are_not() -> None:
    spec = replace(HVM, at=(*map(Mfn, range(511)), Mfn(4000), *map(Mfn, range(512, 1200))))
    assert ept_of(spec).superpages.tolist() == [NO_FRAME, 512, NO_FRAME]


def test_a_large_entry_goes_on_leading_to_the_old_frame_until_it_is_told() -> None:
    ept = ept_of(HVM)
    ept.domain.p2m[GFN] = 4000
    before = ept.find(GFN).frames.tolist()
    ept.follow(GFN)
    assert (before, ept.find(GFN).frames.tolist()) == ([7], [4000])


def test_shadows_go_on_leading_to_the_old_frame_until_they_are_told() -> None:
    guest = host_of(SHADOWED).guests[FIRST]
    guest.domain.p2m[GFN] = 4000
    before = guest.translation.find(GFN).frames.tolist()
    guest.translation.follow(GFN)
    assert (before, guest.translation.find(GFN).frames.tolist()) == ([7], [4000])


def test_a_p2m_that_changed_says_nothing_to_a_pv_guests_hardware() -> None:
    guest = host_of(PV).guests[FIRST]
    guest.domain.p2m[GFN] = 4000
    guest.translation.follow(GFN)
    assert guest.translation.find(GFN).frames.tolist() == [7]


@pytest.mark.parametrize("spec", [HVM, SHADOWED])
def test_a_page_without_a_frame_leads_nowhere_and_cannot_be_written(spec: GuestSpec) -> None:
    guest = host_of(spec).guests[FIRST]
    guest.domain.p2m[GFN] = NO_FRAME
    guest.translation.follow(GFN)
    found = guest.translation.find(GFN)
    assert (found.frames.tolist(), found.writable.tolist()) == ([NO_FRAME], [False])


@pytest.mark.parametrize("spec", [HVM, SHADOWED])
def test_a_shared_page_can_be_read_and_not_written(spec: GuestSpec) -> None:
    guest = host_of(spec).guests[FIRST]
    guest.domain.is_shared[GFN] = True
    found = guest.translation.find(GFN)
    assert (found.frames.tolist(), found.writable.tolist()) == ([7], [False])
