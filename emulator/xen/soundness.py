"""What must hold between the parts of a host, whatever was asked of it, told in sentences.

It reads every frame, so it is for small hosts, tests and judges.
"""

from collections.abc import Collection, Iterable, Iterator

import numpy as np

from agent.contract.columns import I64, Bools
from agent.contract.frames import DomId
from emulator.machine.content import Content
from emulator.xen.domains import NO_FRAME, Domain
from emulator.xen.frametable import FrameState, FrameTable, Tenant
from emulator.xen.guests import Guest
from emulator.xen.pages import PageKind
from emulator.xen.pagetables import LEVELS, attributes_of, frames_of, is_present, walk
from emulator.xen.settling import own_frames


def unsound(
    table: FrameTable, memory: Content, guests: Iterable[Guest], dying: Collection[Domain]
) -> Iterator[str]:
    """Where p2m, M2P, page tables, ownership and references disagree."""
    gone = table.holders() - {domain.domid for domain in dying}
    for guest in guests:
        domain = guest.domain
        gone.discard(domain.domid)
        claims = _claims(table, guest) | _claims_of_pv(memory, domain)
        yield from (
            f"domain {domain.domid} {wrong}" for wrong, holds in claims.items() if not holds
        )
    yield from (f"domain {domid} is gone and still holds frames" for domid in sorted(gone))
    yield from _about_references(table, dying)


def _claims(table: FrameTable, guest: Guest) -> dict[str, bool]:
    domain = guest.domain
    private = np.flatnonzero((domain.p2m != NO_FRAME) & ~domain.is_shared)
    gfns = np.flatnonzero(domain.p2m != NO_FRAME)
    return {
        "finds another page behind one of its frames": np.array_equal(
            table.gfns_of(domain.p2m[private]), private
        ),
        "does not have just the frames that it should": np.array_equal(
            np.sort(own_frames(domain)), _kept(table, domain)
        ),
        "has memory of another kind than its own": _is_of_kind(table, domain, private),
        "is led elsewhere than its p2m says": np.array_equal(
            guest.translation.find(gfns).frames, domain.p2m[gfns]
        ),
        "may not write where it should": bool(
            (guest.translation.find(private).writable == _should_write(domain, private)).all()
        ),
    }


def _kept(table: FrameTable, domain: Domain) -> I64:
    """What the table says is the domain's, less what it let go of and others still map."""
    owned = table.owned(domain.domid)
    return owned[~np.isin(owned, list(table.references.lingering))]


def _is_of_kind(table: FrameTable, domain: Domain, gfns: I64) -> bool:
    plain = domain.p2m[gfns if domain.tables is None else gfns[gfns < domain.tables.first]]
    tables = Tenant(PageKind.PAGE_TABLE, domain.domid)
    return table.owned_by(plain, domain.tenant) and table.owned_by(domain.table_frames, tables)


def _should_write(domain: Domain, gfns: I64) -> Bools:
    writable: Bools = gfns < (len(domain.p2m) if domain.tables is None else domain.tables.first)
    return writable


def _claims_of_pv(memory: Content, domain: Domain) -> dict[str, bool]:
    tables = domain.tables
    if tables is None:
        return {}
    entries = walk(memory, tables, domain.root)
    gfns = np.flatnonzero(domain.p2m != NO_FRAME)
    return {
        "has lost attributes of a mapping": np.array_equal(
            attributes_of(entries[gfns]), tables.attributes(gfns)
        ),
        "maps a page that it gave up": not is_present(entries[domain.p2m == NO_FRAME]).any(),
        "maps another frame than its p2m has": np.array_equal(
            frames_of(entries[gfns]), domain.p2m[gfns]
        ),
        "has a root that is not pinned": tables.root in domain.pinned,
        "is led through frames that are not its tables": all(
            _names_just(memory, domain.p2m[tables.on_level(level)], domain.p2m[below])
            for level, below in enumerate(map(tables.on_level, range(1, LEVELS)), 2)
        ),
    }


def _names_just(memory: Content, at: I64, below: I64) -> bool:
    """True if the tables at these frames name those of the level below, in their order.

    A table that was left behind still holds what it held, and would lead to the right end too.
    """
    entries = memory.tables(at).ravel()[: len(below)]
    return np.array_equal(frames_of(entries), below)


def _about_references(table: FrameTable, dying: Iterable[Domain]) -> Iterator[str]:
    held: set[DomId] = set()
    for mfn in table.references.mapped:
        if table.state_of(mfn) in (FrameState.FREE, FrameState.OFFLINED):
            yield f"frame {mfn:#x} is mapped and yet {table.state_of(mfn).name.lower()}"
    for mfn in table.references.lingering:
        held.add(table.holder_of(mfn))
        if not table.references.mappers(mfn):
            yield f"frame {mfn:#x} lingers and nobody maps it"
    for domain in dying:
        if domain.domid not in held:
            yield f"domain {domain.domid} is dying and nobody maps a page of it"
