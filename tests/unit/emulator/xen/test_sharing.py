"""Memory sharing: one frame behind many pages, until somebody writes."""

import numpy as np
import pytest
from numpy.random import Generator

from agent.contract.frames import Mfn
from agent.contract.hypercall import PageStatus, PageUse
from agent.contract.toolstack import GuestKind
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import GuestSpec
from tests.support.hosts import FIRST, SECOND, fill, frames_of, host_of

ONE = GuestSpec("one", GuestKind.HVM, 64, cow_pages=4)
TWO = GuestSpec("two", GuestKind.HVM, 64, cow_pages=6)
COWS = tuple(ONE.cows)  # of both; TWO has two more


@pytest.fixture
def host() -> Hypervisor:
    return host_of(ONE, TWO, frames=256)


def write(host: Hypervisor, *gfns: int) -> None:
    host.touch(host.domains[FIRST], np.array(gfns), writing=True)


def test_guests_have_the_same_frames_behind_pages_that_hold_the_same(host: Hypervisor) -> None:
    one, two = (host.domains[domid] for domid in (FIRST, SECOND))
    shared = set(two.p2m[two.is_shared].tolist())
    assert set(one.p2m[one.is_shared].tolist()) < shared
    assert (len(shared), host.sharing.frames.tolist()) == (6, sorted(shared))


def test_a_shared_frame_belongs_to_no_guest(host: Hypervisor) -> None:
    mfn = Mfn(int(host.sharing.frames[0]))
    (page,) = host.page_query([mfn]).pages
    assert (page.use, page.owner, host.table.gfn_of(mfn)) == (PageUse.SHARED, None, None)


def test_guests_that_share_are_well(host: Hypervisor, rng: Generator) -> None:
    guests = list(host.guests.values())
    for guest in guests * 5:
        guest.run(1000, rng)
    assert [(g.workload.corruptions, g.workload.faults) for g in guests] == [(0, 0)] * 2
    assert host.check() == []


def test_reading_a_shared_page_leaves_it_shared(host: Hypervisor) -> None:
    host.touch(host.domains[FIRST], np.array(COWS), writing=False)
    assert host.domains[FIRST].is_shared.sum() == 4


def test_who_writes_gets_a_frame_of_its_own_with_the_same_content(host: Hypervisor) -> None:
    shared = frames_of(host.domains[FIRST], COWS[:1])
    host.memory.write(shared, np.array([77], np.uint64))
    write(host, COWS[0])
    own = frames_of(host.domains[FIRST], COWS[:1])
    assert (host.memory.read(own).tolist(), own.tolist() == shared.tolist()) == ([77], False)


def test_the_others_go_on_sharing(host: Hypervisor) -> None:
    before = host.domains[SECOND].p2m.tolist()
    write(host, *COWS)
    assert (host.domains[SECOND].p2m.tolist(), host.check()) == (before, [])


def test_who_writes_twice_to_a_page_gets_one_frame(host: Hypervisor) -> None:
    free = host.host.free
    write(host, COWS[0], COWS[0])
    write(host, COWS[0])
    assert host.host.free == free - 1


def test_a_frame_that_somebody_shares_is_not_freed(host: Hypervisor) -> None:
    write(host, *COWS)
    assert len(host.sharing.frames) == 6


def test_the_last_who_leaves_a_frame_frees_it(host: Hypervisor) -> None:
    write(host, *COWS)
    host.destroy(host.domains[SECOND])
    assert (host.sharing.frames.tolist(), host.host.in_use) == ([], 64)


def test_a_marked_frame_is_offlined_once_the_last_has_left(host: Hypervisor) -> None:
    mfn = int(frames_of(host.domains[FIRST], COWS[:1])[0])
    host.page_offline_pending([mfn])
    write(host, COWS[0])
    between = host.page_query([mfn]).pages[0].status
    host.destroy(host.domains[SECOND])
    after = host.page_query([mfn]).pages[0].status
    assert (between, after) == (PageStatus.OFFLINE_PENDING, PageStatus.OFFLINED)


def test_a_marked_frame_is_given_to_nobody_else(host: Hypervisor) -> None:
    marked = int(frames_of(host.domains[FIRST], COWS[:1])[0])
    host.page_offline_pending([marked])
    born = host.create(host.newborn(TWO))
    assert born is not None
    assert (born.is_shared.sum(), marked in born.p2m) == (6, False)


def test_without_room_a_write_is_a_fault_and_harms_nobody(host: Hypervisor) -> None:
    fill(host)
    write(host, *COWS)
    one = host.guests[FIRST]
    assert not one.translation.find(np.array(COWS)).writable.any()
    assert (one.verify(), host.guests[SECOND].verify(), host.check()) == (0, 0, [])


def test_without_room_a_guest_counts_its_faults(host: Hypervisor, rng: Generator) -> None:
    fill(host)
    host.guests[FIRST].run(1000, rng)
    workload = host.guests[FIRST].workload
    assert (workload.faults > 0, workload.corruptions) == (True, 0)


def test_with_room_for_some_none_is_unshared(host: Hypervisor) -> None:
    free = host.table.free_within(0, 256).tolist()
    host.page_offline_pending(free[:-2])
    write(host, *COWS)
    assert (host.domains[FIRST].is_shared.sum(), host.host.free) == (4, 2)


def test_a_page_that_left_an_entry_of_2_mib_is_found_where_it_is() -> None:
    host = host_of(GuestSpec("big", GuestKind.HVM, 600, cow_pages=4), frames=1024)
    guest = host.guests[FIRST]
    gfns = np.flatnonzero(guest.domain.is_shared)
    host.touch(guest.domain, gfns, writing=True)
    assert guest.translation.find(gfns).writable.all()
    assert host.check() == []
