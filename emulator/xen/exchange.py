"""The exchange of a stopped guest's pages: who may have it, in the order in which that is asked.

The order is that of real Xen's tool, so that the first thing wrong is what one is told. Pages that
have left already need nothing. Where single pages stand in the way, the answer names them, and the
others could go without them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from agent.contract.columns import I64
from agent.contract.frames import Mfn
from agent.contract.toolstack import GuestKind, ToolOutcome, ToolReply
from emulator.xen.domains import Domain
from emulator.xen.frametable import FrameState
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.moving import Move, Trip
from emulator.xen.offline import on_host
from emulator.xen.pages import PageKind
from emulator.xen.pagetables import maps_any
from emulator.xen.replies import done, reply

EXCHANGEABLE = frozenset({PageKind.PV, PageKind.HVM, PageKind.PAGE_TABLE})


@dataclass(frozen=True, slots=True)
class Exchange:
    """The call on one host."""

    host: Hypervisor

    def exchange(self, domain: Domain, mfns: Sequence[int], trip: Trip | None = None) -> ToolReply:
        """Fresh frames for these pages: for all of them, or for none."""
        wanted = [Mfn(mfn) for mfn in dict.fromkeys(mfns)]
        pending = [mfn for mfn in wanted if not self._has_left(mfn)]
        if not pending:
            return done(domain.domid)
        refused = self._unfit(domain) or self._unfit_pages(domain, pending)
        return refused or self._exchange(domain, np.array(pending, np.int64), trip)

    def _has_left(self, mfn: Mfn) -> bool:
        table = self.host.table
        return on_host(table, mfn) and table.state_of(mfn) is FrameState.OFFLINED

    def _unfit(self, domain: Domain) -> ToolReply | None:
        """Why no page of this domain can be exchanged now."""
        if domain.is_running:
            return reply(ToolOutcome.REFUSED, f"domain {domain.domid} must be suspended first")
        if self.host.defects.exchange_is_for_pv_only and domain.kind is not GuestKind.PV:
            return reply(ToolOutcome.REFUSED, "only a PV guest's pages can be exchanged")
        if domain.devices and not self.host.defects.exchange_ignores_devices:
            writing = ", ".join(domain.devices)
            return reply(ToolOutcome.REFUSED, f"{writing} may write to its memory at any time")
        return None

    def _unfit_pages(self, domain: Domain, mfns: list[Mfn]) -> ToolReply | None:
        """The first thing that is wrong with some of the pages, and with which."""
        table = self.host.table
        for outcome, why, is_wrong in _CHECKS:
            blamed = tuple(mfn for mfn in mfns if is_wrong(self, domain, mfn))
            if blamed:
                kind = table.kind_of(blamed[0])
                text = why.format(mfn=blamed[0], domid=domain.domid, kind=kind)
                return ToolReply(outcome=outcome, reason=text, blamed=blamed)
        return None

    def is_elsewhere(self, domain: Domain, mfn: Mfn) -> bool:
        del domain
        return not on_host(self.host.table, mfn)

    def is_anothers(self, domain: Domain, mfn: Mfn) -> bool:
        return self.host.table.owner_of(mfn) != domain.domid

    def is_unmarked(self, domain: Domain, mfn: Mfn) -> bool:
        del domain
        return self.host.table.state_of(mfn) is not FrameState.OFFLINING

    def is_broken(self, domain: Domain, mfn: Mfn) -> bool:
        """To move it is to read it. Real Xen's tool would; but a PV guest with a broken page is
        crashed by then, and it moves no other's.
        """
        del domain
        return self.host.table.is_broken(mfn)

    def is_fixed(self, domain: Domain, mfn: Mfn) -> bool:
        gfn = self.host.table.gfn_of(mfn)
        is_its_page = gfn is not None and int(domain.p2m[gfn]) == mfn
        return self.host.table.kind_of(mfn) not in EXCHANGEABLE or not is_its_page

    def is_mapped(self, domain: Domain, mfn: Mfn) -> bool:
        del domain
        return bool(self.host.table.references.mappers(mfn))

    def _exchange(self, domain: Domain, mfns: I64, trip: Trip | None) -> ToolReply:
        if self.host.defects.exchange_names_wrong_owner and self._is_mapped_by_itself(domain, mfns):
            return reply(ToolOutcome.FAILED, "clear pte failed")
        match self.host.move(domain, mfns, trip):
            case Move.DONE:
                return done(domain.domid)
            case Move.NO_ROOM:
                why = f"no {len(mfns)} free pages to exchange for"
                return reply(ToolOutcome.TRY_AGAIN, why)
            case Move.UNDONE:
                return reply(ToolOutcome.FAILED, "it failed half-way, and all is where it was")
            case Move.TORN:
                why = "it failed half-way, and could not be undone"
                return reply(ToolOutcome.GUEST_MAY_BE_DAMAGED, why)

    def _is_mapped_by_itself(self, domain: Domain, mfns: I64) -> bool:
        return maps_any(self.host.memory, domain.table_frames, mfns)


IsWrong = Callable[[Exchange, Domain, Mfn], bool]

_CHECKS: tuple[tuple[ToolOutcome, str, IsWrong], ...] = (
    (ToolOutcome.REFUSED, "page {mfn:#x} is not on this host", Exchange.is_elsewhere),
    (ToolOutcome.REFUSED, "page {mfn:#x} is not of domain {domid}", Exchange.is_anothers),
    (ToolOutcome.REFUSED, "page {mfn:#x} is not offline pending", Exchange.is_unmarked),
    (ToolOutcome.REFUSED, "page {mfn:#x} is broken", Exchange.is_broken),
    (
        ToolOutcome.REFUSED,
        "page {mfn:#x} is a {kind} page, and cannot be exchanged",
        Exchange.is_fixed,
    ),
    (ToolOutcome.TRY_AGAIN, "page {mfn:#x} is mapped by another domain", Exchange.is_mapped),
)
