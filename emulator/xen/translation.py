"""From a guest's page to the host's frame, in the three ways that there are.

    PV       the guest's own page tables, walked by the hardware    the guest and tools edit them
    HAP      the EPT: the p2m, but one entry for 2 MiB if it can    the hypervisor edits it
    shadow   a copy that the hypervisor keeps of what the           the hypervisor rebuilds it
             guest's tables and the p2m come to

What the guest sees is the way, and not the p2m: whoever moves a page must see to both. `follow` is
how a moved page is told to the hypervisor's own ways; a PV guest's tables are the mover's business.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from agent.contract.columns import I64, Bools
from agent.contract.toolstack import Paging
from emulator.machine.content import Content
from emulator.xen.domains import NO_FRAME, Domain
from emulator.xen.pagetables import PageTables, frames_of, is_present, is_writable, walk

SUPERPAGE_SHIFT = 9
SUPERPAGE = 1 << SUPERPAGE_SHIFT  # 2 MiB


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Where each access goes: a frame, or `NO_FRAME`; and whether it may write there."""

    frames: I64
    writable: Bools


class Translation(Protocol):
    def find(self, gfns: I64) -> Found: ...

    def follow(self, gfns: I64) -> None:
        """The p2m of these pages has changed."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Walked:
    """A PV guest's tables. Nothing is remembered, so there is nothing to follow."""

    domain: Domain
    tables: PageTables
    memory: Content

    def find(self, gfns: I64) -> Found:
        entries = walk(self.memory, self.tables, self.domain.root)[gfns]
        frames = np.where(is_present(entries), frames_of(entries), NO_FRAME)
        return Found(frames, is_writable(entries))

    def follow(self, gfns: I64) -> None:
        del gfns


@dataclass(frozen=True, slots=True, eq=False)
class Ept:
    """`superpages[n]` is the first frame of a 2 MiB entry, or `NO_FRAME` where it is in pieces."""

    domain: Domain
    superpages: I64

    def in_superpage(self, gfns: I64) -> Bools:
        """Which of these pages are parts of a 2 MiB entry."""
        parts: Bools = self.superpages[gfns >> SUPERPAGE_SHIFT] != NO_FRAME
        return parts

    def find(self, gfns: I64) -> Found:
        first = self.superpages[gfns >> SUPERPAGE_SHIFT]
        whole = first != NO_FRAME
        frames = np.where(whole, first + (gfns & SUPERPAGE - 1), self.domain.p2m[gfns])
        return _translated(self.domain, frames, gfns)

    def follow(self, gfns: I64) -> None:
        """A large entry goes to pieces when one of its pages is elsewhere."""
        self.superpages[gfns >> SUPERPAGE_SHIFT] = NO_FRAME


@dataclass(frozen=True, slots=True, eq=False)
class Shadows:
    """`shadows[gfn]` is what the shadow of the guest's entry names."""

    domain: Domain
    shadows: I64

    def find(self, gfns: I64) -> Found:
        return _translated(self.domain, self.shadows[gfns], gfns)

    def follow(self, gfns: I64) -> None:
        self.shadows[gfns] = self.domain.p2m[gfns]


def translation_of(domain: Domain, memory: Content) -> Translation:
    """The way that this domain's paging gives it, as it is when the domain is new."""
    if domain.tables is not None:
        return Walked(domain, domain.tables, memory)
    if domain.paging is Paging.SHADOW:
        return Shadows(domain, domain.p2m.copy())
    return Ept(domain, _superpages(domain.p2m))


def _translated(domain: Domain, frames: I64, gfns: I64) -> Found:
    return Found(frames, (frames != NO_FRAME) & ~domain.is_shared[gfns])


def _superpages(p2m: I64) -> I64:
    """The first frames of those 2 MiB of a guest's memory that are in one piece, and aligned."""
    bases = np.full(-(-len(p2m) >> SUPERPAGE_SHIFT), NO_FRAME)
    whole = p2m[: len(p2m) >> SUPERPAGE_SHIFT << SUPERPAGE_SHIFT].reshape(-1, SUPERPAGE)
    in_one = (np.diff(whole) == 1).all(axis=1) & (whole[:, 0] % SUPERPAGE == 0)
    bases[: len(whole)][in_one] = whole[in_one, 0]
    return bases
