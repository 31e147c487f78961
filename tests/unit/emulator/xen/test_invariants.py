"""What must hold of page offlining on a whole host, numbered as in our account of Xen."""

import numpy as np
import pytest

from agent.contract.frames import DomId, Mfn
from emulator.xen.frametable import ImpossibleTransitionError
from emulator.xen.hypervisor import Hypervisor

WEB = DomId(1)
HVM, FREE = 400, 2000


def test_inv_05_a_page_that_is_offlining_keeps_its_content_and_its_place(host: Hypervisor) -> None:
    before = host.domains[WEB].p2m.copy()
    host.page_offline_pending([HVM])
    assert np.array_equal(host.domains[WEB].p2m, before)
    assert host.guests[WEB].verify() == 0


def test_inv_05_the_owner_of_an_offlining_page_keeps_running(
    host: Hypervisor, rng: np.random.Generator
) -> None:
    host.page_offline_pending([HVM])
    host.guests[WEB].run(1000, rng)
    assert host.guests[WEB].workload.reads + host.guests[WEB].workload.writes == 1000


def test_inv_09_the_frames_of_all_states_are_all_frames_after_each_step(host: Hypervisor) -> None:
    totals = [host.host.frames]
    for step in (host.page_offline_pending, host.p2m_swap, host.page_online):
        step([HVM])
        totals.append(host.host.frames)
    host.destroy(host.domains[WEB])
    assert {*totals, host.host.frames} == {host.layout.frames}


def test_inv_11_a_call_with_a_broken_frame_brings_none_back(host: Hypervisor) -> None:
    host.page_offline_pending([FREE, FREE + 1])
    host.table.mark_broken(Mfn(FREE + 1))
    with pytest.raises(ImpossibleTransitionError):
        host.table.online_all(np.array([FREE, FREE + 1]))
    assert (host.host.offlined, host.check()) == (2, [])


def test_inv_13_a_page_is_scrubbed_when_it_is_brought_back(host: Hypervisor) -> None:
    host.page_offline_pending([HVM])
    host.destroy(host.domains[WEB])
    left = host.memory.read(np.array([HVM])).tolist()
    host.page_online([HVM])
    assert left != host.memory.read(np.array([HVM])).tolist() == [0]


def test_inv_13_a_page_that_only_was_pending_is_not_scrubbed(host: Hypervisor) -> None:
    host.page_offline_pending([HVM])
    host.page_online([HVM])
    assert host.guests[WEB].verify() == 0


def test_a_guest_is_swapped_off_many_pages_in_one_call(host: Hypervisor) -> None:
    mfns = host.domains[WEB].p2m[:200].tolist()
    host.page_offline_pending(mfns)
    host.p2m_swap(mfns)
    assert (host.host.offlined, host.guests[WEB].verify(), host.check()) == (200, 0, [])
