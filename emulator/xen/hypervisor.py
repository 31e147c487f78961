"""The hypervisor: one host's frames, the domains that live in them, and the calls about both.

It is built in the order of who cannot move: first the frames that a guest must have, then the Xen
heap and dom0 round them from frame 0 upward, then the rest of the guests. Domain ids only ever go
up.
"""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from agent.contract.columns import I64
from agent.contract.frames import DOM0, FIRST_RESERVED_DOMID, DomId, Gfn, Mfn
from agent.contract.hypercall import MarkedReply, PagesReply
from agent.contract.toolstack import DomainState
from emulator.machine.content import Content
from emulator.xen import offline, pools
from emulator.xen.beings import Being, captured, frames_needed, newborn
from emulator.xen.defects import MENDED, Defects
from emulator.xen.devices import Device, devices_of
from emulator.xen.domains import NO_FRAME, Domain
from emulator.xen.frametable import Counts, FrameTable
from emulator.xen.giving import Giving
from emulator.xen.guests import Guest
from emulator.xen.heap import Heap
from emulator.xen.layout import GuestSpec, Layout
from emulator.xen.mappers import Mappers, Mapping
from emulator.xen.moving import Move, Mover, Trip
from emulator.xen.pod import PopulateOnDemand
from emulator.xen.settling import Settler, own_frames
from emulator.xen.sharing import Sharing
from emulator.xen.soundness import unsound
from emulator.xen.swap import Swap
from emulator.xen.translation import translation_of


