"""The check of a host: each thing that can be wrong is told, and by its own sentence."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from agent.contract.frames import DOM0, DomId, Mfn
from agent.contract.toolstack import GuestKind
from emulator.xen.domains import NO_FRAME
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import GuestSpec
from emulator.xen.pages import PageKind
from emulator.xen.pagetables import NO_EXECUTE, WRITABLE, link
from tests.support.hosts import FIRST, HVM, L1, L4, PLAIN, PV, SECOND, SHADOWED, host_of

GFN = np.array([PLAIN])
FULL = GuestSpec(
    "full", GuestKind.HVM, 64, shared_pages=1, pool_pages=1, state_pages=1, pod_pages=1, cow_pages=1
)


def forget_m2p(host: Hypervisor) -> None:
    host.table.unmap(host.domains[FIRST].p2m[GFN])


def leak(host: Hypervisor) -> None:
    host.domains[FIRST].pool = host.domains[FIRST].pool[:0]


def lose_type(host: Hypervisor) -> None:
    host.table.retype(host.domains[SECOND].p2m[[L1]], PageKind.PV)


def leave_shadow(host: Hypervisor) -> None:
    domain = host.domains[DomId(3)]
    domain.p2m[[3, 4]] = domain.p2m[[4, 3]]
    host.table.map(domain.p2m[[3, 4]], np.array([3, 4]))


def lose_bit(host: Hypervisor, bit: int) -> None:
    at = host.domains[SECOND].p2m[[L1]]
    entries = host.memory.tables(at)
    entries[0, PLAIN] ^= np.uint64(bit)
    host.memory.write_tables(at, entries)


def lose_writable(host: Hypervisor) -> None:
    lose_bit(host, WRITABLE)


def lose_attribute(host: Hypervisor) -> None:
    lose_bit(host, NO_EXECUTE)


def keep_mapping(host: Hypervisor) -> None:
    domain = host.domains[SECOND]
    mfn = domain.p2m[GFN].copy()
    host.balloon_out(domain, GFN)
    p2m = domain.p2m.copy()
    p2m[GFN] = mfn
    assert domain.tables is not None
    link(host.memory, domain.tables, p2m, GFN)


def leave_tables(host: Hypervisor) -> None:
    domain = host.domains[SECOND]
    domain.p2m[[3, 4]] = domain.p2m[[4, 3]]
    host.table.map(domain.p2m[[3, 4]], np.array([3, 4]))


def unpin(host: Hypervisor) -> None:
    host.domains[SECOND].pinned.remove(L4)


def free_while_mapped(host: Hypervisor) -> None:
    host.table.references.map(Mfn(4000), DOM0)


def linger_for_nobody(host: Hypervisor) -> None:
    domain = host.domains[FIRST]
    mfn = int(domain.p2m[PLAIN])
    host.map_page(DOM0, domain, PLAIN)
    host.balloon_out(domain, GFN)
    del host.table.references._mappers[Mfn(mfn)]


def die_for_nobody(host: Hypervisor) -> None:
    domain = host.domains[FIRST]
    host.destroy(domain)
    host.dying[FIRST] = domain


def hold_when_gone(host: Hypervisor) -> None:
    del host.domains[FIRST], host.guests[FIRST]


WRONGS: tuple[tuple[Callable[[Hypervisor], None], str], ...] = (
    (forget_m2p, "domain 1 finds another page behind one of its frames"),
    (leak, "domain 1 does not have just the frames that it should"),
    (lose_type, "domain 2 has memory of another kind than its own"),
    (leave_shadow, "domain 3 is led elsewhere than its p2m says"),
    (lose_writable, "domain 2 may not write where it should"),
    (lose_attribute, "domain 2 has lost attributes of a mapping"),
    (keep_mapping, "domain 2 maps a page that it gave up"),
    (leave_tables, "domain 2 maps another frame than its p2m has"),
    (unpin, "domain 2 has a root that is not pinned"),
    (free_while_mapped, "frame 0xfa0 is mapped and yet free"),
    (linger_for_nobody, "frame 0x5 lingers and nobody maps it"),
    (die_for_nobody, "domain 1 is dying and nobody maps a page of it"),
    (hold_when_gone, "domain 1 is gone and still holds frames"),
)


@pytest.fixture
def host() -> Hypervisor:
    return host_of(FULL, PV, SHADOWED)


@pytest.mark.parametrize(("spoil", "sentence"), WRONGS, ids=[s.__name__ for s, _ in WRONGS])
def test_what_is_wrong_is_told(
    host: Hypervisor, spoil: Callable[[Hypervisor], None], sentence: str
) -> None:
    before = host.check()
    spoil(host)
    assert (before, sentence in host.check()) == ([], True)


def test_a_large_entry_that_was_not_told_of_a_move_is_noticed() -> None:
    host = host_of(HVM)
    domain = host.domains[FIRST]
    mfns = host.heap.take(1, domain.tenant)
    assert mfns is not None
    host.table.release(domain.p2m[GFN])
    domain.p2m[GFN] = mfns
    host.table.map(mfns, GFN)
    assert host.check() == ["domain 1 is led elsewhere than its p2m says"]


def test_what_lingers_is_nobodys_fault(host: Hypervisor) -> None:
    domain = host.domains[FIRST]
    host.map_page(DOM0, domain, PLAIN)
    host.balloon_out(domain, GFN)
    assert (domain.p2m[PLAIN], host.check()) == (NO_FRAME, [])


def test_a_guest_that_may_not_write_to_what_it_shares_is_sound() -> None:
    assert host_of(FULL, replace(FULL, name="too")).check() == []
