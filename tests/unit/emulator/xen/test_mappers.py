"""Whoever maps a guest's page: what he sees, and how long he holds it."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.random import Generator

from agent.contract.frames import DOM0, DomId, Gfn
from agent.contract.toolstack import DomainState, GuestKind
from emulator.xen.frametable import FrameState
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import GuestSpec
from tests.support.hosts import FIRST, PLAIN, PV, SECOND, fill, frame_of, holes, host_of, mark, pend

TOOL = DomId(7)
SPEC = replace(PV, ring_pages=2)
SPECIAL = GuestSpec("web", GuestKind.HVM, 64, cow_pages=1, pod_pages=2)


@pytest.fixture
def host() -> Hypervisor:
    return host_of(SPEC)


def mappers(host: Hypervisor, gfn: int) -> tuple[DomId, ...]:
    return host.table.references.mappers(frame_of(host.domains[FIRST], gfn))


def corruptions(host: Hypervisor, rng: Generator) -> int:
    host.work(rng)
    return host.guests[FIRST].workload.corruptions


def test_dom0_maps_a_guests_rings_and_nothing_else(host: Hypervisor) -> None:
    mapped = [gfn for gfn in range(SPEC.pages) if mappers(host, gfn)]
    assert (mapped, mappers(host, mapped[0])) == (list(SPEC.rings), (DOM0,))


def test_a_query_names_who_maps_a_page(host: Hypervisor) -> None:
    host.map_page(TOOL, host.domains[FIRST], PLAIN)
    (page,) = host.page_query([frame_of(host.domains[FIRST], PLAIN)]).pages
    assert page.mappers == (TOOL,)


def test_a_mapper_sees_what_the_guest_writes(host: Hypervisor, rng: Generator) -> None:
    host.guests[FIRST].run(5000, rng)
    assert corruptions(host, rng) == 0


def test_a_mapper_that_was_left_at_the_old_frame_does_not(host: Hypervisor, rng: Generator) -> None:
    host.map_page(TOOL, host.domains[FIRST], PLAIN)
    host.move(host.domains[FIRST], pend(host, FIRST, PLAIN))
    guest = host.guests[FIRST]
    guest.reread_p2m()
    before = corruptions(host, rng)
    guest.run(20_000, rng)
    assert (before, corruptions(host, rng) > 0) == (0, True)


def test_a_mapper_of_a_page_that_was_given_up_misses_nothing(
    host: Hypervisor, rng: Generator
) -> None:
    host.map_page(TOOL, host.domains[FIRST], PLAIN)
    host.memory.write(host.domains[FIRST].p2m[[PLAIN]], np.array([1], np.uint64))
    host.balloon_out(host.domains[FIRST], np.array([PLAIN]))
    assert corruptions(host, rng) == 0


def test_a_page_that_was_given_up_leaves_when_its_mapper_has_let_go(host: Hypervisor) -> None:
    mfn = mark(host, FIRST, PLAIN)
    host.map_page(TOOL, host.domains[FIRST], PLAIN)
    host.balloon_out(host.domains[FIRST], np.array([PLAIN]))
    between = host.table.state_of(mfn)
    host.unmap_page(TOOL, mfn)
    after = host.table.state_of(mfn)
    assert (between, after, host.check()) == (FrameState.OFFLINING, FrameState.OFFLINED, [])


def test_a_page_that_was_given_up_is_none_of_the_guests_although_it_is_mapped(
    host: Hypervisor,
) -> None:
    mfn = frame_of(host.domains[FIRST], PLAIN)
    host.map_page(TOOL, host.domains[FIRST], PLAIN)
    host.balloon_out(host.domains[FIRST], np.array([PLAIN]))
    assert (host.table.gfn_of(mfn), host.table.owner_of(mfn)) == (None, FIRST)


def test_nobody_lets_go_of_what_he_does_not_map(host: Hypervisor) -> None:
    with pytest.raises(ValueError, match="domain 7 does not map frame 0x5"):
        host.unmap_page(TOOL, frame_of(host.domains[FIRST], PLAIN))


def test_backends_let_go_when_their_guest_is_gone(host: Hypervisor) -> None:
    host.destroy(host.domains[FIRST])
    assert (host.dying, host.host.in_use, host.check()) == ({}, 0, [])


def test_a_domain_of_which_a_tool_maps_a_page_is_dying(host: Hypervisor) -> None:
    domain = host.domains[FIRST]
    mfn = frame_of(domain, PLAIN)
    host.map_page(TOOL, domain, PLAIN, stays=True)
    host.destroy(domain)
    assert (domain.state, list(host.dying), host.host.in_use) == (DomainState.DYING, [FIRST], 1)
    assert (host.table.holder_of(mfn), host.check()) == (FIRST, [])


def test_a_dying_domain_has_the_pages_that_are_still_mapped(host: Hypervisor) -> None:
    domain = host.domains[FIRST]
    for gfn in (PLAIN, Gfn(6)):
        host.map_page(TOOL, domain, gfn, stays=True)
    mfn = frame_of(domain, PLAIN)
    host.destroy(domain)
    before = domain.info().pages
    host.unmap_page(TOOL, mfn)
    assert (before, domain.info().pages) == (2, 1)


def test_a_dying_domain_is_gone_when_the_last_mapping_is(host: Hypervisor) -> None:
    domain = host.domains[FIRST]
    mfn = frame_of(domain, PLAIN)
    host.map_page(TOOL, domain, PLAIN, stays=True)
    host.map_page(DOM0, domain, PLAIN, stays=True)
    host.destroy(domain)
    host.unmap_page(TOOL, mfn)
    between = list(host.dying)
    host.unmap_page(DOM0, mfn)
    assert (between, host.dying, host.host.in_use) == ([FIRST], {}, 0)


def test_a_tool_that_looks_at_a_dying_domain_misses_nothing(
    host: Hypervisor, rng: Generator
) -> None:
    host.map_page(TOOL, host.domains[FIRST], PLAIN, stays=True)
    guest = host.guests[FIRST]
    host.destroy(host.domains[FIRST])
    host.work(rng)
    assert guest.workload.corruptions == 0


def test_a_page_on_demand_that_is_mapped_is_there_from_then_on() -> None:
    host = host_of(SPECIAL)
    host.map_page(TOOL, host.domains[FIRST], Gfn(63))
    assert (holes(host.domains[FIRST]), mappers(host, 63)) == ([62], (TOOL,))


def test_a_shared_page_that_is_mapped_is_the_guests_own_from_then_on() -> None:
    host = host_of(SPECIAL)
    domain = host.domains[FIRST]
    host.map_page(TOOL, domain, Gfn(SPECIAL.cows[0]))
    assert not domain.is_shared.any()
    assert host.check() == []


def test_a_shared_page_cannot_be_mapped_without_room() -> None:
    host = host_of(SPECIAL)
    fill(host)
    with pytest.raises(ValueError, match="has no page 0x3d of its own"):
        host.map_page(TOOL, host.domains[FIRST], Gfn(SPECIAL.cows[0]))


def test_a_page_that_was_given_up_cannot_be_mapped(host: Hypervisor) -> None:
    host.balloon_out(host.domains[FIRST], np.array([PLAIN]))
    with pytest.raises(ValueError, match="domain 1 has no page 0x5 of its own"):
        host.map_page(TOOL, host.domains[FIRST], PLAIN)


def test_a_guest_that_maps_lets_go_when_it_is_gone() -> None:
    host = host_of(PV, replace(SPECIAL, name="tool"))
    host.map_page(SECOND, host.domains[FIRST], PLAIN)
    host.destroy(host.domains[SECOND])
    assert mappers(host, PLAIN) == ()


@pytest.mark.parametrize(("state", "sees"), [(DomainState.RUNNING, 1), (DomainState.SUSPENDED, 0)])
def test_a_guest_that_maps_looks_while_it_runs(
    rng: Generator, state: DomainState, sees: int
) -> None:
    host = host_of(PV, replace(SPECIAL, name="tool"))
    host.map_page(SECOND, host.domains[FIRST], PLAIN)
    host.domains[SECOND].state = state
    host.memory.write(np.array([frame_of(host.domains[FIRST], PLAIN)]), np.zeros(1, np.uint64))
    assert corruptions(host, rng) == sees
