"""A guest apart from where it lives: what is kept of it, and that it fits elsewhere."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.random import Generator

from agent.contract.frames import Gfn
from agent.contract.toolstack import GuestKind
from emulator.xen.beings import localised
from emulator.xen.domains import Domain
from emulator.xen.guests import Guest
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import GuestSpec
from emulator.xen.pagetables import attributes_of, frames_of, is_present, walk
from tests.support.hosts import FIRST, HVM, L1, L4, PLAIN, PV, SECOND, frame_of, holes, host_of

SPECIAL = GuestSpec("web", GuestKind.HVM, 64, cow_pages=4, pod_pages=8, pool_pages=2, state_pages=1)


def again(host: Hypervisor) -> Guest:
    """The first guest, captured, destroyed and made anew."""
    domain = host.domains[FIRST]
    being = host.captured(domain)
    host.destroy(domain)
    born = host.create(being)
    assert born is not None
    return host.guests[born.domid]


def entries(host: Hypervisor, domain: Domain) -> list[int]:
    assert domain.tables is not None
    found: list[int] = attributes_of(walk(host.memory, domain.tables, domain.root)).tolist()
    return found


@pytest.mark.parametrize("spec", [PV, HVM, SPECIAL])
def test_a_guest_goes_on_elsewhere_with_all_it_had(spec: GuestSpec, rng: Generator) -> None:
    host = host_of(spec)
    host.guests[FIRST].run(5000, rng)
    guest = again(host)
    guest.run(5000, rng)
    workload = guest.workload
    assert (workload.corruptions, workload.faults, workload.reads + workload.writes) == (
        0,
        0,
        10_000,
    )
    assert host.check() == []


def test_the_attributes_of_a_guests_mappings_travel_with_it() -> None:
    """Those too that it did not set when it began."""
    host = host_of(PV)
    domain = host.domains[FIRST]
    at = domain.p2m[[L1]]
    tables = host.memory.tables(at)
    tables[0, PLAIN] ^= np.uint64(1 << 10)
    host.memory.write_tables(at, tables)
    before = entries(host, domain)
    assert entries(host, again(host).domain) == before


def test_canonical_tables_name_the_guests_own_pages() -> None:
    host = host_of(PV)
    being = host.captured(host.domains[FIRST])
    assert being.tables is not None
    assert frames_of(being.tables[0]).tolist() == list(range(512))


def test_localised_tables_name_the_frames_of_a_p2m() -> None:
    host = host_of(PV)
    being = host.captured(host.domains[FIRST])
    assert being.tables is not None
    p2m = np.arange(PV.pages)[::-1]
    assert frames_of(localised(being.tables, p2m)[0]).tolist() == p2m[:512].tolist()


def test_pins_travel_too() -> None:
    host = host_of(PV)
    host.domains[FIRST].pinned.add(L1)
    assert again(host).domain.pinned == {L1, L4}


@pytest.mark.parametrize("spec", [PV, SPECIAL])
def test_holes_stay_holes(spec: GuestSpec) -> None:
    host = host_of(spec)
    before = holes(host.domains[FIRST])
    host.balloon_out(host.domains[FIRST], np.array([5, 6]))
    guest = again(host)
    assert (holes(guest.domain), guest.verify(), host.check()) == ([5, 6, *before], 0, [])


def test_what_was_on_demand_is_on_demand_with_as_many_frames_waiting() -> None:
    host = host_of(SPECIAL)
    host.touch(host.domains[FIRST], np.array([60]), writing=False)
    domain = again(host).domain
    assert (np.flatnonzero(domain.on_demand).tolist(), len(domain.pod_cache)) == (
        [56, 57, 58, 59, 61, 62, 63],
        7,
    )


def test_what_was_shared_is_the_guests_own() -> None:
    host = host_of(SPECIAL, replace(SPECIAL, name="too"))
    guest = again(host)
    assert not guest.domain.is_shared.any()
    assert (guest.verify(), len(host.sharing.frames)) == (0, 4)


def test_a_mapping_that_leads_to_another_guests_page_is_not_kept() -> None:
    """It has the number of a page there, but is none of this guest's."""
    host = host_of(PV, replace(PV, name="too"))
    domain = host.domains[FIRST]
    at = domain.p2m[[L1]]
    tables = host.memory.tables(at)
    alien = int(frame_of(host.domains[SECOND], 9))
    tables[0, PLAIN] = np.uint64(alien << 12 | 7)
    host.memory.write_tables(at, tables)
    guest = again(host)
    assert guest.translation.find(np.array([PLAIN])).frames.tolist() == [-1]


def test_a_captured_guest_does_not_change_with_the_one_that_runs_on(rng: Generator) -> None:
    host = host_of(HVM)
    being = host.captured(host.domains[FIRST])
    before = being.words.tolist()
    host.guests[FIRST].run(5000, rng)
    assert being.words.tolist() == before


def test_rings_that_the_guest_gave_up_are_mapped_no_more() -> None:
    host = host_of(replace(PV, ring_pages=2))
    ring = Gfn(PV.usable - 1)
    host.balloon_out(host.domains[FIRST], np.array([ring]))
    domain = again(host).domain
    mapped = {int(mfn) for mfn in host.table.references.mapped}
    assert mapped == {int(domain.p2m[ring - 1])}


@pytest.mark.parametrize(
    ("spec", "pages", "frames"), [(PV, 600, 600), (SPECIAL, 52, 67), (HVM, 1200, 1200)]
)
def test_a_newborn_says_how_many_frames_it_needs(spec: GuestSpec, pages: int, frames: int) -> None:
    being = host_of().newborn(spec)
    assert (being.pages, being.frames_needed) == (pages, frames)


def test_a_newborn_has_no_tables_yet_and_a_captured_guest_has() -> None:
    host = host_of(PV)
    tables = host.captured(host.domains[FIRST]).tables
    assert tables is not None
    assert is_present(tables).any()
    assert host.newborn(PV).tables is None
