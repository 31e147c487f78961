"""Whoever maps pages of a guest for a while: a backend, a tool of dom0's, another guest.

Each visit begins at its time, on pages that chance draws from the guest's plain ones, and ends when
its time is over, or with the guest, or never. Pure: it is told what time it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

from agent.contract.frames import DOM0, DomId, Gfn
from emulator.scenario import MappingSettings
from emulator.xen.domains import NO_FRAME, Domain
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.mappers import Mapping


@dataclass(slots=True)
class Visits:
    """All visits of one world, those to come and those that go on."""

    coming: list[MappingSettings]
    _ending: list[tuple[float, Mapping]] = field(default_factory=list[tuple[float, Mapping]])

    def step(self, hypervisor: Hypervisor, now: float, rng: Generator) -> None:
        """Begin what is due, once both are there, and end what has lasted long enough."""
        for visit in [v for v in self.coming if v.at_seconds <= now]:
            mapper, domain = _mapper(hypervisor, visit), _domain_of(hypervisor, visit.guest)
            if domain is not None and mapper is not None:
                self.coming.remove(visit)
                self._ending += _begun(hypervisor, mapper, domain, visit, rng)
        for ending in [e for e in self._ending if e[0] <= now]:
            self._ending.remove(ending)
            hypervisor.end_mapping(ending[1])

    def forget(self) -> None:
        """The host rebooted: nobody maps anything."""
        self._ending.clear()


def _begun(
    hypervisor: Hypervisor, mapper: DomId, domain: Domain, visit: MappingSettings, rng: Generator
) -> list[tuple[float, Mapping]]:
    """The visit begins; when each of its mappings is to end, of those that are."""
    gfns = _plain(hypervisor, domain, rng)[: visit.pages]
    stays = visit.outlives_guest
    made = [hypervisor.map_page(mapper, domain, Gfn(gfn), stays=stays) for gfn in gfns]
    if visit.seconds is None:
        return []
    return [(visit.at_seconds + visit.seconds, mapping) for mapping in made]


def _mapper(hypervisor: Hypervisor, visit: MappingSettings) -> DomId | None:
    if visit.by is None:
        return DOM0
    domain = _domain_of(hypervisor, visit.by)
    return None if domain is None else domain.domid


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
