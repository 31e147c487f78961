"""Domains and the pages they hold: invariants 35 to 45, by their numbers.

What is not said to be otherwise holds for both: real Xen 4.17, and a host whose defects are mended.
"""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.random import Generator

from agent.contract.frames import DOM0 as DOMAIN_0
from agent.contract.frames import DomId, Gfn, Mfn
from agent.contract.hypercall import SysctlCommand, SysctlReply
from agent.contract.toolstack import GuestKind, ToolOutcome
from emulator.xen.defects import MENDED, XEN_4_17, Down, HostDown
from emulator.xen.frametable import FrameState
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.machinecheck import Fate, Handled, MachineCheck, Severity
from emulator.xen.moving import Move, Step, Trip
from emulator.xen.pages import PageKind
from emulator.xen.sysctl import Caller
from emulator.xen.toolstack import Toolstack
from tests.support.banks import bank
from tests.support.hosts import fill
from tests.support.xen import HVM_GUEST, ON_SMALL, PV_GUEST, SMALL, Xen

OFFLINE = SysctlCommand.OFFLINE
CPU_0, CPU_1 = Caller(cpu=0), Caller(cpu=1)

FREE = ON_SMALL[PageKind.FREE]
DOM0 = ON_SMALL[PageKind.DOM0]
PV = ON_SMALL[PageKind.PV]
HVM = ON_SMALL[PageKind.HVM]
CACHED = ON_SMALL[PageKind.POD_CACHE]
SHARED = ON_SMALL[PageKind.COW]
POOL = ON_SMALL[PageKind.PAGING_POOL]
TABLES = tuple(map(Mfn, range(0x33C, 0x340)))  # L1 to L4

PENDING, OFFLINED = 8, 2  # answers to a query


@pytest.fixture(params=[XEN_4_17, MENDED], ids=["xen-4.17", "mended"])
def either(request: pytest.FixtureRequest) -> Xen:
    return Xen(SMALL, request.param)


@pytest.fixture
def rng() -> Generator:
    return np.random.default_rng(8412)


def marked(xen: Xen, mfn: Mfn) -> Mfn:
    xen.offline(mfn)
    return mfn


def stands(xen: Xen, mfn: int) -> int:
    return int(xen.query(mfn).words[0])


def gfn_of(xen: Xen, mfn: Mfn) -> Gfn:
    gfn = xen.host.table.gfn_of(mfn)
    assert gfn is not None
    return gfn


def held(xen: Xen, mfn: Mfn, mapper: DomId = DOMAIN_0, *, stays: bool = True) -> None:
    """`mapper` maps this page of whose it is."""
    domain = xen.host.domains[xen.host.table.holder_of(mfn)]
    xen.host.map_page(mapper, domain, gfn_of(xen, mfn), stays=stays)


def crashed(answer: SysctlReply | HostDown) -> bool:
    return isinstance(answer, HostDown) and answer.kind is Down.CRASHED


def hung(answer: SysctlReply | HostDown) -> bool:
    return isinstance(answer, HostDown) and answer.kind is Down.HUNG


@pytest.mark.parametrize(
    ("mfn", "domid"),
    [
        (PV, PV_GUEST),
        *((table, PV_GUEST) for table in TABLES),
        (ON_SMALL[PageKind.SHARED_INFO], PV_GUEST),
        (HVM, HVM_GUEST),
        (POOL, HVM_GUEST),
        (ON_SMALL[PageKind.HVM_STATE], HVM_GUEST),
    ],
)
def test_invariant_35_a_domains_pending_pages_are_offlined_when_it_is_destroyed(
    either: Xen, mfn: Mfn, domid: DomId
) -> None:
    marked(either, mfn)
    either.host.destroy(either.host.domains[domid])
    assert stands(either, mfn) == OFFLINED


@pytest.mark.parametrize("mfn", TABLES)
@pytest.mark.parametrize("is_pinned", [True, False])
def test_invariant_35_page_tables_leave_pinned_or_not(
    either: Xen, mfn: Mfn, *, is_pinned: bool
) -> None:
    domain = either.host.domains[PV_GUEST]
    domain.pinned = {gfn_of(either, mfn)} if is_pinned else set()
    marked(either, mfn)
    either.host.destroy(domain)
    assert stands(either, mfn) == OFFLINED


@pytest.mark.parametrize("mfn", [PV, HVM])
def test_invariant_35_rings_leave_too_because_backends_let_go(either: Xen, mfn: Mfn) -> None:
    held(either, marked(either, mfn), stays=False)
    either.host.destroy(either.host.domains[either.host.table.holder_of(mfn)])
    assert stands(either, mfn) == OFFLINED


