"""Guests: what they see, and that they notice."""

import numpy as np
import pytest
from numpy.random import Generator

from agent.contract.columns import I64
from agent.contract.frames import DomId, Gfn
from agent.contract.toolstack import DomainState
from emulator.xen.guests import Guest, new_workload
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.moving import Move

HVM, PV = DomId(1), DomId(2)
GFNS = np.arange(32)


def moved(host: Hypervisor, domid: DomId, gfns: I64) -> Guest:
    """The guest, once its pages were moved and its mappings edited; it was told nothing."""
    guest = host.guests[domid]
    old = guest.domain.p2m[gfns]
    host.page_offline_pending(old.tolist())
    assert host.move(guest.domain, old) is Move.DONE
    return guest


@pytest.mark.parametrize("domid", [HVM, PV])
def test_a_guest_finds_all_of_its_memory_as_it_was_built(host: Hypervisor, domid: DomId) -> None:
    assert host.guests[domid].verify() == 0


@pytest.mark.parametrize("domid", [HVM, PV])
def test_an_undisturbed_guest_never_sees_a_corruption(
    host: Hypervisor, domid: DomId, rng: Generator
) -> None:
    guest = host.guests[domid]
    for _ in range(10):
        guest.run(1000, rng)
    assert (guest.workload.corruptions, guest.verify()) == (0, 0)


@pytest.mark.parametrize("accesses", [0, 1, 1000])
def test_every_access_is_a_read_or_a_write(host: Hypervisor, accesses: int, rng: Generator) -> None:
    guest = host.guests[PV]
    guest.run(accesses, rng)
    assert guest.workload.reads + guest.workload.writes == accesses


def test_no_two_pages_hold_the_same_word_at_first(host: Hypervisor) -> None:
    words = np.concatenate([guest.workload.words for guest in host.guests.values()])
    assert len(np.unique(words)) == 512


def test_a_suspended_guest_does_nothing(host: Hypervisor, rng: Generator) -> None:
    guest = host.guests[PV]
    guest.domain.state = DomainState.SUSPENDED
    guest.run(1000, rng)
    assert guest.workload.reads + guest.workload.writes == 0


@pytest.mark.parametrize("domid", [HVM, PV])
def test_a_page_that_changed_under_a_guest_is_noticed(host: Hypervisor, domid: DomId) -> None:
    guest = host.guests[domid]
    host.memory.scrub(guest.domain.p2m[:1])
    assert guest.verify() > 0


def test_a_corruption_is_counted_when_the_guest_reads_it(host: Hypervisor, rng: Generator) -> None:
    guest = host.guests[HVM]
    host.memory.scrub(guest.domain.p2m)
    guest.run(1000, rng)
    assert guest.workload.corruptions > 0


def test_verifying_changes_nothing(host: Hypervisor) -> None:
    guest = host.guests[HVM]
    host.memory.scrub(guest.domain.p2m)
    assert (guest.verify(), guest.workload.reads, guest.workload.corruptions) == (256, 0, 0)


def test_a_workload_keeps_to_its_working_set(host: Hypervisor, rng: Generator) -> None:
    guest = host.guests[HVM]
    guest.workload.working_set_pages = 4
    guest.run(1000, rng)
    assert np.array_equal(guest.workload.words[4:], new_workload(HVM, 256).words[4:])


def test_an_hvm_guest_follows_a_move_without_being_told(host: Hypervisor, rng: Generator) -> None:
    guest = moved(host, HVM, GFNS)
    guest.run(5000, rng)
    assert (guest.workload.corruptions, guest.verify()) == (0, 0)


def test_a_pv_guest_that_was_not_told_of_a_move_corrupts_itself(
    host: Hypervisor, rng: Generator
) -> None:
    guest = moved(host, PV, GFNS)
    guest.run(5000, rng)
    assert guest.workload.corruptions > 0


def test_a_stale_mapping_does_no_harm_before_something_is_written(host: Hypervisor) -> None:
    """The old frame still holds the old word, and the old word is still right."""
    assert moved(host, PV, GFNS).verify() == 0


def test_a_stale_mapping_writes_to_the_old_frame(host: Hypervisor, rng: Generator) -> None:
    old = host.domains[PV].p2m[GFNS].copy()
    before = host.memory.read(old)
    moved(host, PV, GFNS).run(5000, rng)
    assert (host.memory.read(old) != before).any()


def test_a_pv_guest_that_reads_its_p2m_again_is_well(host: Hypervisor, rng: Generator) -> None:
    guest = moved(host, PV, GFNS)
    guest.reread_p2m()
    guest.run(5000, rng)
    assert (guest.workload.corruptions, guest.verify()) == (0, 0)


def test_what_was_lost_stays_lost_after_the_p2m_was_read_again(
    host: Hypervisor, rng: Generator
) -> None:
    guest = moved(host, PV, GFNS)
    guest.run(5000, rng)
    guest.reread_p2m()
    assert guest.verify() > 0


def test_the_first_page_of_a_guest_is_page_zero(host: Hypervisor) -> None:
    mfn = host.domains[PV].p2m[Gfn(0)]
    assert host.table.gfn_of(mfn) == Gfn(0)
