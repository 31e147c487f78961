"""Domains: which of the host's frames stands behind each page of a guest.

The p2m leads from the guest's number to the host's, the M2P in the frame table leads back, and
the one undoes the other. A page that was ballooned out, or that nobody touched yet, has no frame.
"""

from dataclasses import dataclass, field

import numpy as np

from agent.contract.columns import I64, Bools
from agent.contract.frames import DomId, Gfn, Mfn
from agent.contract.hypercall import PageUse
from agent.contract.toolstack import DomainInfo, DomainState, GuestKind, Paging
from emulator.xen.frametable import Tenant
from emulator.xen.pagetables import PageTables

NO_FRAME = -1

NONE: I64 = np.empty(0, np.int64)

PAGES_OF: dict[GuestKind, PageUse] = {
    GuestKind.PV: PageUse.PV,
    GuestKind.HVM: PageUse.HVM,
    GuestKind.PVH: PageUse.HVM,
}


@dataclass(slots=True, eq=False)
class Domain:
    """One guest as the hypervisor sees it. `p2m[gfn]` is the frame, and is edited in place.

    Beside its memory there is for its sake: `shared`, frames of the Xen heap; `pool`, what its EPT
    or its shadows are made of; `state_pages`, what Xen keeps of its virtual hardware. One that
    `has_crashed` keeps all of that until it is destroyed.
    """

    domid: DomId
    name: str
    kind: GuestKind
    p2m: I64
    paging: Paging
    state: DomainState = DomainState.RUNNING
    tables: PageTables | None = None  # a PV guest's
    pinned: set[Gfn] = field(default_factory=set[Gfn])  # of these tables
    shared: I64 = field(default_factory=NONE.copy)
    pool: I64 = field(default_factory=NONE.copy)
    state_pages: I64 = field(default_factory=NONE.copy)
    pod_cache: I64 = field(default_factory=NONE.copy)
    strays: I64 = field(default_factory=NONE.copy)  # its own, and behind none of its pages
    devices: tuple[str, ...] = ()
    on_demand: Bools = field(init=False)  # pages that get their frame when they are touched
    is_shared: Bools = field(init=False)  # pages whose frame others have too: not to be written

    def __post_init__(self) -> None:
        self.on_demand = np.zeros(len(self.p2m), np.bool_)
        self.is_shared = np.zeros(len(self.p2m), np.bool_)

    @property
    def tenant(self) -> Tenant:
        return Tenant(PAGES_OF[self.kind], self.domid)

    @property
    def is_running(self) -> bool:
        return self.state is DomainState.RUNNING

    @property
    def has_crashed(self) -> bool:
        return self.state is DomainState.CRASHED

    @property
    def frames(self) -> I64:
        """The frames of its memory, those that there are."""
        frames: I64 = self.p2m[self.p2m != NO_FRAME]
        return frames

    @property
    def table_frames(self) -> I64:
        """Where its page tables are, the L1s first and the root last."""
        return NONE if self.tables is None else self.p2m[self.tables.first :]

    @property
    def root(self) -> Mfn:
        """The frame of the topmost page table, as the guest's CR3 has it."""
        return Mfn(int(self.table_frames[-1]))

    def info(self) -> DomainInfo:
        return DomainInfo(
            domid=self.domid,
            name=self.name,
            kind=self.kind,
            state=self.state,
            pages=len(self.frames),
            paging=self.paging,
            devices=self.devices,
        )