def test_invariant_35_all_pages_of_a_domain_can_leave_with_it(either: Xen) -> None:
    either.offline(0x300, 0x33F)
    either.host.destroy(either.host.domains[PV_GUEST])
    assert either.query(0x300, 0x33F).words == (OFFLINED,) * 64
    assert either.host.check() == []


@pytest.mark.parametrize("mfn", [PV, HVM])
def test_invariant_36_a_mapped_page_is_offlined_after_the_last_mapping_goes(
    either: Xen, mfn: Mfn
) -> None:
    for mapper in (DOMAIN_0, DomId(7)):
        held(either, mfn, mapper)
    marked(either, mfn)
    either.host.balloon_out(
        either.host.domains[either.host.table.holder_of(mfn)], np.array([gfn_of(either, mfn)])
    )
    states = [stands(either, mfn)]
    for mapper in (DOMAIN_0, DomId(7)):
        either.host.unmap_page(mapper, mfn)
        states.append(stands(either, mfn))
    assert states == [PENDING, PENDING, OFFLINED]


@pytest.mark.parametrize("mfn", [PV, HVM, *TABLES])
def test_invariant_36_even_if_the_owner_has_died_first(either: Xen, mfn: Mfn) -> None:
    held(either, marked(either, mfn))
    either.host.destroy(either.host.domains[either.host.table.holder_of(mfn)])
    before = stands(either, mfn)
    either.host.unmap_page(DOMAIN_0, mfn)
    assert (before, stands(either, mfn), either.host.dying) == (PENDING, OFFLINED, {})


def test_invariant_36_no_new_guest_gets_it_before(either: Xen) -> None:
    held(either, marked(either, PV))
    either.host.destroy(either.host.domains[PV_GUEST])
    tools = Toolstack(either.host)
    tools.create("new", GuestKind.HVM, either.host.host.free)
    assert PV not in either.host.domains[DomId(3)].p2m


def test_invariant_37_a_new_guest_has_none_of_the_retired_frames(either: Xen) -> None:
    retired = [*range(0x300, 0x340, 2), *range(0x400, 0x500, 3)]
    for mfn in retired:
        either.offline(mfn)
    either.host.destroy(either.host.domains[PV_GUEST])
    Toolstack(either.host).create("new", GuestKind.HVM, either.host.host.free)
    assert not set(retired) & set(either.host.domains[DomId(3)].p2m.tolist())
    assert {stands(either, mfn) for mfn in retired} == {OFFLINED}


def test_invariant_38_a_translated_guests_page_stays_pending_while_the_guest_stays(
    either: Xen, rng: Generator
) -> None:
    marked(either, HVM)
    tools = Toolstack(either.host)
    tools.suspend(HVM_GUEST)
    tools.resume(HVM_GUEST)
    either.host.guests[HVM_GUEST].run(1000, rng)
    assert stands(either, HVM) == PENDING


def ballooned(tools: Toolstack) -> ToolOutcome:
    return tools.balloon(HVM_GUEST, [HVM]).outcome


def destroyed(tools: Toolstack) -> ToolOutcome:
    return tools.destroy(HVM_GUEST).outcome


def migrated(tools: Toolstack) -> ToolOutcome:
    return tools.migrate(HVM_GUEST).outcome


def rebooted(tools: Toolstack) -> ToolOutcome:
    return tools.reboot(HVM_GUEST).outcome


def saved(tools: Toolstack) -> ToolOutcome:
    return tools.save(HVM_GUEST, "a").outcome


@pytest.mark.parametrize("gone", [ballooned, destroyed, migrated, rebooted, saved])
def test_invariant_38_it_is_offlined_when_it_is_freed(
    either: Xen, gone: Callable[[Toolstack], ToolOutcome]
) -> None:
    marked(either, HVM)
    assert gone(Toolstack(either.host)) is ToolOutcome.DONE
    assert stands(either, HVM) == OFFLINED


@pytest.mark.parametrize("mfn", [PV, HVM])
def test_invariant_39_ballooning_retires_a_page_at_once_and_the_guest_goes_on(
    either: Xen, mfn: Mfn, rng: Generator
) -> None:
    marked(either, mfn)
    guest = either.host.guests[either.host.table.holder_of(mfn)]
    Toolstack(either.host).balloon(guest.domain.domid, [mfn])
    guest.run(5000, rng)
    assert (stands(either, mfn), guest.workload.corruptions, guest.verify()) == (OFFLINED, 0, 0)


