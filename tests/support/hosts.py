"""Small hosts with just the guests that a test is about, and what is done to them again and again.

Guests are domains 1, 2, … in the order in which they are named, from frame 0 upward; no Xen and no
dom0 have frames.
"""

from collections.abc import Iterable

import numpy as np

from agent.contract.columns import I64
from agent.contract.frames import DomId, Gfn, Mfn
from agent.contract.toolstack import GuestKind, Paging
from emulator.machine.content import Content
from emulator.xen.defects import MENDED, Defects
from emulator.xen.domains import NO_FRAME, Domain
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import GuestSpec, Layout

FIRST, SECOND = DomId(1), DomId(2)

# 600 pages need two L1s, and so five tables in all, which are the last pages.
PV = GuestSpec("db", GuestKind.PV, 600)
HVM = GuestSpec("web", GuestKind.HVM, 1200)
SHADOWED = GuestSpec("old", GuestKind.HVM, 600, paging=Paging.SHADOW)

PLAIN, L1, L2, L3, L4 = Gfn(5), Gfn(595), Gfn(597), Gfn(598), Gfn(599)


def host_of(
    *guests: GuestSpec, frames: int = 4096, nodes: int = 1, defects: Defects = MENDED
) -> Hypervisor:
    return Hypervisor(Layout(frames, 0, 0, guests, nodes=nodes), Content(frames), defects)


def frames_of(domain: Domain, gfns: Iterable[int]) -> I64:
    frames: I64 = domain.p2m[np.array(list(gfns), np.int64)]
    return frames


def frame_of(domain: Domain, gfn: int) -> Mfn:
    return Mfn(int(domain.p2m[gfn]))


def pend(host: Hypervisor, domid: DomId, *gfns: int) -> I64:
    """Mark the frames behind these pages, which they are."""
    mfns = frames_of(host.domains[domid], gfns)
    host.page_offline_pending(mfns.tolist())
    return mfns


def mark(host: Hypervisor, domid: DomId, gfn: int) -> Mfn:
    """The same for one page."""
    return Mfn(int(pend(host, domid, gfn)[0]))


def fill(host: Hypervisor) -> None:
    """Offline every free page, so that there is room for nothing."""
    free = host.table.free_within(0, host.table.frames).tolist()
    for first in range(0, len(free), 1024):
        host.page_offline_pending(free[first : first + 1024])


def holes(domain: Domain) -> list[int]:
    """The pages that the domain does not have."""
    missing: list[int] = np.flatnonzero(domain.p2m == NO_FRAME).tolist()
    return missing
