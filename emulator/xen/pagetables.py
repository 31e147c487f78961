"""A PV guest's page tables: pages of its own that name the host's frames, on four levels.

    root ──► L4 ──► L3 ──► L2 ──► L1 ──► frame and attributes

The guest maps all of its memory, its page n at virtual page n, and its tables only for reading, as
Xen demands. They are its last pages, the L1s first and the root last of all. The hardware walks
from frame to frame and remembers nothing: a table that moved without what it said leads nowhere,
and an entry that was forgotten leads to the old frame.
"""

from dataclasses import dataclass

import numpy as np

from agent.contract.columns import I64, U64, Bools
from agent.contract.frames import PAGE_SHIFT, Gfn, Mfn
from emulator.machine.content import TABLE_ENTRIES, Content

PRESENT = 1 << 0
WRITABLE = 1 << 1
USER = 1 << 2
WRITE_THROUGH = 1 << 3
ACCESSED = 1 << 5
DIRTY = 1 << 6
GLOBAL = 1 << 8
AVAILABLE = 1 << 9  # for the guest's own use
NO_EXECUTE = 1 << 63
FRAME_MASK = 0x000F_FFFF_FFFF_F000

LEVELS = 4
_PLAIN = PRESENT | USER | ACCESSED | DIRTY
_TO_TABLE = np.uint64(_PLAIN | WRITABLE)


@dataclass(frozen=True, slots=True)
class PageTables:
    """Which of a guest's `pages` are its tables, and what it wants of each mapping."""

    pages: int

    @property
    def counts(self) -> tuple[int, ...]:
        """How many tables there are on each level, the L1s first."""
        return table_counts(self.pages)

    @property
    def first(self) -> int:
        """The first page that is a table; all behind it are tables too."""
        return self.pages - sum(self.counts)

    @property
    def root(self) -> Gfn:
        return Gfn(self.pages - 1)

    def on_level(self, level: int) -> I64:
        """The pages that are tables of this level, 1 to 4."""
        first = self.first + sum(self.counts[: level - 1])
        return np.arange(first, first + self.counts[level - 1])

    def level_of(self, gfn: int) -> int | None:
        """1 to 4, or None for what is no table."""
        return next((n for n in range(1, LEVELS + 1) if gfn in self.on_level(n)), None)

    def attributes(self, gfns: I64) -> U64:
        """The bits beside the frame that the guest has set in its mapping of each page.

        They differ from page to page, so that whoever loses some is found out.
        """
        wanted = np.full(len(gfns), _PLAIN, np.uint64)
        for every, bit in ((2, NO_EXECUTE), (3, GLOBAL), (5, AVAILABLE), (7, WRITE_THROUGH)):
            wanted[gfns % every == 0] |= np.uint64(bit)
        wanted[gfns < self.first] |= np.uint64(WRITABLE)
        return wanted


def table_counts(pages: int) -> tuple[int, ...]:
    """As many tables as it takes to map so many pages, level by level."""
    counts: list[int] = []
    for _ in range(LEVELS):
        pages = -(-pages // TABLE_ENTRIES)
        counts.append(pages)
    return tuple(counts)


def tables_needed(pages: int) -> int:
    return sum(table_counts(pages))


def build(memory: Content, tables: PageTables, p2m: I64) -> None:
    """Write the tables of a guest that has these frames."""
    gfns = np.arange(tables.pages)
    leaves = entries_of(p2m, tables.attributes(gfns))
    for level in range(1, LEVELS + 1):
        own = p2m[tables.on_level(level)]
        memory.write_tables(own, _in_rows(leaves, len(own)))
        leaves = entries_of(own, np.full(len(own), _TO_TABLE))


def link(memory: Content, tables: PageTables, p2m: I64, gfns: I64) -> None:
    """Map these pages of the guest anew, as it wants each to be."""
    at = p2m[tables.on_level(1)]
    entries = memory.tables(at)
    entries.ravel()[gfns] = entries_of(p2m[gfns], tables.attributes(gfns))
    memory.write_tables(at, entries)


def walk(memory: Content, tables: PageTables, root: Mfn) -> U64:
    """The last entry on the way to each page, as the hardware finds it; 0 where the way breaks."""
    entries = entries_of(np.array([root], np.int64), np.array([_TO_TABLE]))
    for count in (*reversed(tables.counts[:-1]), tables.pages):
        below = memory.tables(frames_of(entries)) * is_present(entries)[:, np.newaxis]
        entries = below.ravel()[:count]
    return entries


def retarget(memory: Content, at: I64, old: I64, new: I64, keep: int = ~FRAME_MASK) -> None:
    """In the tables at these frames, lead what led to `old[i]` to `new[i]`.

    `keep` are the bits of an entry that stay; all but the frame's should.
    """
    entries = memory.tables(at)
    order = np.argsort(old)
    frames = frames_of(entries)
    place = np.minimum(np.searchsorted(old[order], frames), len(old) - 1)
    hit = is_present(entries) & (old[order][place] == frames)
    kept = entries[hit] & np.uint64(keep & (1 << 64) - 1)
    entries[hit] = kept | entries_of(new[order][place][hit], np.uint64(PRESENT | USER))
    memory.write_tables(at, entries)


def unmap(memory: Content, at: I64, mfns: I64) -> None:
    """In the tables at these frames, forget every entry for one of `mfns`."""
    entries = memory.tables(at)
    entries[np.isin(frames_of(entries), mfns)] = 0
    memory.write_tables(at, entries)


def maps_any(memory: Content, at: I64, mfns: I64) -> bool:
    """True if one of the tables at these frames has an entry for one of `mfns`."""
    entries = memory.tables(at)
    return bool((is_present(entries) & np.isin(frames_of(entries), mfns)).any())


def entries_of(mfns: I64, attributes: U64 | np.uint64) -> U64:
    """An entry for each frame; none, that is 0, where the frame is negative."""
    entries: U64 = (mfns.astype(np.uint64) << np.uint64(PAGE_SHIFT)) | attributes
    entries[mfns < 0] = 0
    return entries


def frames_of(entries: U64) -> I64:
    return ((entries & np.uint64(FRAME_MASK)) >> np.uint64(PAGE_SHIFT)).astype(np.int64)


def attributes_of(entries: U64) -> U64:
    return entries & ~np.uint64(FRAME_MASK)


def is_present(entries: U64) -> Bools:
    present: Bools = (entries & np.uint64(PRESENT)) != 0
    return present


def is_writable(entries: U64) -> Bools:
    writable: Bools = (entries & np.uint64(PRESENT | WRITABLE)) == PRESENT | WRITABLE
    return writable


def _in_rows(entries: U64, rows: int) -> U64:
    padded = np.zeros((rows, TABLE_ENTRIES), np.uint64)
    padded.ravel()[: len(entries)] = entries
    return padded
