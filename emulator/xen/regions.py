"""Regions: where a NUMA node and a zone overlap. No buddy leaves one.

As in Xen a frame's zone is the width of its number, so that zone z has the frames from 2^(z-1) on
and frames 0 and 1 share zone 1; who needs memory below an address asks the low zones. The nodes
share the host equally, in order, and the last one has what is left.
"""

from dataclasses import dataclass

import numpy as np

from agent.contract.columns import I64, Bools
from emulator.xen.buddy import Runs


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """All regions of a host; region i begins at frame `starts[i]`."""

    frames: int
    nodes: int
    starts: I64

    def of(self, mfns: I64) -> I64:
        """The region of each frame, by its number."""
        return np.searchsorted(self.starts, mfns, "right") - 1

    def share(self, ones: I64, others: I64) -> Bools:
        """Whether frame `ones[i]` and frame `others[i]` are of one region, and on the host."""
        alike: Bools = (self.of(ones) == self.of(others)) & (others < self.frames)
        return alike

    def node_of(self, mfn: int) -> int:
        return int(node_of(np.array(mfn), self.frames, self.nodes))

    def runs(self) -> Runs:
        return Runs(self.starts, np.append(self.starts[1:], self.frames))

    def preferred(self, node: int) -> I64:
        """From where to allocate for `node`: its own frames first, and of these the highest zone.

        After it come the other nodes in turn. Low memory is the last to go.
        """
        distance = (node_of(self.starts, self.frames, self.nodes) - node) % self.nodes
        return np.lexsort((-self.starts, distance))


def regions_of(frames: int, nodes: int) -> Regions:
    """The regions of a host of `frames`, shared by `nodes`."""
    zones = [0, *(1 << width for width in range(1, (frames - 1).bit_length()))]
    starts = sorted({*zones, *(node * _span(frames, nodes) for node in range(nodes))})
    return Regions(frames, nodes, np.array(starts, np.int64))


def node_of(mfns: I64, frames: int, nodes: int) -> I64:
    """The NUMA node of each frame, by its number."""
    return np.minimum(mfns // _span(frames, nodes), nodes - 1)


def _span(frames: int, nodes: int) -> int:
    return max(frames // nodes, 1)
