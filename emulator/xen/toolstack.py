"""The toolstack: what a tool in dom0 can do to a guest, step by step, and what that comes to.

Here each call is immediate and whole; how long it takes is the edge's business. All of them may
be asked twice. What the order of an exchange is about: the guest is suspended, its pages are
moved and its existing mappings edited, and it must then resume by the slow path, or it goes on
with its old p2m.

`trouble` makes it misbehave. An outcome set there is answered without doing anything, even
`done`. One really happens: an exchange that may damage the guest moves the pages and loses what
they held, as Xen's tool does when it cannot map the new frame any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from agent.contract.columns import I64
from agent.contract.frames import DomId, Mfn
from agent.contract.toolstack import (
    DomainsReply,
    DomainState,
    ResumePath,
    ToolOutcome,
    ToolReply,
)
from emulator.xen.domains import Domain
from emulator.xen.frametable import FrameState
from emulator.xen.hypervisor import Being, Hypervisor
from emulator.xen.images import IMAGES_MAX, Image, Images
from emulator.xen.offline import on_host
from emulator.xen.pages import PageKind


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is to go wrong, until it is set otherwise. None: nothing."""

    suspend: ToolOutcome | None = None
    exchange: ToolOutcome | None = None
    resume: ToolOutcome | None = None
    save: ToolOutcome | None = None
    restore: ToolOutcome | None = None
    force_resume_path: ResumePath | None = None


