"""A guest apart from where it lives: what an image holds, and what travels to another host.

Page tables name frames, and those are others elsewhere. So they are kept canonical: with the
guest's own numbers in the place of the host's, and all attributes as they were.
"""

from dataclasses import dataclass, replace

import numpy as np

from agent.contract.columns import I64, U64, Bools
from agent.contract.frames import DomId, Gfn
from emulator.machine.content import Content
from emulator.xen import pagetables
from emulator.xen.domains import NO_FRAME, Domain
from emulator.xen.frametable import FrameTable
from emulator.xen.guests import Workload, new_workload
from emulator.xen.layout import GuestSpec


@dataclass(frozen=True, slots=True, eq=False)
class Being:
    """`words[gfn]` is what page `gfn` holds, if it `has` that page with a frame of its own. Others
    get one `on_demand`, or are shared (`is_cow`), or were given up. `tables` are canonical, or None
    for a guest that has not begun and will write its own.
    """

    spec: GuestSpec
    words: U64
    has: Bools
    workload: Workload
    on_demand: Bools
    is_cow: Bools
    pod_frames: int = 0
    tables: U64 | None = None
    pinned: frozenset[Gfn] = frozenset()

    @property
    def pages(self) -> int:
        """How many pages of its memory need a frame of their own."""
        return int(np.count_nonzero(self.has))

    @property
    def frames_needed(self) -> int:
        """How many frames it takes at most; fewer if others share its pages already."""
        cows = int(np.count_nonzero(self.is_cow))
        return self.pages + cows + self.pod_frames + self.spec.frames_beside


def newborn(spec: GuestSpec, domid: DomId) -> Being:
    """A guest that boots for the first time, as domain `domid`."""
    workload = new_workload(domid, spec.pages, spec.working_set)
    on_demand, is_cow = np.zeros((2, spec.pages), np.bool_)
    on_demand[spec.pages - spec.pod_pages :] = True
    is_cow[list(spec.cows)] = True
    workload.words[on_demand | is_cow] = 0
    has = ~(on_demand | is_cow)
    return Being(spec, workload.words, has, workload, on_demand, is_cow, spec.pod_pages)


def captured(
    domain: Domain, spec: GuestSpec, workload: Workload, memory: Content, table: FrameTable
) -> Being:
    """The guest of this domain as it is now. What it shared it will have for itself.

    A broken page does not travel: the stream announces it without data, and who takes the guest in
    neither fills nor marks that place (xc_set_broken_page_p2m has no caller since migration v2). So
    there is no page there, and the guest faults when it looks for it.
    """
    has = (domain.p2m != NO_FRAME) & table.are_whole(domain.p2m)
    words = np.zeros(len(has), np.uint64)
    words[has] = memory.read(domain.p2m[has])
    tables = None if domain.tables is None else memory.tables(domain.table_frames)
    return Being(
        replace(spec, at=()),
        words,
        has,
        workload,
        domain.on_demand.copy(),
        np.zeros(len(has), np.bool_),
        len(domain.pod_cache),
        None if tables is None else _canonical(tables, domain.p2m, table),
        frozenset(domain.pinned),
    )


def frames_needed(domain: Domain, spec: GuestSpec, table: FrameTable) -> int:
    """How many frames the being that is captured of this domain takes."""
    memory = np.count_nonzero((domain.p2m != NO_FRAME) & table.are_whole(domain.p2m))
    return int(memory) + len(domain.pod_cache) + spec.frames_beside


def _canonical(entries: U64, p2m: I64, table: FrameTable) -> U64:
    """The entries with the guest's page numbers; what leads to no page of it leads nowhere."""
    frames = np.where(pagetables.is_present(entries), pagetables.frames_of(entries), 0)
    gfns = table.gfns_of(frames)
    its_own = pagetables.is_present(entries) & (gfns >= 0) & (gfns < len(p2m))
    its_own &= p2m[np.where(its_own, gfns, 0)] == frames
    gfns = np.where(its_own, gfns, NO_FRAME)
    return pagetables.entries_of(gfns, pagetables.attributes_of(entries))


def localised(entries: U64, p2m: I64) -> U64:
    """Canonical entries with the frames of this p2m."""
    present = pagetables.is_present(entries)
    gfns = np.where(present, pagetables.frames_of(entries), 0)
    frames = np.where(present, p2m[gfns], NO_FRAME)
    return pagetables.entries_of(frames, pagetables.attributes_of(entries))
