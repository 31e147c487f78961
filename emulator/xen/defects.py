"""What is wrong with real Xen 4.17, one switch a defect, and how a host ends by it.

A host that hangs or crashes is a value here: whoever asked gets a `HostDown` in place of a reply,
and it is for the edge to fall silent. The numbers are those of the defects as we list them:

    D1  a broken, offlined page brought online: refused, and then freed all the same, a panic
    D2  a page offlined while it is dirty counts as unscrubbed for ever, and a CPU never halts
    D3  a page brought online holds what the guest before left in it
    D4  giving pages to a domain forgets that they are OFFLINING, or broken
    D5  a marked page of a paging pool goes back into the pool, and is used again
    D6  an offlined page that breaks stays on the list of the offlined ones that are whole
    D7  the lock of a PV domain's populate-on-demand cache is never initialised
    D8  asking again about a broken page that has an owner crashes the owner
    D9  a frame number is cut to 32 bits without a word
    D10 the count of the range 0 to 2^32 - 1 wraps to 0
    D11 offlining takes free pages that are claimed, and the claims stand
    D12 an uncorrected error in a page that guests share is a BUG of Xen's
    D13 a free page breaks that heads a buddy of several: offlined again, the order of that buddy is
        read as the page's owner, a panic

The tool that is to exchange a page has its own, each hidden behind the one before:

    T0  it knows no guests but PV ones
    T1  it names dom0 as the owner of the page tables, and is refused for every page that is mapped
    T2  it keeps too few bits of an entry: the guest may not write to its page any more
    T3  it writes rubbish into the M2P
    T8  it does not mind a device that writes to the page

Xen's carving without alignment is not here: what hands a page out twice are the stale orders that
it leaves inside of buddies, and these free lists leave none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum

from agent.contract.frames import DomId


@dataclass(frozen=True, slots=True)
class Defects:
    """True: as in Xen 4.17. False: as it ought to be."""

    online_of_broken_panics: bool = True  # D1
    offlined_stay_unscrubbed: bool = True  # D2
    online_leaves_content: bool = True  # D3
    assign_forgets_marks: bool = True  # D4
    pools_keep_marked: bool = True  # D5
    broken_stay_listed_as_whole: bool = True  # D6
    pod_lock_hangs: bool = True  # D7
    again_crashes_owner: bool = True  # D8
    mfns_are_truncated: bool = True  # D9
    whole_range_wraps: bool = True  # D10
    claims_outlive_their_pages: bool = True  # D11
    shared_page_error_is_a_bug: bool = True  # D12
    orders_read_as_owners: bool = True  # D13
    exchange_is_for_pv_only: bool = True  # T0
    exchange_names_wrong_owner: bool = True  # T1
    exchange_loses_attributes: bool = True  # T2
    exchange_garbles_m2p: bool = True  # T3
    exchange_ignores_devices: bool = True  # T8


class DefectId(StrEnum):
    """The defects by their numbers, in the order of the switches."""

    D1 = "d1"
    D2 = "d2"
    D3 = "d3"
    D4 = "d4"
    D5 = "d5"
    D6 = "d6"
    D7 = "d7"
    D8 = "d8"
    D9 = "d9"
    D10 = "d10"
    D11 = "d11"
    D12 = "d12"
    D13 = "d13"
    T0 = "t0"
    T1 = "t1"
    T2 = "t2"
    T3 = "t3"
    T8 = "t8"


SWITCHES = {each: switch.name for each, switch in zip(DefectId, fields(Defects), strict=True)}


def switched(defects: Defects, states: Mapping[DefectId, bool]) -> Defects:
    """The same, with some of the switches set."""
    return replace(defects, **{SWITCHES[each]: state for each, state in states.items()})


XEN_4_17 = Defects()
MENDED = Defects(*[False for _ in fields(Defects)])


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
