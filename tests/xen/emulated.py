"""The table's kinds on the emulated Xen: which of its layouts has such a frame, and where."""

from collections.abc import Iterable, Mapping

from agent.contract.frames import Mfn
from agent.contract.toolstack import GuestKind
from emulator.xen.layout import GuestSpec, Layout
from emulator.xen.pages import PageKind
from tests.support.xen import GOLDEN, GOLDEN_3_GIB, ON_SMALL, SMALL, Xen
from tests.xen.table import Answer, Case, answers

HOST = "emulated"
WITH_PVH = Layout(
    0x2000, 0, 0, (GuestSpec("lives", GuestKind.PVH, 64, tuple(map(Mfn, range(0x800, 0x840)))),)
)
PLACES: Mapping[str, tuple[Layout, int]] = {
    "free": (GOLDEN, 0x10C18),
    "dom0": (GOLDEN, 0x4BEBA),
    "guest": (GOLDEN, 0x20005),
    "guest L1": (GOLDEN, 0x2003C),
    "guest L2": (GOLDEN, 0x2003D),
    "guest L3": (GOLDEN, 0x2003E),
    "guest L4": (GOLDEN, 0x2003F),
    "guest ring": (GOLDEN, 0x20000),
    "xen heap": (SMALL, ON_SMALL[PageKind.XEN_HEAP]),
    "m2p": (GOLDEN_3_GIB, 0xB8E00),
    "low": (GOLDEN, 0),
    "owner-less": (GOLDEN, 0x7A53A),
    "xen image": (GOLDEN, 0x7FA50),
    "reserved": (GOLDEN, 0xA0),
    "beyond": (GOLDEN, 0xFEE00),
    "pvh": (WITH_PVH, 0x820),
    "pvh first": (WITH_PVH, 0x800),
    "four free": (GOLDEN, 0x10C00),
    "free then dom0": (GOLDEN, 0x3FFFE),
    "dom0 then image": (GOLDEN, 0x7F9FF),
    "low then reserved": (GOLDEN, 0x9D),
    "last": (GOLDEN, 0x7FFDA),
}


def asked(case: Case) -> tuple[Answer, ...]:
    """The emulated Xen's answers to a case, on a host of its own."""
    layout, mfn = PLACES[case.kind]
    xen = Xen(layout)

    def call(command: int, first: int, last: int) -> Answer:
        reply = xen.ask(command, first, last)
        return Answer(reply.errno.name if reply.errno else "", reply.words)

    return answers(case, mfn, call)


def asked_all(cases: Iterable[Case]) -> dict[str, tuple[Answer, ...]]:
    return {case.title: asked(case) for case in cases}
