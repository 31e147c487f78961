"""Populate on demand: pages that an HVM guest has, and that have no frame before they are touched.

The frames wait in the domain's cache. One of them that goes bad leaves at once, since nobody uses
it: it is freed and so OFFLINED, and another frame of the same node takes its place. Where there is
none the cache is one smaller, and the guest does not notice either way.
"""

from collections.abc import Iterable

import numpy as np

from agent.contract.columns import I64
from agent.contract.frames import Mfn
from emulator.machine.content import Content
from emulator.xen.domains import Domain
from emulator.xen.frametable import FrameTable, Tenant
from emulator.xen.heap import Heap
from emulator.xen.pages import PageKind


class PopulateOnDemand:
    """The caches of all domains of one host."""

    def __init__(self, table: FrameTable, heap: Heap, memory: Content) -> None:
        self._table = table
        self._heap = heap
        self._memory = memory

    def populate(self, domain: Domain, gfns: I64) -> I64:
        """Give those of these pages that have no frame yet one from the cache, zeroed.

        Which those were; a page for which the cache had none stays without.
        """
        wanting = np.unique(gfns[domain.on_demand[gfns]])[: len(domain.pod_cache)]
        if not len(wanting):
            return wanting
        frames, domain.pod_cache = np.split(domain.pod_cache, [len(wanting)])
        self._memory.scrub(frames)
        self._table.retype(frames, PageKind.HVM)
        self._table.map(frames, wanting)
        domain.p2m[wanting] = frames
        domain.on_demand[wanting] = False
        return wanting

    def evict(self, domains: Iterable[Domain]) -> None:
        """Let marked frames leave the caches, each for another one if there is one."""
        for domain in domains:
            cache = domain.pod_cache
            marked = self._table.offlining_among(cache)
            if len(marked):
                domain.pod_cache = cache[~np.isin(cache, marked)]
                for mfn in marked.tolist():
                    self._replace(domain, Mfn(mfn))

    def _replace(self, domain: Domain, mfn: Mfn) -> None:
        self._table.release(np.array([mfn], np.int64))
        tenant = Tenant(PageKind.POD_CACHE, domain.domid)
        new = self._heap.take_on(self._table.node_of(mfn), tenant)
        if new is not None:
            domain.pod_cache = np.append(domain.pod_cache, new)
