"""Who should have each frame, told from the domains alone: the frame table is not asked.

A frame that its owner let go of and that somebody still maps is in nobody's books any more. It must
be what it was a step ago; so the ledger remembers one step.
"""

from collections.abc import Iterator

import numpy as np

from agent.contract.columns import I64
from emulator.xen.domains import NO_FRAME, PAGES_OF, Domain
from emulator.xen.frametable import FrameState
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.pages import PageKind
from tests.property.host_machine.small import FRAMES, fixed_kinds

Claim = tuple[I64, PageKind, int]  # frames, as what, by which domain

_KINDS = tuple(PageKind)
_CODES = {kind: code for code, kind in enumerate(_KINDS)}
_FIXED = {
    kind: np.array([mfn for mfn, its in fixed_kinds().items() if its is kind])
    for kind in set(fixed_kinds().values())
}


class Ledger:
    """`kinds` and `owners` of all frames as they should be, as of the last `update`."""

    def __init__(self) -> None:
        self.kinds = np.zeros(FRAMES, np.uint8)
        self.owners = np.zeros(FRAMES, np.uint16)
        self.lingering: set[int] = set()
        self.twice: list[int] = []

    def update(self, host: Hypervisor) -> None:
        """Write the books anew. `twice` are frames that more than one claim names."""
        kinds, owners, times = np.zeros((3, FRAMES), np.uint16)
        for mfns, kind, owner in _claims(host):
            kinds[mfns], owners[mfns] = _CODES[kind], owner
            np.add.at(times, mfns, 1)
        for domain in host.domains.values():  # what is left of a torn guest is of either kind
            kinds[domain.strays] = host.table._use[domain.strays]
            owners[domain.strays], times[domain.strays] = domain.domid, 1
        self.lingering = {m.mfn for m in host.mappers.mappings if not times[m.mfn]}
        held = list(self.lingering)
        kinds[held], owners[held] = self.kinds[held], self.owners[held]
        self.kinds, self.owners = kinds.astype(np.uint8), owners
        self.twice = np.flatnonzero(times > 1).tolist()

    def kind_of(self, mfn: int) -> PageKind:
        return _KINDS[int(self.kinds[mfn])] if mfn < FRAMES else PageKind.ABSENT

    def differences(self, host: Hypervisor) -> list[str]:
        """Where the frame table says something else."""
        table = host.table
        used = (table._state == FrameState.IN_USE) | (table._state == FrameState.OFFLINING)
        wrong = {
            "is in use by nobody, or by somebody and not in use": used != (self.kinds > 0),
            "is of another kind": table._use != self.kinds,
            "is another's": table._owner != self.owners,
        }
        found = [f"{mfn:#x} {what}" for what, at in wrong.items() for mfn in np.flatnonzero(at)]
        return [*found, *(f"{mfn:#x} is had twice" for mfn in self.twice)]


def _claims(host: Hypervisor) -> Iterator[Claim]:
    for kind, mfns in _FIXED.items():
        yield mfns, kind, 0
    for domain in host.domains.values():
        yield from _claims_of(domain)
    yield host.sharing.frames, PageKind.COW, 0


def _claims_of(domain: Domain) -> Iterator[Claim]:
    plain, domid = PageKind(PAGES_OF[domain.kind].value), domain.domid
    first_table = len(domain.p2m) if domain.tables is None else domain.tables.first
    own = np.flatnonzero((domain.p2m != NO_FRAME) & ~domain.is_shared)
    yield domain.p2m[own[own < first_table]], plain, domid
    yield domain.p2m[own[own >= first_table]], PageKind.PAGE_TABLE, domid
    yield domain.shared, PageKind.SHARED_INFO, domid
    yield domain.pool, PageKind.PAGING_POOL, domid
    yield domain.state_pages, PageKind.HVM_STATE, domid
    yield domain.pod_cache, PageKind.POD_CACHE, domid
