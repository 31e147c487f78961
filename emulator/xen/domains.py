"""Domains: which of the host's frames stands behind each page of a guest.

The p2m leads from the guest's number to the host's, the M2P in the frame table leads back, and
the one undoes the other. `check` says where it does not.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from agent.contract.columns import I64
from agent.contract.frames import DomId
from agent.contract.hypercall import PageUse
from agent.contract.toolstack import DomainInfo, DomainState, GuestKind
from emulator.xen.frametable import FrameTable, Tenant


@dataclass(slots=True, eq=False)
class Domain:
    """One guest as the hypervisor sees it. `p2m[gfn]` is the frame, and is edited in place.

    `shared` are frames of the Xen heap that are there for its sake. One that `has_crashed` keeps
    its frames until it is destroyed.
    """

    domid: DomId
    name: str
    kind: GuestKind
    p2m: I64
    state: DomainState = DomainState.RUNNING
    shared: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    has_crashed: bool = False

    @property
    def tenant(self) -> Tenant:
        return Tenant(PageUse(self.kind), self.domid)

    @property
    def is_running(self) -> bool:
        return self.state is DomainState.RUNNING

    def info(self) -> DomainInfo:
        return DomainInfo(
            domid=self.domid,
            name=self.name,
            kind=self.kind,
            state=self.state,
            pages=len(self.p2m),
        )


def check(table: FrameTable, domains: Iterable[Domain]) -> list[str]:
    """Where p2m, M2P and ownership disagree, in sentences."""
    return [wrong for domain in domains for wrong in _check(table, domain)]


def _check(table: FrameTable, domain: Domain) -> list[str]:
    claims = {
        "has a page without a frame of its own": table.owned_by(domain.p2m, domain.tenant),
        "finds another page behind one of its frames": np.array_equal(
            table.gfns_of(domain.p2m), np.arange(len(domain.p2m))
        ),
    }
    return [f"domain {domain.domid} {wrong}" for wrong, holds in claims.items() if not holds]