class Hypervisor:
    """A running host. Every method is one atomic step."""

    def __init__(self, layout: Layout, memory: Content, defects: Defects = MENDED) -> None:
        if memory.frames != layout.frames:
            raise ValueError(
                f"the layout has {layout.frames} frames, but the memory {memory.frames}"
            )
        self.layout = layout
        self.memory = memory
        self.defects = defects
        self.table = FrameTable(layout.frames, layout.nodes, memory.scrub)
        self.table.defects = defects
        self.heap = Heap(self.table)
        self.domains: dict[DomId, Domain] = {}
        self.dying: dict[DomId, Domain] = {}
        self.guests: dict[DomId, Guest] = {}
        self.specs: dict[DomId, GuestSpec] = {}
        self.devices: dict[str, Device] = {}
        self.sharing = Sharing(self.table, self.heap, memory)
        self.mappers = Mappers(self.table, memory)
        self._pod = PopulateOnDemand(self.table, self.heap, memory)
        self._mover = Mover(self.table, self.heap, memory, defects)
        self._swap = Swap(self.table, self.domains, self.move)
        self._giving = Giving(self.table, self.devices)
        self._settler = Settler(self.table, self.heap, memory, self.sharing)
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
        return offline.offline(self.table, mfns, self.take_out)

    def page_query(self, mfns: Sequence[int]) -> PagesReply:
        """Where each of these pages stands."""
        return offline.query(self.table, mfns)

    def page_online(self, mfns: Sequence[int]) -> PagesReply:
        """Undo `page_offline_pending`: all of it, or nothing."""
        return offline.online(self.table, mfns, self.memory.scrub)

    def page_marked(self, first: int) -> MarkedReply:
        """Which pages are pending or offlined, from `first` on."""
        return offline.marked(self.table, first)

    def p2m_swap(self, mfns: Sequence[int]) -> PagesReply:
        """Give HVM guests other frames for these pages: for all of them, or for none."""
        return self._swap.swap(mfns)

    def take_out(self, mfns: I64) -> None:
        """Mark these frames; those that only wait to be populated leave at once."""
        self.table.offline_all(mfns)
        self._pod.evict(self.domains.values())

    def move(self, domain: Domain, mfns: I64, trip: Trip | None = None) -> Move:
        """Fresh frames behind these pages of `domain`."""
        translation = self.guests[domain.domid].translation
        return self._mover.move(domain, translation, mfns, trip)

    def drop_shadows(self, domain: Domain) -> None:
        """Build what the domain's paging is made of anew, without the marked pages."""
        pools.refill(self.table, self.heap, domain, keeps_marked=self.defects.pools_keep_marked)
        self.guests[domain.domid].translation.follow(np.arange(len(domain.p2m)))

    def touch(self, domain: Domain, gfns: I64, writing: bool) -> None:  # noqa: FBT001 - see Touch
        """These pages are about to be used: see that they have frames, and frames of their own."""
        moved = self._pod.populate(domain, gfns)
        if writing:
            moved = np.concatenate([moved, self.sharing.unshare(domain, gfns)])
        if len(moved):
            self.guests[domain.domid].translation.follow(moved)

    def balloon_out(self, domain: Domain, gfns: I64) -> None:
        """The guest gives these pages back. Those that are marked leave the host with that."""
        mfns = self._giving.let_go(self.guests[domain.domid], gfns)
        self.table.references.release(mfns)

    def can_give_up(self, domain: Domain, mfn: Mfn) -> bool:
        """True if the domain's guest could do without this page of its own."""
        return self._giving.can_give_up(domain, mfn)

    def transfer(self, mfn: Mfn, to: Domain) -> bool:
        """Make this page of a guest one of the guest `to`, in the place of one of its own.

        False, and nothing has changed, if its owner cannot give it away, or `to` not take it.
        """
        giver, place = self._giver_of(mfn), self._giving.place_in(to)
        if giver is None or giver is to or place is None:
            return False
        there = np.array([place])
        self.balloon_out(to, there)
        given = self._giving.let_go(self.guests[giver.domid], self.table.gfns_of(np.array([mfn])))
        self._giving.take_in(self.guests[to.domid], there, given)
        return True

    def there_is(self, domid: DomId) -> Domain:
        """The domain of this id, be it dying."""
        return self.domains.get(domid) or self.dying[domid]

    def was_here(self, domid: DomId) -> bool:
        """True if there was such a domain and it is gone, or dying."""
        return DOM0 < domid < self._next_domid and domid not in self.domains

    @property
    def domids_left(self) -> int:
        """How many domains can still be made before the ids reach those that Xen reserves."""
        return FIRST_RESERVED_DOMID - self._next_domid

    def captured(self, domain: Domain) -> Being:
        """The guest of this domain, apart from where it lives."""
        guest = self.guests[domain.domid]
        return captured(domain, self.specs[domain.domid], guest.workload, self.memory, self.table)

    def newborn(self, spec: GuestSpec) -> Being:
        """A guest of this kind that is to boot as the next domain."""
        return newborn(spec, DomId(self._next_domid))

    def create(self, being: Being) -> Domain | None:
        """A new domain to be `being`; None if there is no room for it."""
        return self._create(being) if self.has_room(being.frames_needed) else None

    def has_room(self, frames: int) -> bool:
        """True if a new domain could have so many frames."""
        return frames <= self.table.available_to(DomId(self._next_domid))

    def frames_needed(self, domain: Domain) -> int:
        """How many frames the guest of this domain would take elsewhere."""
        return frames_needed(domain, self.specs[domain.domid], self.table)

    def replace(self, domain: Domain, being: Being) -> Domain | None:
        """Destroy a domain and let `being` have its devices, in a new one.

        None, and nothing has changed, if there would be no room for it.
        """
        if being.frames_needed > self._free_without(domain):
            return None
        self.destroy(domain)
        born = self._create(being)
        for name in domain.devices:
            self.devices[name].attach(born)
        return born

    def destroy(self, domain: Domain) -> None:
        """End a domain. Its pages are freed, and those that were pending leave; what others still
        map stays until they have let go, and so does the domain, dying.
        """
        del self.domains[domain.domid], self.guests[domain.domid], self.specs[domain.domid]
        # Whoever still holds its guest can run it no more.
        domain.state = DomainState.DYING
        self.dying[domain.domid] = domain
        self.sharing.leave(domain.p2m[domain.is_shared])
        self.table.references.release(own_frames(domain))
        self.mappers.owner_has_gone(domain.domid)
        self.mappers.mapper_has_gone(domain.domid)
        self._bury()
        self.table.claims.stake(domain.domid, 0, self.table.free)

    def crash(self, domid: DomId) -> None:
        """Stop a domain for good, unless it is dying. It keeps its frames until it is destroyed."""
        if domid in self.domains:
            self.domains[domid].state = DomainState.CRASHED

    def map_page(self, mapper: DomId, domain: Domain, gfn: Gfn, *, stays: bool = False) -> Mapping:
        """`mapper` maps a page of `domain`; one that `stays` does not let go with its owner.

        Raises:
            ValueError: if there is no frame of the domain's own behind that page.
        """
        self.touch(domain, np.array([gfn]), writing=True)
        if domain.p2m[gfn] == NO_FRAME or domain.is_shared[gfn]:
            raise ValueError(f"domain {domain.domid} has no page {gfn:#x} of its own to be mapped")
        return self.mappers.map(mapper, domain, gfn, leaves_with_owner=not stays)

    def unmap_page(self, mapper: DomId, mfn: Mfn) -> None:
        """`mapper` lets go of a frame that it maps."""
        self.mappers.unmap(mapper, mfn)
        self._bury()

    def end_mapping(self, mapping: Mapping) -> None:
        """Its mapper lets go, if it has not yet."""
        self.mappers.end(mapping)
        self._bury()

    def assign(self, device: Device, domain: Domain) -> None:
        """The device is the host's, and from now on writes to this domain's memory."""
        self.devices[device.name] = device
        device.attach(domain)

    def work(self, rng: Generator) -> None:
        """Whoever uses guests' memory beside them does so: devices write, mappers look."""
        for guest in self.guests.values():
            for name in guest.domain.devices:
                self.devices[name].run(guest, self.memory, rng)
        self.mappers.look(self.guests)

    def check(self) -> list[str]:
        """What does not hold together, in sentences. Reads every frame: for small hosts."""
        found = unsound(self.table, self.memory, self.guests.values(), self.dying.values())
        return [*self.table.check(), *found]

    def _settle(self) -> None:
        """Give everybody in the layout the frames that it promises them."""
        for domid, (spec, mfns) in enumerate(self._settler.settle(self.layout), 1):
            being = newborn(spec, DomId(domid))
            domain = self._enter(self._settler.move_in(DomId(domid), being, mfns), being)
            for device in devices_of(spec):
                self.assign(device, domain)
        for spec in self.layout.away:
            self.devices |= {device.name: device for device in devices_of(spec)}

    def _create(self, being: Being) -> Domain:
        domid = DomId(self._next_domid)
        self._next_domid += 1
        return self._enter(self._settler.seat(domid, being), being)

    def _free_without(self, domain: Domain) -> int:
        """How many frames could be allocated if this domain were destroyed."""
        frames = own_frames(domain)
        kept = {*self.table.offlining_among(frames).tolist(), *self.mappers.staying(domain.domid)}
        freed = int(np.count_nonzero(~np.isin(frames, list(kept))))
        return self.table.available_to(DomId(self._next_domid)) + freed

    def _giver_of(self, mfn: Mfn) -> Domain | None:
        """The domain that could give this page to another one now."""
        domain = self.domains.get(self.table.owner_of(mfn) or DOM0)
        return domain if domain is not None and self._giving.can_transfer(domain, mfn) else None

    def _enter(self, domain: Domain, being: Being) -> Domain:
        """Let the guest in, once its domain is furnished."""
        domid = domain.domid
        self.domains[domid] = domain
        self.specs[domid] = being.spec
        translation = translation_of(domain, self.memory)
        self.guests[domid] = Guest(domain, self.memory, being.workload, translation, self.touch)
        rings = being.workload.in_use(np.array(being.spec.rings, np.int64))
        for gfn in rings[domain.p2m[rings] != NO_FRAME].tolist():  # a broken one did not come along
            self.map_page(DOM0, domain, Gfn(gfn))
        return domain

    def _bury(self) -> None:
        """A dying domain has only what others still map; with nothing left it is gone."""
        lingering = self.table.references.lingering
        held = {self.table.holder_of(mfn) for mfn in lingering}
        for domain in list(self.dying.values()):
            domain.p2m[~np.isin(domain.p2m, list(lingering))] = NO_FRAME
            if domain.domid not in held:
                del self.dying[domain.domid]
