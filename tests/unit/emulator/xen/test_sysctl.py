"""Real Xen's call: its limits, whom it crashes, and its defects, as in Xen 4.17 and mended."""

import pytest

from agent.contract.frames import DomId, Gfn, Mfn
from agent.contract.hypercall import (
    Errno,
    SysctlCommand,
    SysctlReply,
)
from emulator.xen.defects import MENDED, Down, HostDown
from emulator.xen.pages import PageKind
from emulator.xen.sysctl import WORDS_MAX, Caller
from emulator.xen.words import decode_query
from tests.support.xen import GOLDEN, HVM_GUEST, ON_SMALL, PV_GUEST, SMALL, Xen

OFFLINE, ONLINE, QUERY = SysctlCommand
CPU_0, CPU_1, GUEST = Caller(cpu=0), Caller(cpu=1), Caller(is_privileged=False)

FREE = ON_SMALL[PageKind.FREE]
DOM0 = ON_SMALL[PageKind.DOM0]
PV = ON_SMALL[PageKind.PV]
HVM = ON_SMALL[PageKind.HVM]
HOLE = ON_SMALL[PageKind.NOT_RAM]
IMAGE = ON_SMALL[PageKind.XEN_IMAGE]
ANONYMOUS = ON_SMALL[PageKind.ANONYMOUS]

LAST_LOW = Mfn(0x9E)


@pytest.fixture
def xen() -> Xen:
    return Xen()


@pytest.fixture
def mended() -> Xen:
    return Xen(SMALL, MENDED)


def failed(errno: Errno) -> SysctlReply:
    return SysctlReply(ret=-1, errno=errno)


def crashed(answer: SysctlReply | HostDown) -> bool:
    return isinstance(answer, HostDown) and answer.kind is Down.CRASHED


def hung(answer: SysctlReply | HostDown) -> bool:
    return isinstance(answer, HostDown) and answer.kind is Down.HUNG


def test_a_range_with_more_words_than_xen_can_allocate_is_refused() -> None:
    xen = Xen(GOLDEN)
    assert xen.query(0x40000, 0x40000 + WORDS_MAX) == failed(Errno.ENOMEM)
    assert len(xen.query(0x40000, 0x40000 + WORDS_MAX - 1).words) == WORDS_MAX


@pytest.mark.parametrize(
    ("kind", "domid"),
    [
        (PageKind.PV, PV_GUEST),
        (PageKind.PAGE_TABLE, PV_GUEST),
        (PageKind.SHARED_INFO, PV_GUEST),
        (PageKind.HVM, HVM_GUEST),
    ],
)
def test_invariant_35_a_domains_pending_pages_are_offlined_when_it_is_destroyed(
    xen: Xen, kind: PageKind, domid: DomId
) -> None:
    xen.offline(ON_SMALL[kind])
    xen.host.destroy(xen.host.domains[domid])
    assert xen.query(ON_SMALL[kind]).words == (2,)


def test_invariant_35_all_pages_of_a_domain_can_leave_with_it(xen: Xen) -> None:
    domain = xen.host.domains[PV_GUEST]
    xen.offline(0x300, 0x33F)
    xen.host.destroy(domain)
    assert xen.query(0x300, 0x33F).words == (2,) * 64
    assert xen.host.check() == []


def test_invariant_44_asking_again_about_a_broken_page_crashes_its_owner(xen: Xen) -> None:
    xen.break_page(PV)
    reply = xen.offline(PV)
    assert (reply.ret, reply.words) == (0, (0x10,))
    assert xen.host.domains[PV_GUEST].has_crashed


def test_invariant_44_a_query_of_a_broken_page_harms_nobody(xen: Xen) -> None:
    xen.break_page(PV)
    assert xen.query(PV).words == (0x18,)
    assert not xen.host.domains[PV_GUEST].has_crashed


def test_invariant_44_dom0_takes_the_host_with_it(xen: Xen) -> None:
    xen.break_page(DOM0)
    assert crashed(xen.call(OFFLINE, DOM0))


@pytest.mark.parametrize("kind", [PageKind.LOW, PageKind.M2P, PageKind.COW])
def test_invariant_44_an_owner_that_is_no_domain_cannot_be_crashed(
    xen: Xen, kind: PageKind
) -> None:
    xen.break_page(ON_SMALL[kind])
    assert xen.offline(ON_SMALL[kind]).words == (0x10,)


@pytest.mark.parametrize("mfn", [PV, DOM0])
def test_invariant_44_once_mended_it_is_only_reported(mended: Xen, mfn: Mfn) -> None:
    mended.break_page(mfn)
    assert mended.offline(mfn).words == (0x10,)
    assert not any(domain.has_crashed for domain in mended.host.domains.values())


def test_invariant_44_in_the_design_asking_again_harms_nobody(xen: Xen) -> None:
    xen.break_page(PV)
    xen.host.page_offline_pending([PV])
    assert not xen.host.domains[PV_GUEST].has_crashed


def test_a_crashed_guest_runs_no_more_and_keeps_its_pages(xen: Xen) -> None:
    xen.break_page(PV)
    xen.offline(PV)
    assert not xen.host.domains[PV_GUEST].is_running
    assert decode_query(xen.query(PV).words[0]) == 0x18


def test_a_page_of_a_dying_domain_is_answered_like_a_living_ones(xen: Xen) -> None:
    """Dom0 maps it, so that it is not freed yet; and its owner cannot be crashed any more."""
    domain = xen.host.domains[PV_GUEST]
    xen.host.map_page(DomId(0), domain, Gfn(5), stays=True)
    xen.host.destroy(domain)
    assert xen.offline(PV).words == (0x11004,)
    xen.break_page(PV)
    assert xen.offline(PV).words == (0x10,)


@pytest.mark.parametrize("mfn", [PV, DOM0, ON_SMALL[PageKind.SHARED_INFO]])
def test_defect_7_after_a_first_request_from_cpu_0_the_second_hangs_the_host(
    xen: Xen, mfn: Mfn
) -> None:
    first = xen.call(OFFLINE, mfn, caller=CPU_0)
    assert isinstance(first, SysctlReply)
    assert hung(xen.call(OFFLINE, mfn, caller=CPU_1))


def test_defect_7_a_first_request_from_another_cpu_repairs_the_lock(xen: Xen) -> None:
    for caller in (CPU_1, CPU_0, CPU_0):
        assert isinstance(xen.call(OFFLINE, PV, caller=caller), SysctlReply)


def test_defect_7_each_domain_has_a_lock_of_its_own(xen: Xen) -> None:
    xen.call(OFFLINE, PV, caller=CPU_0)
    assert isinstance(xen.call(OFFLINE, DOM0, caller=CPU_0), SysctlReply)


@pytest.mark.parametrize("mfn", [HVM, FREE, ANONYMOUS, Mfn(0x50), ON_SMALL[PageKind.M2P]])
def test_defect_7_only_pages_of_pv_domains_have_it(xen: Xen, mfn: Mfn) -> None:
    xen.call(OFFLINE, mfn, caller=CPU_0)
    assert isinstance(xen.call(OFFLINE, mfn, caller=CPU_0), SysctlReply)


def test_defect_7_once_mended_the_second_request_from_cpu_0_is_answered(mended: Xen) -> None:
    mended.call(OFFLINE, PV, caller=CPU_0)
    assert isinstance(mended.call(OFFLINE, PV, caller=CPU_0), SysctlReply)


def test_a_host_that_is_down_answers_nothing_any_more(xen: Xen) -> None:
    down = xen.call(OFFLINE, 0, 0xFFFFFFFF)
    assert xen.call(QUERY, FREE) is down
