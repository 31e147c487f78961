"""Scrubbing: what a domain leaves behind is wiped before anybody else has the page.

    a domain frees it     dirty, and counted among its node's unscrubbed pages
    a CPU is idle         wipes dirty pages of its node, up to 1,024 at a time
    it is allocated       wiped there and then
    it is offlined        left as it is, and so nobody reads or writes a broken page again

A node is busy while its number is not 0: there is work, so one of its CPUs never halts. Hence D2:
Xen counts the pages that leave while dirty, and nothing ever uncounts them.

Every dirty page is free. It waits in its node's queue once, and whether it is still dirty is looked
up when its turn comes; so nothing here grows with the host, only with what was freed.
"""

from collections import deque
from collections.abc import Callable

import numpy as np

from agent.contract.columns import I64, U8, U32
from emulator.machine.columns import zeros
from emulator.xen.regions import node_of

Wipe = Callable[[I64], object]

PORTION = 1 << 10
_DIRTY, _QUEUED = 1, 2


def no_content(_: I64) -> None:
    """For frames of which nobody knows what they hold."""


class Scrubber:
    """The dirty pages of a host of `nodes` NUMA nodes; `wipe` is what it does to their content."""

    def __init__(self, frames: int, nodes: int, wipe: Wipe) -> None:
        self.waits = 0  # how often somebody had to wait until a node's scrub was stopped
        self._frames, self._nodes = frames, nodes
        self._wipe = wipe
        self._marks: U8 = zeros(frames, np.uint8)
        self._unscrubbed = np.zeros(nodes, np.int64)
        self._queues: list[deque[U32]] = [deque() for _ in range(nodes)]
        self._at_work = [np.empty(0, np.int64) for _ in range(nodes)]

    @property
    def unscrubbed(self) -> tuple[int, ...]:
        """What each node's number says, node 0 first: Xen prints it for debug key H."""
        return tuple(self._unscrubbed.tolist())

    def busy_nodes(self) -> list[int]:
        """The nodes that have a CPU which cannot halt."""
        busy: list[int] = np.flatnonzero(self._unscrubbed).tolist()
        return busy

    def soil(self, mfns: I64) -> None:
        """A domain has freed these frames."""
        self.count(mfns)
        waiting = mfns[self._marks[mfns] & _QUEUED == 0].astype(np.uint32)
        self._marks[mfns] = _DIRTY | _QUEUED
        nodes = self._nodes_of(waiting)
        for node, queue in enumerate(self._queues):
            if (nodes == node).any():
                queue.append(waiting[nodes == node])

    def count(self, mfns: I64) -> None:
        """These frames are unscrubbed: nothing but their nodes' numbers."""
        self._unscrubbed += np.bincount(self._nodes_of(mfns), minlength=self._nodes)

    def clean(self, mfns: I64) -> None:
        """Somebody is given these frames: wipe those that are dirty."""
        dirty = self._dirty(mfns)
        self._stop(dirty)
        self._done(dirty)

    def leave(self, mfns: I64, *, uncount: bool) -> None:
        """These frames are offlined, with what is in them. D2 is not to `uncount` them."""
        dirty = self._dirty(mfns)
        self._stop(dirty)
        self._marks[dirty] &= ~np.uint8(_DIRTY)
        if uncount:
            self._uncount(dirty)

    def idle(self, pages: int = PORTION) -> None:
        """A CPU of each node has nothing else to do: it looks at up to so many pages."""
        for node in range(self._nodes):
            self._scrub(node, pages)

    def rest(self) -> None:
        """Idle until there is nothing more that could be wiped."""
        while any(map(len, self._at_work)) or any(self._queues):
            self.idle()

    def check(self, free: I64) -> list[str]:
        """What is wrong with the bookkeeping, if these frames are free, in sentences."""
        dirty = np.flatnonzero(self._marks & _DIRTY)
        found = np.bincount(self._nodes_of(dirty), minlength=self._nodes)
        claims = {
            "a dirty frame is not free": np.isin(dirty, free).all(),
            "more frames are dirty than are counted": (found <= self._unscrubbed).all(),
        }
        return [wrong for wrong, holds in claims.items() if not holds]

    def _scrub(self, node: int, pages: int) -> None:
        while pages > 0 and self._has_work(node):
            now, self._at_work[node] = np.split(self._at_work[node], [pages])
            self._marks[now] &= ~np.uint8(_QUEUED)
            self._done(self._dirty(now))
            pages -= len(now)

    def _has_work(self, node: int) -> bool:
        """Whether a portion is at work, if need be the next of the queue."""
        queue = self._queues[node]
        if not len(self._at_work[node]) and queue:
            mfns = queue.popleft()
            self._at_work[node] = mfns[:PORTION].astype(np.int64)
            if len(mfns) > PORTION:
                queue.appendleft(mfns[PORTION:])
        return bool(len(self._at_work[node]))

    def _stop(self, dirty: I64) -> None:
        """Wait until nobody scrubs these frames: what is not wiped by then goes back to wait."""
        for node, at_work in enumerate(self._at_work):
            if len(dirty) and np.isin(at_work, dirty).any():
                self._queues[node].appendleft(at_work.astype(np.uint32))
                self._at_work[node] = at_work[:0]
                self.waits += 1

    def _done(self, dirty: I64) -> None:
        if len(dirty):
            self._wipe(dirty)
            self._marks[dirty] &= ~np.uint8(_DIRTY)
            self._uncount(dirty)

    def _dirty(self, mfns: I64) -> I64:
        if not self._unscrubbed.any():
            return mfns[:0]
        dirty: I64 = mfns[self._marks[mfns] & _DIRTY != 0]
        return dirty

    def _uncount(self, mfns: I64) -> None:
        self._unscrubbed -= np.bincount(self._nodes_of(mfns), minlength=self._nodes)

    def _nodes_of(self, mfns: I64 | U32) -> I64:
        return node_of(mfns.astype(np.int64), self._frames, self._nodes)
