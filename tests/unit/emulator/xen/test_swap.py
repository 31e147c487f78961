"""The p2m swap: an HVM guest gets another frame and does not notice."""

from dataclasses import replace

import numpy as np
import pytest

from agent.contract.frames import DOM0 as DOM0_ITSELF
from agent.contract.frames import DomId, Gfn, Mfn
from agent.contract.hypercall import PageStatus, Refusal
from emulator.xen.devices import Device
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.moving import Step, Trip
from tests.support.hosts import SHADOWED, host_of, pend

XEN, DOM0, HVM, PV, FREE, BEYOND = 10, 100, 400, 600, 2000, 4096
WEB = DomId(1)


def fill(host: Hypervisor) -> None:
    """Offline every free page, so that there is nowhere to move to."""
    host.page_offline_pending(range(832, host.layout.frames))


def test_a_swapped_page_is_offlined(host: Hypervisor) -> None:
    host.page_offline_pending([HVM])
    assert host.p2m_swap([HVM]).pages[0].status is PageStatus.OFFLINED


def test_the_guest_reads_after_a_swap_what_it_wrote_before(host: Hypervisor) -> None:
    host.page_offline_pending([HVM])
    host.p2m_swap([HVM])
    assert host.guests[WEB].verify() == 0


def test_the_p2m_leads_to_a_new_frame_and_the_m2p_back(host: Hypervisor) -> None:
    gfn = host.table.gfn_of(Mfn(HVM))
    host.page_offline_pending([HVM])
    host.p2m_swap([HVM])
    new = Mfn(int(host.domains[WEB].p2m[HVM - 320]))
    assert (new != HVM, host.table.gfn_of(new), host.check()) == (True, gfn, [])


def test_a_guest_goes_on_through_many_swaps(host: Hypervisor) -> None:
    rng, guest = np.random.default_rng(1), host.guests[WEB]
    for _ in range(20):
        mfns = rng.choice(guest.domain.p2m, 16, replace=False).tolist()
        host.page_offline_pending(mfns)
        host.p2m_swap(mfns)
        guest.run(500, rng)
    assert (guest.workload.corruptions, host.host.offlined) == (0, 320)


def test_swapping_again_answers_offlined(host: Hypervisor) -> None:
    host.page_offline_pending([HVM])
    first = host.p2m_swap([HVM])
    again = host.p2m_swap([HVM])
    assert (again.pages, again.changed) == (first.pages, False)


@pytest.mark.parametrize(
    ("mfn", "refusal"),
    [
        (BEYOND, Refusal.OUT_OF_RANGE),
        (XEN, Refusal.NOT_OWNED_BY_HVM),
        (DOM0, Refusal.NOT_OWNED_BY_HVM),
        (PV, Refusal.NOT_OWNED_BY_HVM),
        (FREE, Refusal.NOT_OWNED_BY_HVM),
        (HVM, Refusal.NOT_OFFLINE_PENDING),
    ],
)
def test_what_cannot_be_swapped_says_why(host: Hypervisor, mfn: int, refusal: Refusal) -> None:
    page = host.p2m_swap([mfn]).pages[0]
    assert (page.status, page.refusal) == (PageStatus.FAILED, refusal)


def test_a_broken_page_is_not_read_and_so_not_swapped(host: Hypervisor) -> None:
    host.page_offline_pending([HVM])
    host.table.mark_broken(Mfn(HVM))
    assert host.p2m_swap([HVM]).pages[0].refusal is Refusal.BROKEN


def test_a_pending_page_of_a_pv_guest_is_refused(host: Hypervisor) -> None:
    host.page_offline_pending([PV])
    assert host.p2m_swap([PV]).pages[0].refusal is Refusal.NOT_OWNED_BY_HVM


def test_one_refused_page_keeps_the_others_from_moving(host: Hypervisor) -> None:
    before = host.domains[WEB].p2m.copy()
    host.page_offline_pending([HVM])
    reply = host.p2m_swap([HVM, PV])
    assert [page.refusal for page in reply.pages] == [
        Refusal.PEER_FAILED,
        Refusal.NOT_OWNED_BY_HVM,
    ]
    assert np.array_equal(host.domains[WEB].p2m, before)


def test_without_room_a_swap_is_refused(host: Hypervisor) -> None:
    fill(host)
    host.page_offline_pending([HVM])
    assert host.p2m_swap([HVM]).pages[0].refusal is Refusal.NO_FREE_MEMORY


def test_what_others_claim_is_no_room(host: Hypervisor) -> None:
    host.table.claims.stake(DomId(9), host.host.free, host.host.free)
    host.page_offline_pending([HVM])
    assert host.p2m_swap([HVM]).pages[0].refusal is Refusal.NO_FREE_MEMORY


def test_a_page_that_another_domain_maps_is_refused(host: Hypervisor) -> None:
    host.map_page(DOM0_ITSELF, host.domains[WEB], Gfn(HVM - 320))
    host.page_offline_pending([HVM])
    assert host.p2m_swap([HVM]).pages[0].refusal is Refusal.MAPPED_ELSEWHERE


def test_a_guest_with_a_device_is_refused(host: Hypervisor) -> None:
    host.assign(Device("nic0", "web", np.array([0])), host.domains[WEB])
    host.page_offline_pending([HVM])
    assert host.p2m_swap([HVM]).pages[0].refusal is Refusal.DEVICE_ASSIGNED


def test_a_page_of_a_dying_domain_is_refused(host: Hypervisor) -> None:
    host.map_page(DOM0_ITSELF, host.domains[WEB], Gfn(HVM - 320), stays=True)
    host.page_offline_pending([HVM])
    host.destroy(host.domains[WEB])
    assert host.p2m_swap([HVM]).pages[0].refusal is Refusal.MAPPED_ELSEWHERE


@pytest.mark.parametrize("step", [Step.COPY, Step.REMAP])
def test_the_frames_that_a_torn_guest_has_left_over_are_no_pages_of_its(
    host: Hypervisor, step: Step
) -> None:
    host.page_offline_pending([HVM, HVM + 1])
    domain = host.domains[WEB]
    host.move(domain, np.array([HVM, HVM + 1]), Trip(step, is_final=True))
    strays, before = domain.strays.tolist(), domain.p2m.tolist()
    host.page_offline_pending(strays)
    refusals = {host.p2m_swap([mfn]).pages[0].refusal for mfn in strays}
    assert (refusals, domain.p2m.tolist()) == ({Refusal.NOT_OWNED_BY_HVM}, before)


def test_pages_of_two_guests_are_swapped_in_one_call() -> None:
    host = host_of(SHADOWED, replace(SHADOWED, name="too"))
    mfns = [*pend(host, WEB, 3, 4).tolist(), *pend(host, DomId(2), 3).tolist()]
    host.p2m_swap(mfns)
    assert ([g.verify() for g in host.guests.values()], host.host.offlined) == ([0, 0], 3)


def test_room_for_some_is_room_for_none(host: Hypervisor) -> None:
    fill(host)
    host.page_online([FREE])
    host.page_offline_pending([HVM, HVM + 1])
    host.p2m_swap([HVM, HVM + 1])
    assert (host.host.offlining, host.host.free) == (2, 1)


def test_a_guest_is_swapped_off_many_pages_in_one_call(host: Hypervisor) -> None:
    mfns = host.domains[WEB].p2m[:200].tolist()
    host.page_offline_pending(mfns)
    host.p2m_swap(mfns)
    assert (host.host.offlined, host.guests[WEB].verify(), host.check()) == (200, 0, [])
