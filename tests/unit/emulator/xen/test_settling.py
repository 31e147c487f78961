"""Moving in: who gets which frames, and what comes with them."""

from dataclasses import replace

import numpy as np
import pytest

from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PageUse
from agent.contract.toolstack import GuestKind, Paging
from emulator.machine.content import Content
from emulator.xen.domains import Domain
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import GuestSpec, Layout
from emulator.xen.pages import PageKind, Place
from emulator.xen.settling import own_frames
from tests.support.hosts import FIRST, HVM, L1, L4, PV, SECOND, frame_of, holes, host_of

ALL = GuestSpec(
    "web",
    GuestKind.HVM,
    64,
    shared_pages=1,
    pool_pages=2,
    state_pages=3,
    pod_pages=4,
    cow_pages=5,
)


def kinds(host: Hypervisor, domain: Domain) -> dict[PageKind, int]:
    counted: dict[PageKind, int] = {}
    for mfn in map(Mfn, host.table.owned(domain.domid).tolist()):
        kind = host.table.kind_of(mfn)
        counted[kind] = counted.get(kind, 0) + 1
    return counted


BESIDE = {
    PageKind.HVM: 55,
    PageKind.SHARED_INFO: 1,
    PageKind.PAGING_POOL: 2,
    PageKind.HVM_STATE: 3,
    PageKind.POD_CACHE: 4,
}


def test_a_guest_has_all_kinds_of_frames_that_its_spec_names() -> None:
    host = host_of(ALL)
    assert (kinds(host, host.domains[FIRST]), len(host.sharing.frames)) == (BESIDE, 5)


def test_a_new_domain_is_furnished_in_the_same_way() -> None:
    host = host_of(ALL)
    born = host.create(host.newborn(replace(ALL, name="too")))
    assert born is not None
    assert (kinds(host, born), host.check()) == (BESIDE, [])


def test_own_frames_are_all_that_the_table_says_are_its_own() -> None:
    host = host_of(ALL, PV)
    for domain in host.domains.values():
        assert np.sort(own_frames(domain)).tolist() == host.table.owned(domain.domid).tolist()


def test_whoever_is_there_at_the_start_is_seated_from_the_bottom() -> None:
    host = host_of(HVM, PV)
    assert host.table.free_within(0, 1800).tolist() == []


def test_who_comes_later_gets_the_high_memory_first() -> None:
    host = host_of(HVM)
    born = host.create(host.newborn(PV))
    assert born is not None
    assert int(born.p2m.min()) >= 2048


def test_a_pv_guests_tables_are_tables_in_the_frame_table() -> None:
    host = host_of(PV)
    domain = host.domains[FIRST]
    uses = [host.table.use_of(frame_of(domain, gfn)) for gfn in (L1 - 1, L1, L4)]
    assert uses == [PageUse.PV, PageUse.PAGE_TABLE, PageUse.PAGE_TABLE]


def test_of_a_new_pv_guest_the_root_is_pinned() -> None:
    assert host_of(PV).domains[FIRST].pinned == {L4}


@pytest.mark.parametrize(
    ("spec", "paging"),
    [(PV, Paging.PV), (HVM, Paging.HAP), (replace(HVM, paging=Paging.SHADOW), Paging.SHADOW)],
)
def test_a_domain_has_the_paging_of_its_kind(spec: GuestSpec, paging: Paging) -> None:
    assert host_of(spec).domains[FIRST].paging is paging


def test_on_demand_and_shared_pages_take_nothing_from_the_guests_own() -> None:
    host = host_of(ALL)
    domain = host.domains[FIRST]
    assert (holes(domain), np.flatnonzero(domain.is_shared).tolist()) == (
        [60, 61, 62, 63],
        [55, 56, 57, 58, 59],
    )


def test_frames_that_guests_must_own_are_theirs_before_anybody_is_seated() -> None:
    spec = replace(HVM, pages=4, at=(Mfn(0), Mfn(3)))
    host = host_of(replace(PV, pages=8), spec)
    assert host.domains[SECOND].p2m.tolist() == [0, 3, 10, 11]


def test_places_are_kept_and_the_others_go_round_them() -> None:
    layout = Layout(64, 2, 2, (GuestSpec("web", GuestKind.HVM, 2),), (Place(PageKind.LOW, 1, 2),))
    host = Hypervisor(layout, Content(64))
    uses = [host.table.use_of(Mfn(mfn)) for mfn in range(8)]
    assert uses == [PageUse.XEN_HEAP] * 4 + [PageUse.DOM0] * 2 + [PageUse.HVM] * 2


def test_devices_of_the_layout_are_attached_from_the_start() -> None:
    host = host_of(replace(HVM, devices=("nic0", "gpu"), buffer_pages=2))
    assert (host.domains[FIRST].devices, sorted(host.devices)) == (("nic0", "gpu"), ["gpu", "nic0"])


def test_guests_may_have_all_of_a_host() -> None:
    host = host_of(
        GuestSpec("all", GuestKind.HVM, 12, at=tuple(map(Mfn, range(4, 16)))),
        GuestSpec("few", GuestKind.HVM, 4),
        frames=16,
    )
    assert (host.domains[DomId(2)].p2m.tolist(), host.host.free) == ([0, 1, 2, 3], 0)
