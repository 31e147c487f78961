"""The DRAM: one 64-bit word stands for all that a page holds.

Enough to tell whether a page was copied, lost or read through a stale mapping, and small enough
for a host of any size. It knows no owners: whoever has a frame number can read and write it, as
hardware does.
"""

import numpy as np

from agent.contract.columns import I64, U64
from agent.contract.frames import Mfn
from emulator.machine.columns import zeros


class Memory:
    """`frames` pages, all zero at first."""

    def __init__(self, frames: int) -> None:
        if frames < 1:
            raise ValueError(f"memory needs at least 1 frame (got {frames})")
        self.frames = frames
        self._words = zeros(frames, np.uint64)

    def read(self, mfns: I64) -> U64:
        """The words at `mfns`, a copy."""
        return self._words[mfns]

    def write(self, mfns: I64, words: U64) -> None:
        """Put `words` at `mfns`; where a frame is named twice, the later word stays."""
        self._words[mfns] = words

    def copy(self, source: Mfn | I64, target: Mfn | I64) -> None:
        """Make the pages at `target` hold what those at `source` hold."""
        self._words[target] = self._words[source]

    def scrub(self, mfns: Mfn | I64) -> None:
        """Wipe pages before somebody else gets them."""
        self._words[mfns] = 0
