"""The hypervisor: who lives where, and what it costs."""

import sys
from pathlib import Path

import numpy as np
import pytest

from agent.contract.columns import I64
from agent.contract.frames import FIRST_RESERVED_DOMID, DomId, Mfn
from agent.contract.hypercall import PageUse
from agent.contract.toolstack import DomainState, GuestKind
from emulator.machine.content import Content
from emulator.xen.beings import Being
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import GuestSpec, Layout

HUGE_FRAMES = 134_217_728  # 512 GiB


def built(layout: Layout) -> Hypervisor:
    return Hypervisor(layout, Content(layout.frames))


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def being_of(host: Hypervisor, domid: int) -> Being:
    return host.captured(host.domains[DomId(domid)])


def test_everybody_gets_the_frames_of_the_layout(host: Hypervisor) -> None:
    assert host.host.in_use == host.layout.frames_needed


def test_the_bookkeeping_holds_together_from_the_start(host: Hypervisor) -> None:
    assert host.check() == []


@pytest.mark.parametrize(
    ("mfn", "use"),
    [
        (63, PageUse.XEN_HEAP),
        (64, PageUse.DOM0),
        (320, PageUse.HVM),
        (576, PageUse.PV),
        (832, PageUse.FREE),
    ],
)
def test_tenants_lie_one_after_another(host: Hypervisor, mfn: Mfn, use: PageUse) -> None:
    assert host.table.use_of(mfn) is use


def test_guests_are_numbered_from_one_in_order(host: Hypervisor) -> None:
    assert [(d.domid, d.name) for d in host.domains.values()] == [(1, "web"), (2, "db")]


def test_a_guest_owns_the_frames_it_must_as_its_first_pages() -> None:
    """Even where Xen would have been: Xen moves aside."""
    spec = GuestSpec("web", GuestKind.HVM, 16, at=(Mfn(3), Mfn(60)))
    host = built(Layout(64, 8, 8, (spec,)))
    assert host.domains[DomId(1)].p2m[:2].tolist() == [3, 60]


def test_the_others_settle_round_the_frames_that_a_guest_must_own() -> None:
    spec = GuestSpec("web", GuestKind.HVM, 16, at=(Mfn(3), Mfn(60)))
    host = built(Layout(64, 8, 8, (spec,)))
    assert (host.check(), host.host.in_use) == ([], 32)


def test_a_memory_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="the layout has 64 frames, but the memory 32"):
        Hypervisor(Layout(64, 0, 0), Content(32))


def test_a_destroyed_domain_leaves_its_frames_free(host: Hypervisor) -> None:
    free = host.host.free
    host.destroy(host.domains[DomId(1)])
    assert host.host.free == free + 256


def test_the_guest_of_a_destroyed_domain_runs_no_more(host: Hypervisor) -> None:
    """Whoever still holds it would write into frames that are somebody else's by now."""
    guest = host.guests[DomId(1)]
    host.destroy(guest.domain)
    guest.run(100, np.random.default_rng(1))
    assert guest.workload.writes == 0


def test_a_domain_id_is_never_used_again(host: Hypervisor) -> None:
    being = being_of(host, 2)
    host.destroy(host.domains[DomId(2)])
    domain = host.create(being)
    assert domain is not None
    assert domain.domid == 3


def test_a_new_domain_runs(host: Hypervisor) -> None:
    domain = host.create(being_of(host, 1))
    assert domain is not None
    assert domain.state is DomainState.RUNNING


def test_domain_ids_end_where_the_reserved_ones_begin(host: Hypervisor) -> None:
    assert host.domids_left == FIRST_RESERVED_DOMID - 3


def test_a_domain_that_does_not_fit_is_none(host: Hypervisor) -> None:
    host.page_offline_pending(range(832, 832 + 3100))
    assert host.create(being_of(host, 1)) is None


def test_a_p2m_that_is_not_the_m2p_turned_round_is_noticed(host: Hypervisor) -> None:
    p2m: I64 = host.domains[DomId(1)].p2m
    p2m[:2] = p2m[1::-1].copy()
    assert "domain 1 finds another page behind one of its frames" in host.check()


def test_a_page_behind_which_lies_another_domains_frame_is_noticed(host: Hypervisor) -> None:
    host.domains[DomId(1)].p2m[5] = host.domains[DomId(2)].p2m[5]
    assert "domain 1 does not have just the frames that it should" in host.check()


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
def test_a_host_of_512_gib_is_small() -> None:
    """Its tables have 2 GiB of columns; only what its tenants touch is ever backed."""
    before = resident_mib()
    at = tuple(map(Mfn, range(1 << 21, HUGE_FRAMES, 1 << 16)))
    guests = (
        GuestSpec("scattered", GuestKind.PV, 16_384, at),
        *(GuestSpec(f"web-{n}", GuestKind.HVM, 16_384) for n in range(16)),
    )
    host = built(Layout(HUGE_FRAMES, 1 << 16, 1 << 20, guests))
    host.page_offline_pending(at[:1024])
    assert resident_mib() - before < 200
