"""The toolstack: what a tool in dom0 can do to a guest, step by step, and what that comes to.

Here each call is immediate and whole; how long it takes is the edge's business. All of them may
be asked twice. What the order of an exchange is about: the guest is suspended, its pages are
moved and its existing mappings edited, and it must then resume by the slow path, or it goes on
with its old p2m.

`Lives` has the calls that end a domain or begin one; here are those about a guest that stays.
"""

from collections.abc import Sequence

import numpy as np

from agent.contract.frames import DomId, Mfn
from agent.contract.toolstack import (
    DomainsReply,
    DomainState,
    Paging,
    ResumePath,
    ToolCall,
    ToolOutcome,
    ToolReply,
)
from emulator.xen.devices import Device
from emulator.xen.domains import Domain
from emulator.xen.exchange import Exchange
from emulator.xen.frametable import FrameState
from emulator.xen.lives import Lives
from emulator.xen.offline import on_host
from emulator.xen.replies import done, no_domain, not_now, refused, reply, troubled


class Toolstack(Lives):
    """Acts on the guests of one hypervisor."""

    def domains(self) -> DomainsReply:
        """All guests, the images that wait to be restored, and where there is room."""
        host = self.hypervisor
        return DomainsReply(
            domains=tuple(d.info() for d in (*host.domains.values(), *host.dying.values())),
            images=self.images_waiting(),
            free_pages=host.table.free,
            peers=self.peers_info(),
        )

    def suspend(self, domid: int) -> ToolReply:
        """Stop a guest where it can be worked on."""
        domain = self.domain(domid)
        if domain is None:
            return no_domain(domid)
        if self.trouble.suspend is not None:
            return troubled(self.trouble.suspend, "suspend")
        domain.state = DomainState.SUSPENDED
        return done(domid)

    def exchange(self, domid: int, mfns: Sequence[int]) -> ToolReply:
        """Fresh frames for these pages of a suspended guest: for all of them, or for none."""
        domain = self.domain(domid)
        if domain is None:
            return no_domain(domid)
        trouble = self.trouble.exchange
        if trouble not in (None, ToolOutcome.GUEST_MAY_BE_DAMAGED):
            return troubled(trouble, "exchange")
        return Exchange(self.hypervisor).exchange(domain, mfns, self.trouble.exchange_trip)

    def resume(self, domid: int, path: ResumePath = ResumePath.SLOW) -> ToolReply:
        """Let a suspended guest go on. Only the slow path makes it read its p2m again."""
        domain = self.domain(domid)
        if domain is None:
            return no_domain(domid)
        if self.trouble.resume is not None:
            return troubled(self.trouble.resume, "resume")
        taken = self.trouble.force_resume_path or path
        if not domain.is_running and taken is ResumePath.SLOW:
            self.hypervisor.guests[domain.domid].reread_p2m()
        domain.state = DomainState.RUNNING
        return done(domid)

    def drop_shadows(self, domid: int) -> ToolReply:
        """Have the hypervisor build a guest's shadows anew: marked pages leave its pool."""
        judged = self.judge_drop_shadows(domid)
        if judged is not None:
            return judged
        self.hypervisor.drop_shadows(self.hypervisor.domains[DomId(domid)])
        return done(domid)

    def judge_drop_shadows(self, domid: int) -> ToolReply | None:
        domain = self.domain(domid)
        if domain is None:
            return no_domain(domid)
        if domain.paging is not Paging.SHADOW:
            return refused(f"domain {domid} has no shadows: its paging is {domain.paging}")
        return None

    def balloon(self, domid: int, mfns: Sequence[int]) -> ToolReply:
        """Have a guest give these pages up for good. It must run to hear of it."""
        domain = self.domain(domid)
        if domain is None:
            return no_domain(domid)
        wanted = [Mfn(mfn) for mfn in dict.fromkeys(mfns) if not self._has_let_go(domain, Mfn(mfn))]
        blamed = tuple(mfn for mfn in wanted if not self.hypervisor.can_give_up(domain, mfn))
        if blamed:
            why = f"domain {domid} cannot give up page {blamed[0]:#x}"
            return ToolReply(outcome=ToolOutcome.REFUSED, reason=why, blamed=blamed)
        if not domain.is_running:
            return not_now(f"domain {domid} is suspended")
        if wanted:
            gfns = self.hypervisor.table.gfns_of(np.array(wanted, np.int64))
            self.hypervisor.balloon_out(domain, gfns)
        return done(domid)

    def detach(self, domid: int, name: str) -> ToolReply:
        """Have a guest let go of a device; its DMA ends with that."""
        domain, device = self.domain(domid), self.hypervisor.devices.get(name)
        if domain is None:
            return no_domain(domid)
        if device is None or device.home != domain.name:
            return refused(f"domain {domid} has no device {name}")
        if name not in domain.devices:
            return done(domid)
        return self._detach(domain, device)

    def attach(self, domid: int, name: str) -> ToolReply:
        """Give a guest its device back."""
        domain, device = self.domain(domid), self.hypervisor.devices.get(name)
        if domain is None:
            return no_domain(domid)
        if device is None or device.home != domain.name:
            return refused(f"domain {domid} has no device {name}")
        if name not in domain.devices:
            device.attach(domain)
        return done(domid)

    def _detach(self, domain: Domain, device: Device) -> ToolReply:
        if not domain.is_running:
            return not_now(
                f"domain {domain.domid} is suspended, and cannot let go of {device.name}"
            )
        if not device.may_leave:
            return refused(f"the guest of domain {domain.domid} does not let go of {device.name}")
        if ToolCall.DETACH in self.trouble.half_way:
            return reply(ToolOutcome.FAILED, "detach: it failed half-way")
        device.detach(domain)
        return done(domain.domid)

    def _has_let_go(self, domain: Domain, mfn: Mfn) -> bool:
        """True if nobody has the page, or only others still map it: it is given up already."""
        table = self.hypervisor.table
        if not on_host(table, mfn):
            return False
        is_nobodys = table.state_of(mfn) in (FrameState.FREE, FrameState.OFFLINED)
        return is_nobodys or (
            mfn in table.references.lingering and table.owner_of(mfn) == domain.domid
        )
