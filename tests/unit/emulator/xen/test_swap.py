"""The p2m swap: an HVM guest gets another frame and does not notice."""

import numpy as np
import pytest

from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PageStatus, Refusal
from emulator.xen.hypervisor import Hypervisor

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