def test_invariant_40_a_page_of_a_cache_is_replaced(either: Xen) -> None:
    domain = either.host.domains[HVM_GUEST]
    before = len(domain.pod_cache)
    assert either.offline(CACHED).words == (2,)
    assert (stands(either, CACHED), len(domain.pod_cache)) == (OFFLINED, before)
    assert CACHED not in domain.pod_cache


def test_invariant_40_without_a_spare_page_the_cache_is_one_smaller(either: Xen) -> None:
    domain = either.host.domains[HVM_GUEST]
    before = len(domain.pod_cache)
    fill(either.host)
    assert either.offline(CACHED).words == (2,)
    assert (stands(either, CACHED), len(domain.pod_cache)) == (OFFLINED, before - 1)


@pytest.mark.parametrize("is_there_a_spare", [True, False])
def test_invariant_40_the_guest_does_not_notice(
    either: Xen, rng: Generator, *, is_there_a_spare: bool
) -> None:
    if not is_there_a_spare:
        fill(either.host)
    marked(either, CACHED)
    guest = either.host.guests[HVM_GUEST]
    guest.run(5000, rng)
    assert (guest.workload.corruptions, guest.workload.faults, guest.verify()) == (0, 0, 0)


def test_invariant_41_a_shared_page_belongs_to_the_domain_of_shared_memory(either: Xen) -> None:
    assert either.offline(SHARED).words == (0x7FF31004,)


def sharing_error(xen: Xen) -> Handled | HostDown:
    return MachineCheck(xen.host, xen.op).handle(bank(Severity.SRAO, SHARED))


def test_invariant_41_an_error_in_a_shared_page_kills_the_host(xen: Xen) -> None:
    done = sharing_error(xen)
    assert isinstance(done, HostDown)
    assert done.kind is Down.CRASHED


def test_invariant_41_once_mended_the_host_lives(mended: Xen) -> None:
    done = sharing_error(mended)
    assert isinstance(done, Handled)
    assert (done.fate, stands(mended, SHARED)) == (Fate.UNCHANGED, PENDING | 0x10)


def test_invariant_42_a_marked_page_of_a_pool_goes_back_into_it_and_is_used_again(
    xen: Xen,
) -> None:
    domain = xen.host.domains[HVM_GUEST]
    marked(xen, POOL)
    xen.host.drop_shadows(domain)
    assert (stands(xen, POOL), POOL in domain.pool) == (PENDING, True)


def test_invariant_42_once_mended_it_leaves_with_the_pool(mended: Xen) -> None:
    domain = mended.host.domains[HVM_GUEST]
    marked(mended, POOL)
    mended.host.drop_shadows(domain)
    assert (stands(mended, POOL), POOL in domain.pool) == (OFFLINED, False)


def test_invariant_42_once_mended_it_is_never_in_a_pool_again(mended: Xen) -> None:
    marked(mended, POOL)
    tools = Toolstack(mended.host)
    mended.host.drop_shadows(mended.host.domains[HVM_GUEST])
    for _ in range(3):
        for domid in list(mended.host.domains):
            tools.reboot(domid)
    pools = np.concatenate([domain.pool for domain in mended.host.domains.values()])
    assert (stands(mended, POOL), POOL in pools) == (OFFLINED, False)


def transferred(host: Hypervisor) -> None:
    assert host.transfer(PV, host.domains[HVM_GUEST])


def exchanged_in_vain(host: Hypervisor) -> None:
    domain = host.domains[PV_GUEST]
    assert host.move(domain, np.array([PV]), Trip(Step.REMAP)) is Move.UNDONE


def taken_and_assigned(host: Hypervisor) -> None:
    """As if it was marked after it was allocated, and before it was given to its domain."""
    domain, gfn = host.domains[PV_GUEST], np.array([host.table.gfn_of(PV)])
    host.table.assign(domain.p2m[gfn], domain.tenant)


WAYS = (transferred, exchanged_in_vain, taken_and_assigned)


@pytest.mark.parametrize("way", WAYS)
def test_invariant_43_a_page_that_is_assigned_is_not_offlining_any_more(
    xen: Xen, way: Callable[[Hypervisor], None]
) -> None:
    marked(xen, PV)
    way(xen.host)
    assert xen.host.table.state_of(PV) is FrameState.IN_USE


@pytest.mark.parametrize("way", WAYS)
def test_invariant_43_once_mended_it_still_is(
    mended: Xen, way: Callable[[Hypervisor], None]
) -> None:
    marked(mended, PV)
    way(mended.host)
    assert mended.host.table.state_of(PV) is FrameState.OFFLINING


