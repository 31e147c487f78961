"""How to make whoever uses a page let go of it: the gentlest way first.

    free page   the hypercall alone takes it
    HVM guest   swap its p2m entry (no stop), else stop–exchange–resume, else save and restore
    PV guest    stop–exchange–resume by the slow path, else save and restore
    dom0        nothing we may do: park until it is freed, and ask for host maintenance
    Xen heap    unretirable

The page's use comes from the hypervisor. A use that no row names is parked, never guessed at.
"""

from collections.abc import Collection
from enum import StrEnum

from agent.contract.hypercall import PageUse


class Rung(StrEnum):
    """One way to vacate a page."""

    SWAP = "swap"
    EXCHANGE = "exchange"
    SAVE_RESTORE = "save_restore"


LADDER: dict[PageUse, tuple[Rung, ...]] = {
    PageUse.HVM: (Rung.SWAP, Rung.EXCHANGE, Rung.SAVE_RESTORE),
    PageUse.PV: (Rung.EXCHANGE, Rung.SAVE_RESTORE),
}


def rungs_for(use: PageUse, allowed: Collection[Rung] = tuple(Rung)) -> tuple[Rung, ...]:
    """The rungs to try for a page of this use, in order, less what the operator forbids."""
    return tuple(rung for rung in LADDER.get(use, ()) if rung in allowed)
