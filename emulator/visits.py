"""Whoever maps pages of a guest for a while: a backend, a tool of dom0's, a debugger.

Each visit begins at its time, on pages that chance draws from the guest's plain ones, and ends when
its time is over, or with the guest, or never. Pure: it is told what time it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

from agent.contract.frames import DOM0, Gfn, Mfn
from emulator.scenario import MappingSettings
from emulator.xen.domains import NO_FRAME, Domain
from emulator.xen.hypervisor import Hypervisor


@dataclass(slots=True)
class Visits:
    """All visits of one world, those to come and those that go on."""

    coming: list[MappingSettings]
    _ending: list[tuple[float, Mfn]] = field(default_factory=list[tuple[float, Mfn]])

    def step(self, hypervisor: Hypervisor, now: float, rng: Generator) -> None:
        """Begin what is due, once its guest is there, and end what has lasted long enough."""
        for visit in [v for v in self.coming if v.at_seconds <= now]:
            domain = _domain_of(hypervisor, visit.guest)
            if domain is not None:
                self.coming.remove(visit)
                self._begin(hypervisor, domain, visit, rng)
        for ending in [e for e in self._ending if e[0] <= now]:
            self._ending.remove(ending)
            if DOM0 in hypervisor.table.references.mappers(ending[1]):
                hypervisor.unmap_page(DOM0, ending[1])

    def forget(self) -> None:
        """The host rebooted: nobody maps anything."""
        self._ending.clear()

    def _begin(
        self, hypervisor: Hypervisor, domain: Domain, visit: MappingSettings, rng: Generator
    ) -> None:
        for gfn in _plain(hypervisor, domain, rng)[: visit.pages]:
            mfn = Mfn(int(domain.p2m[gfn]))
            hypervisor.map_page(DOM0, domain, Gfn(gfn), stays=visit.outlives_guest)
            if visit.seconds is not None:
                self._ending.append((visit.at_seconds + visit.seconds, mfn))


def _domain_of(hypervisor: Hypervisor, name: str) -> Domain | None:
    return next((d for d in hypervisor.domains.values() if d.name == name), None)


def _plain(hypervisor: Hypervisor, domain: Domain, rng: Generator) -> Sequence[int]:
    """The pages of the guest's working set that nobody maps yet, in an order drawn by lot."""
    gfns = np.arange(hypervisor.guests[domain.domid].workload.working_set_pages)
    frames = domain.p2m[gfns]
    taken = np.isin(frames, list(hypervisor.table.references.mapped))
    is_plain = (frames != NO_FRAME) & ~domain.is_shared[gfns] & ~taken
    plain: list[int] = rng.permutation(gfns[is_plain]).tolist()
    return plain
