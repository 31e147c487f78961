"""Hosts that have a frame of every kind, and real Xen's call on them.

`SMALL` has all kinds in 8 MiB. `GOLDEN` is the machine whose words were recorded: 2 GiB, 1 GiB of
it dom0's, and the frames that the record names are of the kinds that they were there.
"""

from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import SysctlCommand, SysctlReply, SysctlRequest
from agent.contract.toolstack import GuestKind
from emulator.machine.content import Content
from emulator.xen.defects import XEN_4_17, Defects, HostDown
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import GuestSpec, Layout
from emulator.xen.pages import PageKind, Place
from emulator.xen.sysctl import TOOL, Caller, PageOfflineOp

PV_GUEST, HVM_GUEST = DomId(1), DomId(2)


def _guests(pv_from: int, hvm_from: int) -> tuple[GuestSpec, ...]:
    """64 pages each; the PV guest's last four are page tables, L1 to L4. Of the HVM guest four more
    wait to be populated.
    """
    return (
        GuestSpec("db", GuestKind.PV, 64, _frames(pv_from), shared_pages=2),
        GuestSpec(
            "web",
            GuestKind.HVM,
            68,
            _frames(hvm_from),
            working_set_pages=64,
            pool_pages=2,
            state_pages=1,
            pod_pages=4,
        ),
    )


def _frames(first: int) -> tuple[Mfn, ...]:
    return tuple(map(Mfn, range(first, first + 64)))


_FIRST_MEBIBYTE = (Place(PageKind.LOW, 0, 0x9E), Place(PageKind.NOT_RAM, 0x9F, 0xFF))

SMALL = Layout(
    frames=0x800,
    xen_heap_frames=0,
    dom0_frames=0,
    guests=_guests(0x300, 0x340),
    places=(
        *_FIRST_MEBIBYTE,
        Place(PageKind.XEN_IMAGE, 0x100, 0x13F),
        Place(PageKind.XEN_HEAP, 0x140, 0x15F),
        Place(PageKind.M2P, 0x160, 0x17F),
        Place(PageKind.ANONYMOUS, 0x180, 0x18F),
        Place(PageKind.COW, 0x190, 0x19F),
        Place(PageKind.ABSENT, 0x1A0, 0x1AF),
        Place(PageKind.DOM0, 0x200, 0x2FF),
    ),
)

GOLDEN = Layout(
    frames=0x7FFDD,
    xen_heap_frames=0,
    dom0_frames=0,
    guests=_guests(0x20000, 0x20040),
    places=(
        *_FIRST_MEBIBYTE,
        Place(PageKind.DOM0, 0x100, 0x8FF),
        Place(PageKind.DOM0, 0x40000, 0x7A539),
        Place(PageKind.ANONYMOUS, 0x7A53A, 0x7A53A),
        Place(PageKind.DOM0, 0x7A53B, 0x7F7FF),
        Place(PageKind.DOM0, 0x7F9FF, 0x7F9FF),
        Place(PageKind.XEN_IMAGE, 0x7FA00, 0x7FC7F),
        Place(PageKind.ANONYMOUS, 0x7FFDA, 0x7FFDC),
    ),
)

# The M2P was recorded on a host of 3 GiB: frame b8e00 is beyond the end of the other.
GOLDEN_3_GIB = Layout(0xBFFDD, 0, 0, (), (*_FIRST_MEBIBYTE, Place(PageKind.M2P, 0xB8E00, 0xB8EFF)))

# One frame of each kind on `SMALL`. What goes with a guest are the first that were free.
ON_SMALL: dict[PageKind, Mfn] = {
    PageKind.FREE: Mfn(0x400),
    PageKind.XEN_HEAP: Mfn(0x150),
    PageKind.DOM0: Mfn(0x210),
    PageKind.HVM: Mfn(0x345),
    PageKind.PV: Mfn(0x305),
    PageKind.PAGE_TABLE: Mfn(0x33C),
    PageKind.SHARED_INFO: Mfn(0x1B0),
    PageKind.PAGING_POOL: Mfn(0x1B2),
    PageKind.HVM_STATE: Mfn(0x1B4),
    PageKind.POD_CACHE: Mfn(0x1B5),
    PageKind.XEN_IMAGE: Mfn(0x120),
    PageKind.M2P: Mfn(0x170),
    PageKind.LOW: Mfn(0x50),
    PageKind.ANONYMOUS: Mfn(0x185),
    PageKind.COW: Mfn(0x195),
    PageKind.NOT_RAM: Mfn(0xA0),
    PageKind.ABSENT: Mfn(0x1A5),
}


class Xen:
    """A host and its call. `ask` is for calls that must be answered."""

    def __init__(self, layout: Layout = SMALL, defects: Defects = XEN_4_17) -> None:
        self.host = Hypervisor(layout, Content(layout.frames), defects)
        self.op = PageOfflineOp(self.host)

    def call(
        self, cmd: int, start: int, end: int | None = None, caller: Caller = TOOL
    ) -> SysctlReply | HostDown:
        last = start if end is None else end
        return self.op.call(SysctlRequest(cmd=cmd, start=start, end=last), caller)

    def ask(self, cmd: int, start: int, end: int | None = None) -> SysctlReply:
        reply = self.call(cmd, start, end)
        assert isinstance(reply, SysctlReply), reply
        return reply

    def offline(self, start: int, end: int | None = None) -> SysctlReply:
        return self.ask(SysctlCommand.OFFLINE, start, end)

    def online(self, start: int, end: int | None = None) -> SysctlReply:
        return self.ask(SysctlCommand.ONLINE, start, end)

    def query(self, start: int, end: int | None = None) -> SysctlReply:
        return self.ask(SysctlCommand.QUERY, start, end)

    def break_page(self, mfn: Mfn) -> None:
        """An uncorrected error, and what the machine-check handler asks for then."""
        self.op.pages.offline(mfn, cpu=1, broken=True)
