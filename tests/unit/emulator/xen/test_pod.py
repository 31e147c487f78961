"""Populate on demand: pages that come when they are touched, and a cache that bad frames leave."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.random import Generator

from agent.contract.frames import Mfn
from agent.contract.hypercall import PageStatus, PageUse
from agent.contract.toolstack import GuestKind
from emulator.xen.domains import Domain
from emulator.xen.frametable import FrameState
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import GuestSpec
from emulator.xen.pages import PageKind
from tests.support.hosts import FIRST, SECOND, fill, holes, host_of

LAZY = GuestSpec("web", GuestKind.HVM, 64, pod_pages=8)  # its pages 56 to 63


def cache_of(domain: Domain) -> list[Mfn]:
    return list(map(Mfn, domain.pod_cache.tolist()))


@pytest.fixture
def host() -> Hypervisor:
    """Of two nodes; the guest is on the first one."""
    return host_of(LAZY, frames=256, nodes=2)


@pytest.fixture
def domain(host: Hypervisor) -> Domain:
    return host.domains[FIRST]


def touch(host: Hypervisor, *gfns: int, writing: bool = False) -> None:
    host.touch(host.domains[FIRST], np.array(gfns), writing)


def offline_rest_of_node_0(host: Hypervisor) -> None:
    """All that is free on the node of the cache."""
    host.page_offline_pending(host.table.free_within(0, 128).tolist())


def test_a_page_that_nobody_touched_has_no_frame(host: Hypervisor, domain: Domain) -> None:
    assert (holes(domain), len(domain.pod_cache), host.check()) == (list(range(56, 64)), 8, [])


def test_a_touched_page_gets_a_frame_from_the_cache(host: Hypervisor, domain: Domain) -> None:
    waiting = cache_of(domain)
    touch(host, 60)
    assert int(domain.p2m[60]) in waiting
    assert (len(domain.pod_cache), host.check()) == (7, [])


def test_a_page_comes_zeroed(host: Hypervisor, domain: Domain) -> None:
    host.memory.write(domain.pod_cache, np.arange(8, dtype=np.uint64) + np.uint64(1))
    touch(host, *range(56, 64))
    assert (host.guests[FIRST].verify(), len(domain.pod_cache)) == (0, 0)


def test_a_page_that_is_touched_twice_gets_one_frame(host: Hypervisor, domain: Domain) -> None:
    touch(host, 60, 60)
    touch(host, 60)
    assert len(domain.pod_cache) == 7


def test_what_is_not_on_demand_gets_nothing(host: Hypervisor, domain: Domain) -> None:
    touch(host, 1, writing=True)
    assert len(domain.pod_cache) == 8


def test_a_guest_that_uses_all_of_its_memory_has_it_in_the_end(
    host: Hypervisor, domain: Domain, rng: Generator
) -> None:
    guest = host.guests[FIRST]
    guest.run(5000, rng)
    assert (holes(domain), guest.workload.corruptions, guest.workload.faults) == ([], 0, 0)


def test_a_frame_of_the_cache_leaves_at_once(host: Hypervisor, domain: Domain) -> None:
    (page,) = host.page_offline_pending(cache_of(domain)[:1]).pages
    assert (page.status, page.use) == (PageStatus.OFFLINED, PageUse.FREE)


def test_another_frame_of_its_node_takes_its_place(host: Hypervisor, domain: Domain) -> None:
    marked = cache_of(domain)[:2]
    host.page_offline_pending(marked)
    assert (len(domain.pod_cache), bool((domain.pod_cache < 128).all())) == (8, True)
    assert (set(marked) & set(cache_of(domain)), host.check()) == (set(), [])


def test_what_takes_its_place_waits_as_it_did(host: Hypervisor, domain: Domain) -> None:
    host.page_offline_pending(cache_of(domain))
    assert {host.table.kind_of(mfn) for mfn in cache_of(domain)} == {PageKind.POD_CACHE}


def test_without_another_of_its_node_the_cache_is_one_smaller(
    host: Hypervisor, domain: Domain
) -> None:
    """The other node has free frames, and they are not taken."""
    offline_rest_of_node_0(host)
    free, marked = host.host.free, cache_of(domain)[0]
    host.page_offline_pending([marked])
    assert (len(domain.pod_cache), host.host.free) == (7, free)
    assert host.table.state_of(marked) is FrameState.OFFLINED


def test_without_any_other_the_cache_is_one_smaller(host: Hypervisor, domain: Domain) -> None:
    fill(host)
    host.page_offline_pending(cache_of(domain)[:1])
    assert (len(domain.pod_cache), host.check()) == (7, [])


def test_what_others_claim_takes_nobodys_place(host: Hypervisor, domain: Domain) -> None:
    host.table.claims.stake(SECOND, host.host.free, host.host.free)
    host.page_offline_pending(cache_of(domain)[:1])
    assert len(domain.pod_cache) == 7


def test_the_guest_does_not_notice_that_its_cache_is_smaller(
    host: Hypervisor, domain: Domain, rng: Generator
) -> None:
    fill(host)
    host.page_offline_pending(cache_of(domain)[:1])
    guest = host.guests[FIRST]
    gfns = rng.permutation(np.arange(56, 63))  # all but one: it balloons, as such guests do
    host.touch(domain, gfns, writing=True)
    assert (guest.verify(), guest.workload.faults, len(domain.pod_cache)) == (0, 0, 0)


def test_a_guest_that_wants_more_than_there_is_faults(
    host: Hypervisor, domain: Domain, rng: Generator
) -> None:
    fill(host)
    host.page_offline_pending(cache_of(domain)[:1])
    guest = host.guests[FIRST]
    guest.run(5000, rng)
    assert (len(holes(domain)), guest.workload.faults > 0) == (1, True)


def test_each_domain_has_a_cache_of_its_own() -> None:
    host = host_of(LAZY, replace(LAZY, name="too"))
    first, second = host.domains.values()
    host.page_offline_pending(cache_of(second)[:3])
    touch(host, *range(56, 64))
    assert (len(first.pod_cache), len(second.pod_cache), host.check()) == (0, 8, [])


def test_the_cache_is_freed_with_its_domain(host: Hypervisor, domain: Domain) -> None:
    host.destroy(domain)
    assert (host.host.free, host.check()) == (256, [])
