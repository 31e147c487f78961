"""Guests that come and go: created, saved and restored, migrated, rebooted, destroyed.

Whatever ends a domain frees its pages, and so makes the marked ones leave. What comes after it is
another domain, with another id; `successors` remembers which, so that who asks twice can be told.

What takes its time is judged first: `judge_…` says what would be answered at once, because there is
nothing to be done, or nothing that could be.

A name is one guest's: of one that runs or has crashed, or waits on the disk. A dying domain keeps
its name from new guests, but not from its own guest, who is elsewhere already.
"""

from dataclasses import dataclass, field, replace
from typing import Self

from agent.contract.frames import DomId
from agent.contract.toolstack import (
    HERE,
    DomainState,
    GuestKind,
    PeerInfo,
    ToolCall,
    ToolOutcome,
    ToolReply,
)
from emulator.xen.beings import Being
from emulator.xen.domains import Domain
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.images import IMAGES_MAX, Image, Images
from emulator.xen.layout import GuestSpec
from emulator.xen.peers import Peer
from emulator.xen.replies import done, no_domain, not_now, refused, reply, troubled
from emulator.xen.trouble import Trouble

SUCCESSORS_MAX = 1 << 10
NO_DOMIDS = "all domain ids are used up"


@dataclass(slots=True)
class Lives:
    """The guests of one hypervisor, and the ways in and out."""

    hypervisor: Hypervisor
    trouble: Trouble = field(default_factory=Trouble)
    peers: dict[str, Peer] = field(default_factory=dict[str, Peer])
    images: Images = field(default_factory=Images)
    _successors: dict[DomId, DomId | None] = field(default_factory=dict[DomId, DomId | None])

    def images_waiting(self) -> tuple[str, ...]:
        return self.images.waiting()

    def peers_info(self) -> tuple[PeerInfo, ...]:
        return tuple(peer.info() for peer in self.peers.values())

    def meeting(self, trouble: Trouble) -> Self:
        """The same toolstack, as a call meets it that is to go through this trouble."""
        return replace(self, trouble=trouble)

    def create(self, name: str, kind: GuestKind, pages: int) -> ToolReply:
        """Make a guest that was not there before, and start it."""
        judged = self.judge_create(name, kind, pages)
        if judged is not None:
            return judged
        return self._created(self.hypervisor.newborn(GuestSpec(name, kind, pages)))

    def judge_create(self, name: str, kind: GuestKind, pages: int) -> ToolReply | None:
        there = self._guest_called(name)
        if there is not None:
            is_it = there.kind is kind and len(there.p2m) == pages
            return done(there.domid) if is_it else refused(f"there is a guest {name} already")
        try:
            spec = GuestSpec(name, kind, pages)
        except ValueError as error:
            return refused(str(error))
        return self._is_taken(name) or self._no_room(spec.frames_needed, f"guest {name}")

    def destroy(self, domid: int) -> ToolReply:
        """End a domain, even one that crashed."""
        domain = self.hypervisor.domains.get(DomId(domid))
        if domain is not None:
            self.hypervisor.destroy(domain)
            return done(domid)
        return done(domid) if self.hypervisor.was_here(DomId(domid)) else no_domain(domid)

    def reboot(self, domid: int) -> ToolReply:
        """End a domain and start its guest afresh, in another, with the devices that it had."""
        domain = self.hypervisor.domains.get(DomId(domid))
        if domain is None:
            return self._moved_on(domid)
        if not self.hypervisor.domids_left:
            return refused(NO_DOMIDS)
        being = self.hypervisor.newborn(self.hypervisor.specs[domain.domid])
        born = self.hypervisor.replace(domain, being)
        if born is None:
            return not_now(f"no room: guest {domain.name}")
        return self._succeeded(domain.domid, done(born.domid))

    def save(self, domid: int, image: str) -> ToolReply:
        """Write a guest away and end its domain, which frees its pages."""
        known = self.images.get(image)
        if known is not None and known.saved_from == domid:
            return done(domid)
        if known is not None and known.being is not None:
            return refused(f"image {image} holds domain {known.saved_from}")
        domain = self.domain(domid)
        if domain is None:
            return no_domain(domid)
        if self.images.is_full:
            return refused(f"{IMAGES_MAX} images wait to be restored already")
        return (
            self._hindrance(domain)
            or self._trouble_at(domain, ToolCall.SAVE)
            or self._save(domain, image)
        )

    def restore(self, image: str) -> ToolReply:
        """Make a domain from an image: a new id, new frames, the old content, and it runs."""
        judged = self.judge_restore(image)
        if judged is not None:
            return judged
        if self.trouble.restore is not None:
            return troubled(self.trouble.restore, "restore")
        return self._restore(image)

    def judge_restore(self, image: str) -> ToolReply | None:
        known = self.images.get(image)
        if known is None:
            return reply(ToolOutcome.NO_SUCH_DOMAIN, f"there is no image {image}")
        if known.being is None:
            return done(known.restored_as)
        name = known.being.spec.name
        if self._guest_called(name) is not None:
            return refused(f"there is a guest {name} already")
        return self._no_room(known.being.frames_needed, f"guest {name}")

    def migrate(self, domid: int, to: str = HERE) -> ToolReply:
        """Move a running guest into a new domain: of this host, or of a peer."""
        judged = self.judge_migrate(domid, to)
        if judged is not None:
            return judged
        domain = self.hypervisor.domains[DomId(domid)]
        return self._trouble_at(domain, ToolCall.MIGRATE) or self._migrate(domain, to)

    def judge_migrate(self, domid: int, to: str = HERE) -> ToolReply | None:
        domain = self.domain(domid)
        if domain is None:
            return self._moved_on(domid)
        if not domain.is_running:
            return refused(f"domain {domid} must run to be migrated")
        if to != HERE and to not in self.peers:
            known = ", ".join(self.peers) or "none"
            return refused(f"there is no peer {to}; there are: {known}")
        return self._hindrance(domain) or self._no_room_at(to, domain)

    def domain(self, domid: int) -> Domain | None:
        """The domain, if there is something to be done with it: a crashed one can but be ended."""
        domain = self.hypervisor.domains.get(DomId(domid))
        return None if domain is None or domain.has_crashed else domain

    def _guest_called(self, name: str) -> Domain | None:
        return next((d for d in self.hypervisor.domains.values() if d.name == name), None)

    def _is_taken(self, name: str) -> ToolReply | None:
        """Why no new guest can be called so, though none that is here is."""
        if name in self.images.guests():
            return refused(f"guest {name} waits on the disk")
        is_dying = any(domain.name == name for domain in self.hypervisor.dying.values())
        return (
            not_now(f"guest {name} is dying, and others still map its pages") if is_dying else None
        )

    def _no_room(self, frames: int, whom: str) -> ToolReply | None:
        """Why there can be no new domain of so many frames now."""
        if not self.hypervisor.domids_left:
            return refused(NO_DOMIDS)
        has_room = self.hypervisor.has_room(frames)
        return None if has_room else not_now(f"no room: {frames} pages for {whom}")

    def _no_room_at(self, to: str, domain: Domain) -> ToolReply | None:
        frames = self.hypervisor.frames_needed(domain)
        if to == HERE:
            return self._no_room(frames, f"a second copy of {domain.name}")
        free = self.peers[to].free_pages
        return not_now(f"peer {to} has {free} pages free") if frames > free else None

    def _hindrance(self, domain: Domain) -> ToolReply | None:
        """Why the guest cannot leave its domain now."""
        if domain.devices:
            return refused(f"{', '.join(domain.devices)} is assigned to domain {domain.domid}")
        if not self.hypervisor.table.are_whole(domain.table_frames).all():
            return refused(f"domain {domain.domid} has a broken page table, and cannot be taken in")
        return None

    def _trouble_at(self, domain: Domain, call: ToolCall) -> ToolReply | None:
        """How leaving its domain fails, if it is to."""
        if call is ToolCall.SAVE and self.trouble.save is not None:
            return troubled(self.trouble.save, "save")
        if call not in self.trouble.half_way:
            return None
        if call is ToolCall.SAVE:  # the guest was stopped for it
            domain.state = DomainState.SUSPENDED
        return reply(ToolOutcome.FAILED, f"{call.name.lower()}: it failed half-way")

    def _save(self, domain: Domain, image: str) -> ToolReply:
        being = self.hypervisor.captured(domain)
        self.hypervisor.destroy(domain)
        self.images.put(image, Image(domain.domid, being))
        return done(domain.domid)

    def _restore(self, image: str) -> ToolReply:
        born = self._created(self.images.being_in(image))
        if born.outcome is ToolOutcome.DONE and born.domid is not None:
            self.images.empty(image, DomId(born.domid))
        return born

    def _migrate(self, domain: Domain, to: str) -> ToolReply:
        being = self.hypervisor.captured(domain)
        born = self._created(being) if to == HERE else _sent(being, self.peers[to])
        if born.outcome is ToolOutcome.DONE:
            self.hypervisor.destroy(domain)
        return self._succeeded(domain.domid, born)

    def _created(self, being: Being) -> ToolReply:
        domain = self.hypervisor.create(being)
        if domain is None:
            return not_now(f"no room: guest {being.spec.name}")
        return done(domain.domid)

    def _succeeded(self, domid: DomId, born: ToolReply) -> ToolReply:
        """Remember who came after `domid`, if anybody did."""
        if born.outcome is ToolOutcome.DONE:
            self._successors[domid] = None if born.domid is None else DomId(born.domid)
            if len(self._successors) > SUCCESSORS_MAX:
                del self._successors[next(iter(self._successors))]
        return born

    def _moved_on(self, domid: int) -> ToolReply:
        """The answer to who asks again for what has been done, or for nobody."""
        if domid not in self._successors:
            return no_domain(domid)
        return done(self._successors[DomId(domid)])


def _sent(being: Being, peer: Peer) -> ToolReply:
    peer.guests.append(being)
    return done()
