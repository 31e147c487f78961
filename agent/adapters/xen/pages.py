"""Calls about pages over a call that is neither atomic nor safe: plan by query, then page by page.

    query all ──► is one no page of this host? ──► refuse all, nothing has changed
              └─► one after the other, by what the query found:
                    broken ──► told as it is, and nothing asked ──► the next one
                    else   ──► ask, and tell what came of it    ──► the next one

Real Xen undoes nothing and cannot be asked what it would do, so what a query does not show is not
undone either: each page is told as it is, and one that Xen's image lies in does not keep the others
from being taken. Nothing here waits; who calls waits for it elsewhere.

What Xen does not say is not made up. A page that is online may be free or anybody's. Who maps a
page beside its owner is never told. And the owner is only told by asking for the page: so a query
of a page that *is* marked asks for it once more, which changes nothing.

Between a query and the call after it lie microseconds in which a page could break, or be freed.
Xen offers nothing against that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.adapters.xen.library import Library
from agent.adapters.xen.releases import Release
from agent.adapters.xen.words import (
    Found,
    Holder,
    Place,
    Taken,
    read_offline,
    read_online,
    read_query,
)
from agent.contract.frames import MFN_MAX, DomId, Mfn
from agent.contract.hypercall import PageStatus, Refusal, SysctlCommand


@dataclass(frozen=True, slots=True)
class Told:
    """One page's answer, but for what a guest uses it as: that is the toolstack's to know."""

    mfn: Mfn
    status: PageStatus
    holder: Holder = Holder.NOBODY
    owner: DomId | None = None
    refusal: Refusal | None = None
    is_broken: bool = False
    has_changed: bool = False


STATUS: dict[Place, PageStatus] = {
    Place.ONLINE: PageStatus.ONLINE,
    Place.PENDING: PageStatus.OFFLINE_PENDING,
    Place.OFFLINED: PageStatus.OFFLINED,
    Place.NO_MEMORY: PageStatus.FAILED,
}

# Marked or not: these do not leave by anything that can be done about a guest.
NEVER_LEAVES: dict[Holder, Refusal] = {
    Holder.XEN: Refusal.XEN_HEAP,
    Holder.XEN_IMAGE: Refusal.XEN_HEAP,
}


@dataclass(frozen=True, slots=True)
class Pages:
    """The rules 2, 3 and 4 are kept here."""

    library: Library
    release: Release

    def query(self, mfns: Sequence[Mfn]) -> list[Told]:
        """Where each page stands. A number beyond the host spoils only its own answer."""
        return [self._looked_at(mfn, self._find(mfn)) for mfn in mfns]

    def offline(self, mfns: Sequence[Mfn]) -> list[Told]:
        """What Xen holds itself is told as refused, though it is marked: it does not leave, and if
        it should, it stays out.
        """
        found = [self._find(mfn) for mfn in mfns]
        if refused := _refused_whole(mfns, found):
            return refused
        return [self._take(mfn, page) for mfn, page in zip(mfns, found, strict=True)]

    def online(self, mfns: Sequence[Mfn]) -> list[Told]:
        """Cancel what is pending. What has left the heap stays out, where the release cannot put
        it back without handing it out twice.
        """
        found = [self._find(mfn) for mfn in mfns]
        if refused := _refused_whole(mfns, found):
            return refused
        return [self._bring_back(mfn, page) for mfn, page in zip(mfns, found, strict=True)]

    def _find(self, mfn: Mfn) -> Found:
        if not 0 <= mfn <= MFN_MAX:
            return Found(Place.NO_MEMORY)
        return read_query(self.library.ask(SysctlCommand.QUERY, mfn))

    def _looked_at(self, mfn: Mfn, found: Found) -> Told:
        return self._take(mfn, found) if found.place is Place.PENDING else _as_found(mfn, found)

    def _take(self, mfn: Mfn, found: Found) -> Told:
        # To ask for a broken page again crashes its owner, or panics Xen.
        if found.is_broken:
            return _as_found(mfn, found)
        taken = read_offline(self.library.ask(SysctlCommand.OFFLINE, mfn))
        return _as_taken(mfn, taken, has_changed=taken.place is not found.place)

    def _bring_back(self, mfn: Mfn, found: Found) -> Told:
        if found.is_broken:  # to bring it online panics Xen
            return _as_found(mfn, found)
        if found.place is Place.OFFLINED and self.release.hands_out_twice:
            return Told(mfn, PageStatus.OFFLINED, refusal=Refusal.CANNOT_RETURN)
        if found.place is Place.ONLINE:
            return _as_found(mfn, found)
        changed = read_online(self.library.ask(SysctlCommand.ONLINE, mfn))
        return Told(mfn, STATUS[self._find(mfn).place], has_changed=changed)


def _refused_whole(mfns: Sequence[Mfn], found: Sequence[Found]) -> list[Told]:
    """The answers, if one page is none of the host's: the others are spared for its sake."""
    if all(page.place is not Place.NO_MEMORY for page in found):
        return []
    return [
        _as_found(mfn, page)
        if page.place is Place.NO_MEMORY
        else Told(mfn, PageStatus.FAILED, refusal=Refusal.PEER_FAILED, is_broken=page.is_broken)
        for mfn, page in zip(mfns, found, strict=True)
    ]


def _as_found(mfn: Mfn, found: Found) -> Told:
    refusal = Refusal.OUT_OF_RANGE if found.place is Place.NO_MEMORY else None
    holder = Holder.UNKNOWN if found.place is not Place.OFFLINED else Holder.NOBODY
    return Told(mfn, STATUS[found.place], holder, refusal=refusal, is_broken=found.is_broken)


def _as_taken(mfn: Mfn, taken: Taken, *, has_changed: bool) -> Told:
    refusal = NEVER_LEAVES.get(taken.holder)
    if taken.place is Place.NO_MEMORY:
        refusal = Refusal.OUT_OF_RANGE
    status = PageStatus.FAILED if refusal else STATUS[taken.place]
    return Told(mfn, status, taken.holder, taken.owner, refusal, taken.is_broken, has_changed)
