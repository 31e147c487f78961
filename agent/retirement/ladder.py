"""How to make whoever uses a page let go of it: the gentlest way first.

    free page          the hypercall alone takes it
    HVM guest          swap its p2m entry (no stop), else as for PV
    PV guest           stop–exchange–resume by the slow path, else save and restore
    PV page table      the same: the exchange pins it anew
    mapped by others   wait, bounded, for them to let go, else save and restore
    shadow             have the shadows dropped, else save and restore whom they belong to
    HVM state          save and restore whom it belongs to
    any of these       migrate the guest away, where that is configured and there is room
    dom0, shared       nothing we may do: park it, and watch
    Xen heap           unretirable

Whatever puts another page in the place of a bad one needs a page that is free: on a full host, such
a page is parked until there is one. A guest that was saved could not even be restored.

A guest with an assigned device climbs the same rungs, and each rung that touches it stands between
detaching the device and attaching it again: its DMA would not stop when the guest does.

All of it comes from what the hypervisor says of the page and the toolstack of its guest. A use that
no row names is parked, never guessed at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from agent.contract.hypercall import PageUse
from agent.contract.toolstack import HERE
from agent.retirement.outcome import Held
from agent.retirement.reason import Reason


class Rung(StrEnum):
    """One way to vacate a page."""

    WAIT = "wait"
    SWAP = "swap"
    DROP_SHADOWS = "drop_shadows"
    EXCHANGE = "exchange"
    SAVE_RESTORE = "save_restore"
    MIGRATE = "migrate"


@dataclass(frozen=True, slots=True)
class Terms:
    """What the operator allows, gentlest first.

    `migrate_to` is a peer's name, `here`, or empty: nowhere. Others who map a page have
    `mapped_seconds` to let go of it.
    """

    rungs: tuple[Rung, ...] = tuple(Rung)
    migrate_to: str = ""
    mapped_seconds: float = 60.0


LADDER: dict[PageUse, tuple[Rung, ...]] = {
    PageUse.HVM: (Rung.SWAP, Rung.EXCHANGE, Rung.SAVE_RESTORE, Rung.MIGRATE),
    PageUse.PV: (Rung.EXCHANGE, Rung.SAVE_RESTORE, Rung.MIGRATE),
    PageUse.PAGE_TABLE: (Rung.EXCHANGE, Rung.SAVE_RESTORE, Rung.MIGRATE),
    PageUse.SHADOW: (Rung.DROP_SHADOWS, Rung.SAVE_RESTORE, Rung.MIGRATE),
    PageUse.HVM_STATE: (Rung.SAVE_RESTORE, Rung.MIGRATE),
}

WHILE_MAPPED = (Rung.WAIT, Rung.SAVE_RESTORE, Rung.MIGRATE)

# These put another page of this host in its place, before or after it has left.
NEEDING_ROOM = frozenset({Rung.SWAP, Rung.EXCHANGE, Rung.SAVE_RESTORE})

# Why a use has no rungs.
LEFT_ALONE: dict[PageUse, Reason] = {
    PageUse.DOM0: Reason.DOM0,
    PageUse.XEN_HEAP: Reason.XEN_HEAP,
    PageUse.SHARED: Reason.SHARED,
}


def rungs_for(held: Held, terms: Terms) -> tuple[Rung, ...]:
    """The rungs to try for a page that is held so, in order."""
    ladder = LADDER.get(held.use, ())
    if ladder and held.mappers:
        ladder = WHILE_MAPPED
    return tuple(rung for rung in terms.rungs if rung in ladder and _is_there(rung, held, terms))


def beginning(use: PageUse, rungs: Sequence[Rung]) -> str:
    """For people: what is done first about a page that is used so."""
    if rungs:
        return f"{rungs[0]} first"
    return "at once" if use is PageUse.FREE else "nothing but to ask for it"


def why_none(held: Held, tried: tuple[Rung, ...] = ()) -> Reason:
    """Why `rungs_for` came back with no rung but those that were tried."""
    if held.use not in LADDER:
        return LEFT_ALONE.get(held.use, Reason.USE_UNKNOWN)
    if not held.guest.is_alive:
        return Reason.NOT_ALIVE
    if not held.guest.has_room:
        return Reason.NO_FREE_MEMORY
    return Reason.RUNGS_TRIED if tried else Reason.RUNGS_FORBIDDEN


def _is_there(rung: Rung, held: Held, terms: Terms) -> bool:
    """True if this rung can be climbed with that guest: for a dead one, whatever asks nothing of
    it, and a device that it has would have to be asked for.
    """
    if rung in NEEDING_ROOM and not held.guest.has_room:
        return False
    if held.owner is None or not held.guest.is_alive:
        return rung is Rung.WAIT or (rung is Rung.SWAP and not held.guest.devices)
    return rung is not Rung.MIGRATE or _may_migrate(held, terms)


def _may_migrate(held: Held, terms: Terms) -> bool:
    """A device cannot follow its guest to a peer, so such a guest never goes there."""
    return held.guest.may_leave and (terms.migrate_to == HERE or not held.guest.devices)
