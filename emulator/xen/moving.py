"""Moving a guest's pages to other frames, step by step: the swap for HVM, and every exchange.

    take       fresh frames, before anything is touched
    unpin      tables among the pages may not be pinned while they move
    copy       what is in the pages, before anything leads to the new frames
    retarget   every entry of the guest's page tables that names an old frame, attributes kept
    remap      the p2m and the M2P, both; and the hypervisor's own ways (EPT, shadows)
    repin      what was pinned
    release    the old frames: being OFFLINING they are OFFLINED by that

What trips in the middle is undone, from the last step to the first, and the guest has its pages
where they were. If that cannot be done either, the guest is torn, and the answer says so.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from agent.contract.columns import I64
from agent.contract.frames import Gfn
from emulator.machine.content import Content
from emulator.xen.defects import Defects
from emulator.xen.domains import Domain
from emulator.xen.frametable import FrameTable
from emulator.xen.heap import Heap
from emulator.xen.pages import PageKind
from emulator.xen.pagetables import ACCESSED, DIRTY, FRAME_MASK, retarget
from emulator.xen.translation import Translation

# What real Xen's tool keeps of an entry, and what Xen then puts back: all above bit 39, A and D.
_KEPT_BY_XEN = ~((1 << 40) - 1) | ACCESSED | DIRTY


class Step(StrEnum):
    UNPIN = "unpin"
    COPY = "copy"
    RETARGET = "retarget"
    REMAP = "remap"
    REPIN = "repin"
    RELEASE = "release"


@dataclass(frozen=True, slots=True)
class Trip:
    """The move fails when it is half-way through `at`. `is_final`: and cannot be undone."""

    at: Step
    is_final: bool = False

    def __post_init__(self) -> None:
        if self.at is Step.RELEASE:
            raise ValueError("a move cannot fail at its release: all is done by then")


class Move(StrEnum):
    """What came of it. TORN: some of the guest's pages are here, some there."""

    DONE = "done"
    NO_ROOM = "no_room"
    UNDONE = "undone"
    TORN = "torn"


@dataclass(frozen=True, slots=True, eq=False)
class _Pages:
    """One move: page `gfns[i]` of `domain` goes from frame `old[i]` to `new[i]`."""

    domain: Domain
    translation: Translation
    gfns: I64
    old: I64
    new: I64
    pinned: frozenset[Gfn]

    @property
    def half(self) -> int:
        return max(len(self.old) // 2, 1)

    @property
    def are_tables(self) -> I64:
        """Which of the pages are page tables, by their place among `gfns`."""
        tables = self.domain.tables
        return np.flatnonzero(
            self.gfns >= (len(self.domain.p2m) if tables is None else tables.first)
        )


@dataclass(frozen=True, slots=True)
class Mover:
    """Moves pages between the frames of one host."""

    table: FrameTable
    heap: Heap
    memory: Content
    defects: Defects

    def move(
        self, domain: Domain, translation: Translation, mfns: I64, trip: Trip | None = None
    ) -> Move:
        """Fresh frames behind these pages of `domain`, all of which are its own."""
        new = self.heap.take(len(mfns), domain.tenant)
        if new is None:
            return Move.NO_ROOM
        gfns = self.table.gfns_of(mfns)
        pinned = frozenset(domain.pinned & set(map(Gfn, gfns.tolist())))
        pages = _Pages(domain, translation, gfns, mfns, new, pinned)
        for step in Step:
            self._half(step)(pages, pages.half if _trips(trip, step) else len(mfns))
            if trip is not None and trip.at is step:
                return self._tripped(pages, trip)
        return Move.DONE

    def _half(self, step: Step) -> Callable[[_Pages, int], None]:
        """How `step` is done for the first so many of the pages."""
        steps: dict[Step, Callable[[_Pages, int], None]] = {
            Step.UNPIN: self._unpin,
            Step.COPY: self._copy,
            Step.RETARGET: self._retarget,
            Step.REMAP: self._remap,
            Step.REPIN: self._repin,
            Step.RELEASE: self._release,
        }
        return steps[step]

    def _tripped(self, pages: _Pages, trip: Trip) -> Move:
        if trip.is_final:
            self._note_strays(pages)
            return Move.TORN
        self._undo(pages)
        return Move.UNDONE

    def _undo(self, pages: _Pages) -> None:
        """Everything as it was, whichever steps were taken, and however far."""
        domain = pages.domain
        domain.p2m[pages.gfns] = pages.old
        self.table.map(pages.old, pages.gfns)
        pages.translation.follow(pages.gfns)
        if domain.tables is not None:
            retarget(self.memory, domain.table_frames, pages.new, pages.old)
        domain.pinned |= pages.pinned
        self.table.assign(pages.old, domain.tenant)
        self.table.retype(pages.old[pages.are_tables], PageKind.PAGE_TABLE)
        self.table.references.release(pages.new)

    def _note_strays(self, pages: _Pages) -> None:
        """The domain has both frames of each page now, whichever its page is in."""
        both = np.concatenate([pages.old, pages.new])
        domain = pages.domain
        behind_none = both[~np.isin(both, domain.p2m)]
        domain.strays = np.union1d(domain.strays, behind_none)

    def _unpin(self, pages: _Pages, count: int) -> None:
        del count  # a table of ours is pinned or not
        pages.domain.pinned -= pages.pinned

    def _copy(self, pages: _Pages, count: int) -> None:
        self.memory.copy(pages.old[:count], pages.new[:count])
        tables = pages.are_tables
        self.table.retype(pages.new[tables[tables < count]], PageKind.PAGE_TABLE)

    def _retarget(self, pages: _Pages, count: int) -> None:
        """In the tables that stay where they are, and in the copies of those that move."""
        if pages.domain.tables is None:
            return
        at = pages.domain.table_frames.copy()
        tables = pages.are_tables
        at[pages.gfns[tables] - pages.domain.tables.first] = pages.new[tables]
        keep = _KEPT_BY_XEN if self.defects.exchange_loses_attributes else ~FRAME_MASK
        retarget(self.memory, at, pages.old[:count], pages.new[:count], keep)

    def _remap(self, pages: _Pages, count: int) -> None:
        gfns, new = pages.gfns[:count], pages.new[:count]
        pages.domain.p2m[gfns] = new
        self.table.map(new, np.zeros_like(gfns) if self.defects.exchange_garbles_m2p else gfns)
        self.table.unmap(pages.old[:count])
        pages.translation.follow(gfns)

    def _repin(self, pages: _Pages, count: int) -> None:
        del count
        pages.domain.pinned |= pages.pinned

    def _release(self, pages: _Pages, count: int) -> None:
        del count
        self.table.references.release(pages.old)


def _trips(trip: Trip | None, step: Step) -> bool:
    return trip is not None and trip.at is step
