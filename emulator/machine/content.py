"""What the DRAM holds: one 64-bit word stands for all that a page holds.

Enough to tell whether a page was copied, lost or read through a stale mapping, and small enough
for a host of any size. Only a page table is kept whole, because the hardware follows what it says.
It knows no owners: whoever has a frame number can read and write it, as hardware does.
"""

import numpy as np

from agent.contract.columns import I64, U64
from agent.contract.frames import Mfn
from emulator.machine.columns import zeros

TABLE_ENTRIES = 512
_NO_TABLE: U64 = np.zeros(TABLE_ENTRIES, np.uint64)


class Content:
    """`frames` pages, all zero at first."""

    def __init__(self, frames: int) -> None:
        if frames < 1:
            raise ValueError(f"memory needs at least 1 frame (got {frames})")
        self.frames = frames
        self._words = zeros(frames, np.uint64)
        self._tables: dict[int, U64] = {}

    def read(self, mfns: I64) -> U64:
        """The words at `mfns`, a copy."""
        return self._words[mfns]

    def write(self, mfns: I64, words: U64) -> None:
        """Put `words` at `mfns`; where a frame is named twice, the later word stays."""
        self._words[mfns] = words

    def tables(self, mfns: I64) -> U64:
        """A copy of the page tables at `mfns`, 512 entries a row; zeros where there is none."""
        if not len(mfns):
            return np.empty((0, TABLE_ENTRIES), np.uint64)
        return np.stack([self._tables.get(mfn, _NO_TABLE) for mfn in mfns.tolist()])

    def write_tables(self, mfns: I64, entries: U64) -> None:
        """Put page tables at `mfns`, of 512 entries a row."""
        self._tables.update(zip(mfns.tolist(), entries.copy(), strict=True))

    def copy(self, source: I64, target: I64) -> None:
        """Make the pages at `target` hold what those at `source` hold."""
        self._words[target] = self._words[source]
        for old, new in zip(source.tolist(), target.tolist(), strict=True):
            table = self._tables.get(old)
            if table is None:
                self._tables.pop(new, None)
            else:
                self._tables[new] = table.copy()

    def drop_tables(self, mfns: I64) -> None:
        """What was a page table is one no more. Without it they would pile up, freed ones too."""
        if self._tables:
            for mfn in mfns.tolist():
                self._tables.pop(mfn, None)

    def scrub(self, mfns: Mfn | I64) -> None:
        """Wipe pages before somebody else gets them."""
        self._words[mfns] = 0
        self.drop_tables(np.atleast_1d(np.asarray(mfns, np.int64)))
