"""Guests that notice.

A guest writes words into its pages, remembers them, and later reads the pages and compares. It
does so through its own views of its memory, and these are what moving a page can get wrong:

    HVM   p2m ──────────► frame      the hypervisor's table (EPT): one view, always true

    PV    mappings ─────► frame      page-table entries made earlier; an exchange edits them
          known p2m ────► frame      the guest's copy of its p2m; every new mapping is made from it

A PV guest reads its p2m again only when it resumes by the slow path. Resumed by the fast one it
goes on with its copy: old mappings lead to the new frame, new mappings to the old one, and what
is written through either is not found through the other. Xen proper would refuse most such
mappings; here they are made, because the design's warning is that the guest keeps writing to the
old frame.
"""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from agent.contract.columns import I64, U64
from agent.contract.frames import DomId
from agent.contract.toolstack import GuestKind
from emulator.machine.memory import Memory
from emulator.xen.domains import Domain

_DOMID_SHIFT = 48  # a frame number has 32 bits, so that no two pages of a host begin alike


@dataclass(slots=True, eq=False)
class Workload:
    """What a guest knows: the word it last wrote to each page, and how it fared.

    It outlives its domain: saved with it, and going on where it is restored.
    """

    words: U64
    working_set_pages: int
    reads: int = 0
    writes: int = 0
    corruptions: int = 0


def new_workload(domid: DomId, pages: int, working_set_pages: int | None = None) -> Workload:
    """A workload yet to begin: each page of the guest is to hold a word of its own."""
    words = np.arange(1, pages + 1, dtype=np.uint64) | np.uint64(domid << _DOMID_SHIFT)
    return Workload(words, working_set_pages or pages)


class Guest:
    """A domain's inhabitant. `domain` is what the hypervisor knows of it, the views are its own."""

    def __init__(self, domain: Domain, memory: Memory, workload: Workload) -> None:
        self.domain = domain
        self.workload = workload
        self._memory = memory
        self._views = _views(domain)

    def run(self, accesses: int, rng: Generator) -> None:
        """Write and read pages at random, about half each; a suspended guest does nothing."""
        if not self.domain.is_running:
            return
        gfns = rng.integers(self.workload.working_set_pages, size=accesses)
        through = rng.integers(len(self._views), size=accesses)
        writing = rng.random(accesses) < 0.5
        for number, view in enumerate(self._views):
            self._write(view, gfns[writing & (through == number)], rng)
        for number, view in enumerate(self._views):
            self._read(view, gfns[~writing & (through == number)])

    def verify(self) -> int:
        """How many pages of the working set read wrong, summed over all views. Changes nothing."""
        gfns = np.arange(self.workload.working_set_pages)
        return sum(self._wrong(view, gfns) for view in self._views)

    def follow_exchange(self, gfns: I64) -> None:
        """The toolstack has edited the existing mappings of these pages in place."""
        self._views[0][gfns] = self.domain.p2m[gfns]

    def reread_p2m(self) -> None:
        """The slow path of a resume: whatever moved, the guest knows it from now on."""
        self._views = _views(self.domain)

    def _write(self, view: I64, gfns: I64, rng: Generator) -> None:
        words = rng.integers(1 << 64, size=len(gfns), dtype=np.uint64)
        self._memory.write(view[gfns], words)
        self.workload.words[gfns] = words
        self.workload.writes += len(gfns)

    def _read(self, view: I64, gfns: I64) -> None:
        self.workload.reads += len(gfns)
        self.workload.corruptions += self._wrong(view, gfns)

    def _wrong(self, view: I64, gfns: I64) -> int:
        found = self._memory.read(view[gfns])
        return int(np.count_nonzero(found != self.workload.words[gfns]))


def _views(domain: Domain) -> tuple[I64, ...]:
    """HVM: the p2m itself. PV: its mappings, and the p2m as it knows it, both true for now."""
    if domain.kind is GuestKind.HVM:
        return (domain.p2m,)
    return (domain.p2m.copy(), domain.p2m.copy())
