"""The hypervisor: one host's frames, the domains that live in them, and the calls about both.

It is built in the order of who cannot move: first the frames that a guest must have, then the Xen
heap and dom0 round them from frame 0 upward, then the rest of the guests. Domain ids only ever go
up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.contract.columns import I64, U64
from agent.contract.frames import DOM0, FIRST_RESERVED_DOMID, DomId, Mfn
from agent.contract.hypercall import PagesReply, PageUse
from agent.contract.toolstack import DomainState, GuestKind
from emulator.machine.memory import Memory
from emulator.xen import domains, offline
from emulator.xen.domains import Domain
from emulator.xen.frametable import Counts, FrameTable, Tenant
from emulator.xen.guests import Guest, Workload, new_workload
from emulator.xen.heap import Heap
from emulator.xen.layout import GuestSpec, Layout
from emulator.xen.pages import PageKind
from emulator.xen.swap import Mover


@dataclass(frozen=True, slots=True, eq=False)
class Being:
    """All that makes a guest, apart from where it lives: what an image holds."""

    name: str
    kind: GuestKind
    words: U64
    workload: Workload


class Hypervisor:
    """A running host. Every method is one atomic step."""

    def __init__(self, layout: Layout, memory: Memory) -> None:
        if memory.frames != layout.frames:
            raise ValueError(
                f"the layout has {layout.frames} frames, but the memory {memory.frames}"
            )
        self.layout = layout
        self.memory = memory
        self.table = FrameTable(layout.frames, layout.nodes, memory.scrub)
        self.heap = Heap(self.table)
        self.domains: dict[DomId, Domain] = {}
        self.guests: dict[DomId, Guest] = {}
        self._mover = Mover(self.table, self.heap, memory)
        self._next_domid = 1 + len(layout.guests)
        self._settle()

    @property
    def host(self) -> Counts:
        """Frames by state."""
        return self.table.counts

    def offlined(self) -> list[Mfn]:
        """Every frame that is OFFLINED or OFFLINING, in the order in which that was asked."""
        return list(self.table.marked())

    def page_offline_pending(self, mfns: Sequence[int]) -> PagesReply:
        """Take these pages out of use, now or when they are freed: all of them, or none."""
        return offline.offline(self.table, mfns)

    def page_query(self, mfns: Sequence[int]) -> PagesReply:
        """Where each of these pages stands."""
        return offline.query(self.table, mfns)

    def page_online(self, mfns: Sequence[int]) -> PagesReply:
        """Undo `page_offline_pending`: all of it, or nothing."""
        return offline.online(self.table, mfns, self.memory.scrub)

    def p2m_swap(self, mfns: Sequence[int]) -> PagesReply:
        """Give HVM guests other frames for these pages: for all of them, or for none."""
        return self._mover.swap(self.domains, mfns)

    def move(self, domain: Domain, mfns: I64) -> I64 | None:
        """Fresh frames behind these pages of `domain`; their gfns, or None if there is no room."""
        return self._mover.move(domain, mfns)

    @property
    def domids_left(self) -> int:
        """How many domains can still be made before the ids reach those that Xen reserves."""
        return FIRST_RESERVED_DOMID - self._next_domid

    def create(self, being: Being) -> Domain | None:
        """A new domain to be `being`; None if there is no room for it."""
        domid = DomId(self._next_domid)
        mfns = self.heap.take(len(being.words), _tenant(being.kind, domid))
        if mfns is None:
            return None
        self._next_domid += 1
        return self._enter(Domain(domid, being.name, being.kind, mfns), being)

    def destroy(self, domain: Domain) -> None:
        """End a domain. Its pages are freed, and those that were pending leave."""
        del self.domains[domain.domid], self.guests[domain.domid]
        # Whoever still holds its guest can run it no more.
        domain.state = DomainState.SUSPENDED
        self.table.release(np.concatenate([domain.p2m, domain.shared]))
        self.table.claims.stake(domain.domid, 0, self.table.free)

    def crash(self, domid: DomId) -> None:
        """Stop a domain for good. Its frames are its own until it is destroyed."""
        domain = self.domains[domid]
        domain.state = DomainState.SUSPENDED
        domain.has_crashed = True

    def check(self) -> list[str]:
        """What does not hold together, in sentences. Reads every frame: for small hosts."""
        return [*self.table.check(), *domains.check(self.table, self.domains.values())]

    def _settle(self) -> None:
        """Give everybody in the layout the frames that it promises them."""
        for place in self.layout.places:
            _promised(self.heap.take_at(np.arange(place.first, place.last + 1), Tenant(place.kind)))
        specs = self.layout.guests
        tenants = [_tenant(spec.kind, DomId(domid)) for domid, spec in enumerate(specs, 1)]
        named = [
            _promised(self.heap.take_at(np.array(spec.at, np.int64), tenant))
            for spec, tenant in zip(specs, tenants, strict=True)
        ]
        _promised(self.heap.take_lowest(self.layout.xen_heap_frames, Tenant(PageUse.XEN_HEAP)))
        _promised(self.heap.take_lowest(self.layout.dom0_frames, Tenant(PageUse.DOM0, DOM0)))
        for domid, (spec, tenant, at) in enumerate(zip(specs, tenants, named, strict=True), 1):
            others = _promised(self.heap.take_lowest(spec.pages - len(at), tenant))
            self._boot(DomId(domid), spec, np.concatenate([at, others]))

    def _boot(self, domid: DomId, spec: GuestSpec, mfns: I64) -> None:
        workload = new_workload(domid, spec.pages, spec.working_set_pages)
        being = Being(spec.name, spec.kind, workload.words, workload)
        tenant = Tenant(PageKind.SHARED_INFO, domid)
        shared = _promised(self.heap.take_lowest(spec.shared_pages, tenant))
        self._enter(Domain(domid, spec.name, spec.kind, mfns, shared=shared), being)
        self.table.retype(mfns[spec.pages - spec.table_pages :], PageKind.PAGE_TABLE)

    def _enter(self, domain: Domain, being: Being) -> Domain:
        """Fill a domain that has its frames, and let its guest in."""
        self.table.map(domain.p2m, np.arange(len(domain.p2m)))
        self.memory.write(domain.p2m, being.words)
        self.domains[domain.domid] = domain
        self.guests[domain.domid] = Guest(domain, self.memory, being.workload)
        return domain


def _tenant(kind: GuestKind, domid: DomId) -> Tenant:
    return Tenant(PageUse(kind), domid)


def _promised(mfns: I64 | None) -> I64:
    if mfns is None:
        raise ValueError("the layout promises frames that the host does not have")
    return mfns