@dataclass(slots=True)
class Toolstack:
    """Acts on the guests of one hypervisor."""

    hypervisor: Hypervisor
    trouble: Trouble = Trouble()
    _images: Images = field(default_factory=Images)

    def domains(self) -> DomainsReply:
        """All guests, and the images that wait to be restored."""
        domains = self.hypervisor.domains.values()
        infos = tuple(domain.info() for domain in domains if not domain.has_crashed)
        return DomainsReply(domains=infos, images=self._images.waiting())

    def suspend(self, domid: int) -> ToolReply:
        """Stop a guest where it can be worked on."""
        domain = self._domain(domid)
        if domain is None:
            return _no_domain(domid)
        if self.trouble.suspend is not None:
            return _troubled(self.trouble.suspend, "suspend")
        domain.state = DomainState.SUSPENDED
        return _done(domid)

    def exchange(self, domid: int, mfns: Sequence[int]) -> ToolReply:
        """Fresh frames for these pages of a suspended guest: for all of them, or for none."""
        domain = self._domain(domid)
        if domain is None:
            return _no_domain(domid)
        why = self._unfit_for_exchange(domain, mfns)
        if why is not None:
            return _reply(ToolOutcome.REFUSED, why)
        pending = self._still_pending(mfns)
        if not len(pending):
            return _done(domid)
        return self._exchange(domain, pending)

    def resume(self, domid: int, path: ResumePath = ResumePath.SLOW) -> ToolReply:
        """Let a suspended guest go on. Only the slow path makes it read its p2m again."""
        domain = self._domain(domid)
        if domain is None:
            return _no_domain(domid)
        if self.trouble.resume is not None:
            return _troubled(self.trouble.resume, "resume")
        if not domain.is_running and self._taken(path) is ResumePath.SLOW:
            self.hypervisor.guests[domain.domid].reread_p2m()
        domain.state = DomainState.RUNNING
        return _done(domid)

    def save(self, domid: int, image: str) -> ToolReply:
        """Write a guest away and end its domain, which frees its pages."""
        known = self._images.get(image)
        if known is not None and known.saved_from == domid:
            return _done(domid)
        if known is not None and known.being is not None:
            return _reply(ToolOutcome.REFUSED, f"image {image} holds domain {known.saved_from}")
        domain = self._domain(domid)
        if domain is None:
            return _no_domain(domid)
        if self._images.is_full:
            return _reply(ToolOutcome.REFUSED, f"{IMAGES_MAX} images wait to be restored already")
        if self.trouble.save is not None:
            return _troubled(self.trouble.save, "save")
        self._images.put(image, self._save(domain))
        return _done(domid)

    def restore(self, image: str) -> ToolReply:
        """Make a domain from an image: a new id, new frames, the old content, and it runs."""
        known = self._images.get(image)
        if known is None:
            return _reply(ToolOutcome.NO_SUCH_DOMAIN, f"there is no image {image}")
        if known.being is None:
            return _done(known.restored_as)
        if self.trouble.restore is not None:
            return _troubled(self.trouble.restore, "restore")
        return self._restore(image, known, known.being)

    def _domain(self, domid: int) -> Domain | None:
        """The domain, if there is something to be done with it: a crashed one can but be ended."""
        domain = self.hypervisor.domains.get(DomId(domid))
        return None if domain is None or domain.has_crashed else domain

    def _taken(self, path: ResumePath) -> ResumePath:
        return self.trouble.force_resume_path or path

    def _unfit_for_exchange(self, domain: Domain, mfns: Sequence[int]) -> str | None:
        """Why these pages cannot be exchanged; pages that are offlined already need nothing."""
        table = self.hypervisor.table
        for mfn in map(Mfn, mfns):
            if not on_host(table, mfn):
                return f"page {mfn:#x} is not on this host"
            if table.state_of(mfn) is FrameState.OFFLINED:
                continue
            if table.owner_of(mfn) != domain.domid:
                return f"page {mfn:#x} is not of domain {domain.domid}"
            if table.state_of(mfn) is not FrameState.OFFLINING:
                return f"page {mfn:#x} is not offline pending"
            if table.kind_of(mfn) is not PageKind(domain.kind):
                return f"page {mfn:#x} is a {table.kind_of(mfn)} page, and cannot be exchanged"
            if domain.is_running:
                return f"domain {domain.domid} must be suspended first"
        return None

    def _still_pending(self, mfns: Sequence[int]) -> I64:
        marked = self.hypervisor.table.marked()
        pending = [mfn for mfn in map(Mfn, mfns) if marked[mfn] is FrameState.OFFLINING]
        return np.array(list(dict.fromkeys(pending)), np.int64)

    def _exchange(self, domain: Domain, mfns: I64) -> ToolReply:
        trouble = self.trouble.exchange
        if trouble not in (None, ToolOutcome.GUEST_MAY_BE_DAMAGED):
            return _troubled(trouble, "exchange")
        gfns = self.hypervisor.move(domain, mfns)
        if gfns is None:
            return _reply(ToolOutcome.TRY_AGAIN, f"no {len(mfns)} free pages to exchange for")
        self.hypervisor.guests[domain.domid].follow_exchange(gfns)
        if trouble is None:
            return _done(domain.domid)
        self.hypervisor.memory.scrub(domain.p2m[gfns])
        return _troubled(trouble, "exchange")

    def _save(self, domain: Domain) -> Image:
        """The image of a domain that is gone by then."""
        workload = self.hypervisor.guests[domain.domid].workload
        words = self.hypervisor.memory.read(domain.p2m)
        self.hypervisor.destroy(domain)
        return Image(domain.domid, Being(domain.name, domain.kind, words, workload))

    def _restore(self, name: str, image: Image, being: Being) -> ToolReply:
        if not self.hypervisor.domids_left:
            return _reply(ToolOutcome.REFUSED, "all domain ids are used up")
        domain = self.hypervisor.create(being)
        if domain is None:
            return _reply(ToolOutcome.TRY_AGAIN, f"no {len(being.words)} free pages to restore to")
        self._images.put(name, Image(image.saved_from, being=None, restored_as=domain.domid))
        return _done(domain.domid)


def _done(domid: int | None) -> ToolReply:
    return ToolReply(outcome=ToolOutcome.DONE, domid=domid)


def _reply(outcome: ToolOutcome, reason: str) -> ToolReply:
    return ToolReply(outcome=outcome, reason=reason)


def _no_domain(domid: int) -> ToolReply:
    return _reply(ToolOutcome.NO_SUCH_DOMAIN, f"there is no domain {domid}")


def _troubled(outcome: ToolOutcome, call: str) -> ToolReply:
    return _reply(outcome, f"{call}: trouble was asked for")
