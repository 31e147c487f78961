"""Whoever maps a guest's pages comes and goes at the time that was said."""

import numpy as np
import pytest

from agent.contract.frames import DOM0, DomId
from agent.contract.toolstack import GuestKind
from emulator.machine.content import Content
from emulator.scenario import MappingSettings
from emulator.visits import Visits
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import GuestSpec, Layout

RNG = np.random.default_rng(8412)
DB = DomId(1)


@pytest.fixture
def host() -> Hypervisor:
    layout = Layout(1024, 16, 64, (GuestSpec("db", GuestKind.PV, 128, ring_pages=1),))
    return Hypervisor(layout, Content(layout.frames))


def mapped(host: Hypervisor) -> int:
    """How many pages dom0 maps, apart from the ring that it maps anyway."""
    return len(host.table.references.mapped) - 1


def visit(**more: object) -> Visits:
    return Visits([MappingSettings.model_validate({"guest": "db", "at_seconds": 1.0, **more})])


@pytest.mark.parametrize(("now", "pages"), [(0.9, 0), (1.0, 3), (5.9, 3), (6.0, 0)])
def test_a_visit_lasts_from_its_beginning_to_its_end(
    host: Hypervisor, now: float, pages: int
) -> None:
    visits = visit(pages=3, seconds=5.0)
    for step in (min(now, 1.0), now):
        visits.step(host, step, RNG)
    assert mapped(host) == pages


def test_a_visit_without_an_end_lasts_as_long_as_its_guest(host: Hypervisor) -> None:
    visit().step(host, 1.0, RNG)
    host.destroy(host.domains[DB])
    assert (host.table.references.mapped, host.dying) == (set(), {})


def test_a_visit_that_outlives_its_guest_keeps_the_page(host: Hypervisor) -> None:
    visit(outlives_guest=True).step(host, 1.0, RNG)
    host.destroy(host.domains[DB])
    (mfn,) = host.table.references.lingering
    assert host.table.references.mappers(mfn) == (DOM0,)


def test_a_visit_that_ends_after_its_guest_frees_the_page(host: Hypervisor) -> None:
    visits = visit(outlives_guest=True, seconds=5.0)
    visits.step(host, 1.0, RNG)
    host.destroy(host.domains[DB])
    visits.step(host, 6.0, RNG)
    assert (host.table.references.lingering, host.dying) == (set(), {})


def test_a_visit_waits_for_its_guest(host: Hypervisor) -> None:
    being = host.captured(host.domains[DB])
    host.destroy(host.domains[DB])
    visits = visit()
    visits.step(host, 1.0, RNG)
    host.create(being)
    visits.step(host, 2.0, RNG)
    assert mapped(host) == 1


def test_a_ring_is_never_visited(host: Hypervisor) -> None:
    visit(pages=1024).step(host, 1.0, RNG)
    of_each = [mapping.mfn for mapping in host.mappers.mappings]
    assert len(of_each) == len(set(of_each)) == host.specs[DB].usable


def test_after_a_reboot_nothing_of_before_ends(host: Hypervisor) -> None:
    visits = visit(seconds=5.0)
    visits.step(host, 1.0, RNG)
    visits.forget()
    visits.step(host, 6.0, RNG)
    assert mapped(host) == 1


def test_a_visit_ends_its_own_mapping_and_not_a_later_one_of_the_same_frame() -> None:
    layout = Layout(700, 16, 16, (GuestSpec("db", GuestKind.HVM, 600),))
    host = Hypervisor(layout, Content(layout.frames))
    visits = visit(seconds=5.0)
    visits.step(host, 1.0, RNG)
    (first,) = host.mappers.mappings
    host.unmap_page(DOM0, first.mfn)
    host.map_page(DOM0, host.domains[DB], first.gfn)
    visits.step(host, 6.0, RNG)
    assert host.table.references.mappers(first.mfn) == (DOM0,)


def test_another_guest_can_be_who_maps_and_is_waited_for(host: Hypervisor) -> None:
    visits = visit(by="tool")
    visits.step(host, 1.0, RNG)
    assert mapped(host) == 0
    host.create(host.newborn(GuestSpec("tool", GuestKind.HVM, 64)))
    visits.step(host, 2.0, RNG)
    assert [mapping.mapper for mapping in host.mappers.mappings] == [DOM0, DomId(2)]
