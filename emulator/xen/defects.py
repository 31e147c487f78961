"""What is wrong with real Xen 4.17, one switch a defect, and how a host ends by it.

A host that hangs or crashes is a value here: whoever asked gets a `HostDown` in place of a reply,
and it is for the edge to fall silent. The numbers are those of the defects as we list them:

    D1  a broken, offlined page brought online: refused, and then freed all the same, a panic
    D3  a page brought online holds what the guest before left in it
    D7  the lock of a PV domain's populate-on-demand cache is never initialised
    D8  asking again about a broken page that has an owner crashes the owner
    D9  a frame number is cut to 32 bits without a word
    D10 the count of the range 0 to 2^32 - 1 wraps to 0

D2, D4, D5 and D6 have nothing here to be seen in: no scrubber that runs in the background, no
moment between taking a frame and assigning it, no paging pools, no list of broken pages.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from agent.contract.frames import DomId


@dataclass(frozen=True, slots=True)
class Defects:
    """True: as in Xen 4.17. False: as it ought to be."""

    online_of_broken_panics: bool = True  # D1
    online_leaves_content: bool = True  # D3
    pod_lock_hangs: bool = True  # D7
    again_crashes_owner: bool = True  # D8
    mfns_are_truncated: bool = True  # D9
    whole_range_wraps: bool = True  # D10
    pools_keep_marked: bool = True  # D5
    exchange_is_for_pv_only: bool = True
    exchange_names_wrong_owner: bool = True  # T1
    exchange_loses_attributes: bool = True  # T2
    exchange_garbles_m2p: bool = True  # T3


XEN_4_17 = Defects()
MENDED = Defects(
    online_of_broken_panics=False,
    online_leaves_content=False,
    pod_lock_hangs=False,
    again_crashes_owner=False,
    mfns_are_truncated=False,
    whole_range_wraps=False,
    pools_keep_marked=False,
    exchange_is_for_pv_only=False,
    exchange_names_wrong_owner=False,
    exchange_loses_attributes=False,
    exchange_garbles_m2p=False,
)


class Down(StrEnum):
    HUNG = "hung"
    CRASHED = "crashed"


@dataclass(frozen=True, slots=True)
class HostDown:
    """The host answers no more, this call or any other."""

    kind: Down
    why: str


@dataclass(slots=True)
class PodLocks:
    """D7: the lock's zeros read "held by CPU 0".

    The first taker on CPU 0 skips the acquire and yet releases, and everybody after it spins. The
    first taker on any other CPU repairs the lock for good. At most one entry a domain id.
    """

    _first_cpu: dict[DomId, int] = field(default_factory=dict[DomId, int])

    def take(self, domid: DomId, cpu: int) -> bool:
        """Take and give back the lock of `domid`; False: it spins for ever."""
        if domid in self._first_cpu:
            return self._first_cpu[domid] != 0
        self._first_cpu[domid] = cpu
        return True
