"""Guests that notice.

A guest writes words into its pages, remembers them, and later reads the pages and compares. It
does so through its own views of its memory, and these are what moving a page can get wrong:

    HVM   EPT or shadows ───► frame      the hypervisor's tables: one view

    PV    page tables ──────► frame      mappings made earlier; an exchange edits them
          known p2m ────────► frame      the guest's copy of its p2m; new mappings are made from it

A PV guest reads its p2m again only when it resumes by the slow path. Resumed by the fast one it
goes on with its copy: old mappings lead to the new frame, new mappings to the old one, and what
is written through either is not found through the other. Xen proper would refuse most such
mappings; here they are made, because the design's warning is that the guest keeps writing to the
old frame.

An access that leads nowhere, or a write where only reading is allowed, is a fault.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

from agent.contract.columns import I64, U64, Bools
from agent.contract.frames import DomId, Gfn
from agent.contract.toolstack import GuestKind
from emulator.machine.content import Content
from emulator.xen.domains import NO_FRAME, Domain
from emulator.xen.pagetables import link, unmap
from emulator.xen.translation import Found, Translation

_DOMID_SHIFT = 48  # a frame number has 32 bits, so that no two pages of a host begin alike

# The hypervisor is told which pages are about to be used, and whether to write to them: some have
# no frame yet, or only one that they share.
Touch = Callable[[Domain, I64, bool], None]


@dataclass(slots=True, eq=False)
class Workload:
    """What a guest knows: the word it last wrote to each page, and how it fared.

    It outlives its domain: saved with it, and going on where it is restored. `given_up` are pages
    that it gave back to the host for good, or does not touch any more because they are broken.
    """

    words: U64
    working_set_pages: int
    reads: int = 0
    writes: int = 0
    corruptions: int = 0
    faults: int = 0
    given_up: Bools = field(init=False)

    def __post_init__(self) -> None:
        self.given_up = np.zeros(len(self.words), np.bool_)

    @property
    def harm(self) -> int:
        """How often it did not find what it should have."""
        return self.corruptions + self.faults

    def in_use(self, gfns: I64) -> I64:
        """Those of these pages that the guest still uses."""
        return gfns[~self.given_up[gfns]]


def new_workload(domid: DomId, pages: int, working_set_pages: int | None = None) -> Workload:
    """A workload yet to begin: each page of the guest is to hold a word of its own."""
    words = np.arange(1, pages + 1, dtype=np.uint64) | np.uint64(domid << _DOMID_SHIFT)
    return Workload(words, working_set_pages or pages)


@dataclass(slots=True, eq=False)
class KnownP2m:
    """A PV guest's copy of its p2m, from which it makes each new mapping."""

    p2m: I64

    def find(self, gfns: I64) -> Found:
        frames = self.p2m[gfns]
        return Found(frames, frames != NO_FRAME)


class Guest:
    """A domain's inhabitant. `domain` is what the hypervisor knows of it, the views are its own."""

    def __init__(
        self,
        domain: Domain,
        memory: Content,
        workload: Workload,
        translation: Translation,
        touch: Touch,
    ) -> None:
        self.domain = domain
        self.workload = workload
        self.translation = translation
        self._memory = memory
        self._touch = touch
        self._known = KnownP2m(domain.p2m.copy()) if domain.kind is GuestKind.PV else None

    def run(self, accesses: int, rng: Generator) -> None:
        """Write and read pages at random, about half each; a suspended guest does nothing."""
        if not self.domain.is_running:
            return
        gfns = self.workload.in_use(rng.integers(self.workload.working_set_pages, size=accesses))
        through = rng.integers(len(self._views), size=len(gfns))
        writing = rng.random(len(gfns)) < 0.5
        for number, view in enumerate(self._views):
            self._write(view, gfns[writing & (through == number)], rng)
        for number, view in enumerate(self._views):
            self._read(view, gfns[~writing & (through == number)])

    def verify(self) -> int:
        """How many pages of the working set read wrong, or cannot be written any more, summed over
        all views. Changes nothing.
        """
        gfns = self.workload.in_use(np.arange(self.workload.working_set_pages))
        gfns = gfns[~self.domain.on_demand[gfns]]  # what nobody has touched yet is not there
        return sum(self._wrong_in(view.find(gfns), gfns) for view in self._views)

    def reread_p2m(self) -> None:
        """The slow path of a resume: whatever moved, the guest knows it from now on."""
        if self._known is not None:
            self._known.p2m = self.domain.p2m.copy()

    def give_up(self, gfns: I64) -> None:
        """The guest's balloon has these pages now."""
        self.workload.given_up[gfns] = True
        if self.domain.tables is not None:
            unmap(self._memory, self.domain.table_frames, self.domain.p2m[gfns])

    def abandon(self, gfn: Gfn) -> bool:
        """The guest was told that this page is broken, and touches it no more. False: it was not
        running to be told.
        """
        if self.domain.is_running:
            self.workload.given_up[gfn] = True
        return self.domain.is_running

    def take_in(self, gfns: I64) -> None:
        """The guest has these pages from somebody else, who left something in them."""
        domain = self.domain
        self.workload.given_up[gfns] = False
        self.workload.words[gfns] = self._memory.read(domain.p2m[gfns])
        if domain.tables is not None:
            link(self._memory, domain.tables, domain.p2m, gfns)
        if self._known is not None:
            self._known.p2m[gfns] = domain.p2m[gfns]

    @property
    def _views(self) -> tuple[Translation | KnownP2m, ...]:
        return (self.translation,) if self._known is None else (self.translation, self._known)

    def _write(self, view: Translation | KnownP2m, gfns: I64, rng: Generator) -> None:
        self._touch(self.domain, gfns, True)  # noqa: FBT003 - a callback's arguments have no names
        found = view.find(gfns)
        words = rng.integers(1 << 64, size=len(gfns), dtype=np.uint64)
        allowed = found.writable
        self._memory.write(found.frames[allowed], words[allowed])
        self.workload.words[gfns[allowed]] = words[allowed]
        self.workload.writes += len(gfns)
        self.workload.faults += int(np.count_nonzero(~allowed))

    def _read(self, view: Translation | KnownP2m, gfns: I64) -> None:
        self._touch(self.domain, gfns, False)  # noqa: FBT003 - as above
        found = view.find(gfns)
        self.workload.reads += len(gfns)
        self.workload.faults += int(np.count_nonzero(found.frames == NO_FRAME))
        self.workload.corruptions += self._misread(found, gfns)

    def _wrong_in(self, found: Found, gfns: I64) -> int:
        unwritable = ~found.writable & ~self.domain.is_shared[gfns]
        return self._misread(found, gfns) + int(np.count_nonzero(unwritable))

    def _misread(self, found: Found, gfns: I64) -> int:
        there = found.frames != NO_FRAME
        words = self._memory.read(found.frames[there])
        return int(np.count_nonzero(words != self.workload.words[gfns[there]]))
