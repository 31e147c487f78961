"""Pages that guests give away: to the host by ballooning, to another guest by a grant transfer.

    giver    gives the page up: no mapping, no p2m entry, and it knows that
    Xen      frees the frame; or assigns it to the taker, and should not forget its mark then (D4)
    taker    has it where an ordinary page of its own was, whose frame is freed

So whoever was told the owner of a page before a transfer acts on the wrong guest after it.
"""

from dataclasses import dataclass

import numpy as np

from agent.contract.columns import I64
from agent.contract.frames import Gfn, Mfn
from emulator.xen.devices import Device
from emulator.xen.domains import NO_FRAME, Domain
from emulator.xen.frametable import FrameTable
from emulator.xen.guests import Guest
from emulator.xen.pages import PageKind


@dataclass(frozen=True, slots=True)
class Giving:
    """What can be given on one host, and both ends of it."""

    table: FrameTable
    devices: dict[str, Device]

    def can_give_up(self, domain: Domain, mfn: Mfn) -> bool:
        """True for plain memory of this domain, of its own, that no device of its writes to."""
        gfn = self.table.gfn_of(mfn) if self.table.owner_of(mfn) == domain.domid else None
        if gfn is None or int(domain.p2m[gfn]) != mfn or domain.is_shared[gfn]:
            return False
        is_buffer = any(gfn in self.devices[name].buffers for name in domain.devices)
        return self.table.kind_of(mfn) is not PageKind.PAGE_TABLE and not is_buffer

    def can_transfer(self, domain: Domain, mfn: Mfn) -> bool:
        """The same, while the guest runs, nobody else maps the page, and it can be read."""
        is_held = bool(self.table.references.mappers(mfn)) or self.table.is_broken(mfn)
        return domain.is_running and not is_held and self.can_give_up(domain, mfn)

    def place_in(self, domain: Domain) -> Gfn | None:
        """Where a guest would put a page that it is given; None if it can do without none."""
        gfns = np.flatnonzero(domain.p2m != NO_FRAME).tolist()
        fit = (gfn for gfn in gfns if self.can_transfer(domain, Mfn(int(domain.p2m[gfn]))))
        return next(map(Gfn, fit), None)

    def let_go(self, guest: Guest, gfns: I64) -> I64:
        """The guest has these pages no more. The frames behind them are yet to be freed."""
        domain = guest.domain
        mfns = domain.p2m[gfns]
        guest.give_up(gfns)
        domain.p2m[gfns] = NO_FRAME
        guest.translation.follow(gfns)
        self.table.unmap(mfns)
        return mfns

    def take_in(self, guest: Guest, gfns: I64, mfns: I64) -> None:
        """The guest has these frames behind its pages now, with what is in them."""
        domain = guest.domain
        self.table.assign(mfns, domain.tenant)
        self.table.map(mfns, gfns)
        domain.p2m[gfns] = mfns
        guest.translation.follow(gfns)
        guest.take_in(gfns)
