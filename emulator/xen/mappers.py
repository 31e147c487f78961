"""Whoever maps pages of a guest beside it: backends of its rings, and tools that look into it.

A mapper knows a frame, and reads it again and again. If the guest's page is elsewhere by then, it
finds what the guest no longer writes there: harm done to the guest, which is not being heard.
"""

from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field

import numpy as np

from agent.contract.columns import I64
from agent.contract.frames import DomId, Gfn, Mfn
from emulator.machine.content import Content
from emulator.xen.domains import Domain
from emulator.xen.frametable import FrameTable
from emulator.xen.guests import Guest


@dataclass(frozen=True, slots=True, eq=False)
class Mapping:
    """`mapper` has frame `mfn` mapped, which was page `gfn` of `owner`. No two are the same.

    One that `leaves_with_owner` is let go of when the owner is gone, as backends do.
    """

    mapper: DomId
    owner: DomId
    gfn: Gfn
    mfn: Mfn
    leaves_with_owner: bool = True


@dataclass(slots=True)
class Mappers:
    """All such mappings on one host."""

    table: FrameTable
    memory: Content
    mappings: list[Mapping] = field(default_factory=list[Mapping])

    def map(self, mapper: DomId, domain: Domain, gfn: Gfn, *, leaves_with_owner: bool) -> Mapping:
        mfn = Mfn(int(domain.p2m[gfn]))
        self.table.references.map(mfn, mapper)
        mapping = Mapping(mapper, domain.domid, gfn, mfn, leaves_with_owner)
        self.mappings.append(mapping)
        return mapping

    def unmap(self, mapper: DomId, mfn: Mfn) -> None:
        """One mapping fewer.

        Raises:
            ValueError: if there is no such mapping.
        """
        same = (m for m in self.mappings if (m.mapper, m.mfn) == (mapper, mfn))
        mapping = next(same, None)
        if mapping is None:
            raise ValueError(f"domain {mapper} does not map frame {mfn:#x}")
        self.end(mapping)

    def end(self, mapping: Mapping) -> None:
        """The mapper lets go of it, if it has not yet."""
        if mapping in self.mappings:
            self.mappings.remove(mapping)
            self.table.references.unmap(mapping.mfn, mapping.mapper)

    def staying(self, domid: DomId) -> set[Mfn]:
        """The frames that will still be mapped when this domain is gone."""
        return {m.mfn for m in self.mappings if m.owner == domid and not m.leaves_with_owner}

    def owner_has_gone(self, domid: DomId) -> None:
        """Backends of this domain let go; others may take their time."""
        for mapping in [m for m in self.mappings if m.owner == domid and m.leaves_with_owner]:
            self.end(mapping)

    def mapper_has_gone(self, domid: DomId) -> None:
        """Whatever this domain mapped, it maps no more."""
        for mapping in [m for m in self.mappings if m.mapper == domid]:
            self.end(mapping)

    def look(self, guests: AnyMapping[DomId, Guest]) -> None:
        """Each compares what it finds with what the guest last wrote there; guests that map, while
        they run.
        """
        watched = [m for m in self.mappings if _is_watched(m, guests)]
        found = self.memory.read(_column([m.mfn for m in watched])).tolist()
        for mapping, word in zip(watched, found, strict=True):
            workload = guests[mapping.owner].workload
            workload.corruptions += word != int(workload.words[mapping.gfn])


def _is_watched(mapping: Mapping, guests: AnyMapping[DomId, Guest]) -> bool:
    owner, mapper = guests.get(mapping.owner), guests.get(mapping.mapper)
    stands_still = mapper is not None and not mapper.domain.is_running
    return owner is not None and not (stands_still or owner.workload.given_up[mapping.gfn])


def _column(numbers: list[Mfn]) -> I64:
    return np.array(numbers, np.int64)