@pytest.mark.parametrize("way", WAYS)
def test_invariant_43_once_mended_it_leaves_when_its_owner_has_gone(
    mended: Xen, way: Callable[[Hypervisor], None]
) -> None:
    marked(mended, PV)
    way(mended.host)
    mended.host.destroy(mended.host.domains[mended.host.table.holder_of(PV)])
    assert stands(mended, PV) == OFFLINED


def test_invariant_43_a_transfer_changes_the_owner_between_answer_and_act(either: Xen) -> None:
    first = either.offline(PV).words
    transferred(either.host)
    assert (first, either.offline(PV).words) == ((0x11004,), (0x21004,))


def test_invariant_43_neither_guest_notices_a_transfer(either: Xen, rng: Generator) -> None:
    marked(either, PV)
    transferred(either.host)
    for guest in either.host.guests.values():
        guest.run(5000, rng)
    assert [(g.workload.corruptions, g.verify()) for g in either.host.guests.values()] == [
        (0, 0),
        (0, 0),
    ]


def test_invariant_44_asking_again_about_a_broken_page_crashes_its_owner(xen: Xen) -> None:
    xen.break_page(PV)
    reply = xen.offline(PV)
    assert (reply.ret, reply.words) == (0, (0x10,))
    assert xen.host.domains[PV_GUEST].has_crashed


def test_invariant_44_a_query_of_a_broken_page_harms_nobody(either: Xen) -> None:
    either.break_page(PV)
    assert either.query(PV).words == (0x18,)
    assert not either.host.domains[PV_GUEST].has_crashed


def test_invariant_44_dom0_takes_the_host_with_it(xen: Xen) -> None:
    xen.break_page(DOM0)
    assert crashed(xen.call(OFFLINE, DOM0))


@pytest.mark.parametrize("kind", [PageKind.LOW, PageKind.M2P, PageKind.COW])
def test_invariant_44_an_owner_that_is_no_domain_cannot_be_crashed(
    either: Xen, kind: PageKind
) -> None:
    either.break_page(ON_SMALL[kind])
    assert either.offline(ON_SMALL[kind]).words == (0x10,)


@pytest.mark.parametrize("mfn", [PV, DOM0])
def test_invariant_44_once_mended_it_is_only_reported(mended: Xen, mfn: Mfn) -> None:
    mended.break_page(mfn)
    assert mended.offline(mfn).words == (0x10,)
    assert not any(domain.has_crashed for domain in mended.host.domains.values())


def test_invariant_44_in_the_design_asking_again_harms_nobody(either: Xen) -> None:
    either.break_page(PV)
    either.host.page_offline_pending([PV])
    assert not either.host.domains[PV_GUEST].has_crashed


@pytest.mark.parametrize("mfn", [PV, DOM0, ON_SMALL[PageKind.SHARED_INFO]])
def test_invariant_45_after_a_first_request_from_cpu_0_the_second_hangs_the_host(
    xen: Xen, mfn: Mfn
) -> None:
    first = xen.call(OFFLINE, mfn, caller=CPU_0)
    assert isinstance(first, SysctlReply)
    assert hung(xen.call(OFFLINE, mfn, caller=CPU_1))


def test_invariant_45_a_first_request_from_another_cpu_repairs_the_lock(xen: Xen) -> None:
    for caller in (CPU_1, CPU_0, CPU_0):
        assert isinstance(xen.call(OFFLINE, PV, caller=caller), SysctlReply)


def test_invariant_45_each_domain_has_a_lock_of_its_own(xen: Xen) -> None:
    xen.call(OFFLINE, PV, caller=CPU_0)
    assert isinstance(xen.call(OFFLINE, DOM0, caller=CPU_0), SysctlReply)


@pytest.mark.parametrize(
    "mfn", [HVM, FREE, ON_SMALL[PageKind.ANONYMOUS], Mfn(0x50), ON_SMALL[PageKind.M2P]]
)
def test_invariant_45_only_pages_of_pv_domains_have_it(xen: Xen, mfn: Mfn) -> None:
    xen.call(OFFLINE, mfn, caller=CPU_0)
    assert isinstance(xen.call(OFFLINE, mfn, caller=CPU_0), SysctlReply)


@pytest.mark.parametrize("mfn", [PV, DOM0])
def test_invariant_45_once_mended_the_second_request_from_cpu_0_is_answered(
    mended: Xen, mfn: Mfn
) -> None:
    first, second = (mended.call(OFFLINE, mfn, caller=CPU_0) for _ in range(2))
    assert first == second
    assert isinstance(second, SysctlReply)
