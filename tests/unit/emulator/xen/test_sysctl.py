"""Real Xen's call: its limits, and what it leaves of a guest or a host that it brought down."""

import pytest

from agent.contract.frames import Mfn
from agent.contract.hypercall import (
    Errno,
    SysctlCommand,
    SysctlReply,
)
from emulator.xen.defects import MENDED, Down, HostDown
from emulator.xen.pages import PageKind
from emulator.xen.sysctl import WORDS_MAX, Caller
from emulator.xen.words import decode_query
from tests.support.xen import GOLDEN, ON_SMALL, PV_GUEST, SMALL, Xen

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


def test_a_crashed_guest_runs_no_more_and_keeps_its_pages(xen: Xen) -> None:
    xen.break_page(PV)
    xen.offline(PV)
    assert not xen.host.domains[PV_GUEST].is_running
    assert decode_query(xen.query(PV).words[0]) == 0x18


def test_a_host_that_is_down_answers_nothing_any_more(xen: Xen) -> None:
    down = xen.call(OFFLINE, 0, 0xFFFFFFFF)
    assert xen.call(QUERY, FREE) is down
