"""Moving in: frames for whoever is to live on the host, and for what goes with them.

When the host starts, everybody is seated from the lowest free frame upward, round those who have a
fixed place. Later a new domain gets its memory from the heap. Either way it is furnished alike:
the M2P, the content, the page tables, and the frames that the guest never sees.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from agent.contract.columns import I64
from agent.contract.frames import DOM0, DomId
from agent.contract.hypercall import PageUse
from agent.contract.toolstack import GuestKind, Paging
from emulator.machine.content import Content
from emulator.xen.beings import Being, localised
from emulator.xen.domains import NO_FRAME, PAGES_OF, Domain
from emulator.xen.frametable import FrameTable, Tenant
from emulator.xen.heap import Heap, Take
from emulator.xen.layout import GuestSpec, Layout
from emulator.xen.pages import PageKind
from emulator.xen.pagetables import build
from emulator.xen.sharing import Sharing


@dataclass(frozen=True, slots=True)
class Settler:
    """Seats domains on one host."""

    table: FrameTable
    heap: Heap
    memory: Content
    sharing: Sharing

    def settle(self, layout: Layout) -> Iterator[tuple[GuestSpec, I64]]:
        """Everybody in the layout gets the frames that it promises them; of guests, the memory."""
        for place in layout.places:
            _promised(self.heap.take_at(np.arange(place.first, place.last + 1), Tenant(place.kind)))
        named = [self._named(spec, DomId(n)) for n, spec in enumerate(layout.guests, 1)]
        _promised(self.heap.take_lowest(layout.xen_heap_frames, Tenant(PageUse.XEN_HEAP)))
        _promised(self.heap.take_lowest(layout.dom0_frames, Tenant(PageUse.DOM0, DOM0)))
        for domid, (spec, at) in enumerate(zip(layout.guests, named, strict=True), 1):
            pages = spec.pages - spec.pod_pages - spec.cow_pages - len(at)
            others = _promised(self.heap.take_lowest(pages, _tenant(spec.kind, DomId(domid))))
            yield spec, np.concatenate([at, others])

    def seat(self, domid: DomId, being: Being) -> Domain:
        """A new domain for `being`, which has room."""
        tenant = _tenant(being.spec.kind, domid)
        mfns = _promised(self.heap.take(being.pages, tenant))
        return self._furnished(domid, being, mfns, self.heap.take)

    def move_in(self, domid: DomId, being: Being, mfns: I64) -> Domain:
        """A domain for `being`, whose memory `mfns` are, when the host starts."""
        return self._furnished(domid, being, mfns, self.heap.take_lowest)

    def _named(self, spec: GuestSpec, domid: DomId) -> I64:
        at = np.array(spec.at, np.int64)
        return _promised(self.heap.take_at(at, _tenant(spec.kind, domid)))

    def _furnished(self, domid: DomId, being: Being, mfns: I64, take: Take) -> Domain:
        spec = being.spec
        p2m = np.full(spec.pages, NO_FRAME)
        p2m[being.has] = mfns
        paging = Paging.PV if spec.kind is GuestKind.PV else spec.paging
        domain = Domain(domid, spec.name, spec.kind, p2m, paging, tables=spec.tables)
        domain.on_demand = being.on_demand.copy()
        for kind, pages in _beside(being).items():
            setattr(domain, kind, _promised(take(pages, Tenant(_KINDS[kind], domid))))
        if not self.sharing.share(domain, np.flatnonzero(being.is_cow), take):
            raise ValueError(NO_FRAMES)
        self._fill(domain, being)
        return domain

    def _fill(self, domain: Domain, being: Being) -> None:
        gfns = np.flatnonzero(being.has)
        self.table.map(domain.p2m[gfns], gfns)
        self.memory.write(domain.p2m[gfns], being.words[gfns])
        if domain.tables is None:
            return
        self.table.retype(domain.table_frames, PageKind.PAGE_TABLE)
        domain.pinned = set(being.pinned or {domain.tables.root})
        if being.tables is None:
            build(self.memory, domain.tables, domain.p2m)
        else:
            entries = localised(being.tables, domain.p2m)
            self.memory.write_tables(domain.table_frames, entries)


NO_FRAMES = "somebody was promised frames that the host does not have"

_KINDS = {
    "shared": PageKind.SHARED_INFO,
    "pool": PageKind.PAGING_POOL,
    "state_pages": PageKind.HVM_STATE,
    "pod_cache": PageKind.POD_CACHE,
}


def _beside(being: Being) -> dict[str, int]:
    """How many frames go with it, by the field of the domain that they belong in."""
    spec = being.spec
    return {
        "shared": spec.shared_pages,
        "pool": spec.pool_pages,
        "state_pages": spec.state_pages,
        "pod_cache": being.pod_frames,
    }


def own_frames(domain: Domain) -> I64:
    """Every frame that a domain has, beside those that it shares."""
    memory = domain.p2m[(domain.p2m != NO_FRAME) & ~domain.is_shared]
    return np.concatenate(
        [memory, domain.shared, domain.pool, domain.state_pages, domain.pod_cache, domain.strays]
    )


def _tenant(kind: GuestKind, domid: DomId) -> Tenant:
    return Tenant(PAGES_OF[kind], domid)


def _promised(mfns: I64 | None) -> I64:
    if mfns is None:
        raise ValueError(NO_FRAMES)
    return mfns
