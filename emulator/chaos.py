"""Chance: which page goes bad next, drawn from the seed.

A guest's page is drawn from its working set, so that harm to it is noticed; no page is drawn twice.
Where there is no such page now (the guest is being saved, say) the answer is None: ask again.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet

from numpy.random import Generator

from agent.contract.frames import Mfn
from agent.contract.hypercall import PageUse
from emulator.scenario import On
from emulator.xen.frametable import FrameState
from emulator.xen.hypervisor import Hypervisor

_DRAWS_MAX = 1000


def draw(hypervisor: Hypervisor, on: On, taken: AbstractSet[Mfn], rng: Generator) -> Mfn | None:
    """A page of the kind `on` that is in use as such now and is not among `taken`."""
    one = _lot(hypervisor, on, rng)
    if one is None:
        return None
    for _ in range(_DRAWS_MAX):
        mfn = one()
        if mfn not in taken and _is(hypervisor, mfn, on):
            return mfn
    return None


def _lot(hypervisor: Hypervisor, on: On, rng: Generator) -> Callable[[], Mfn] | None:
    """Something that draws one page from where such pages are; None if there are none."""
    if on in (On.HVM, On.PV):
        return _guests_page(hypervisor, on, rng)
    layout = hypervisor.layout
    dom0_from = layout.behind(layout.xen_heap_frames)
    rest_from = layout.behind(layout.xen_heap_frames + layout.dom0_frames)
    first, last = {
        On.XEN_HEAP: (0, dom0_from),
        On.DOM0: (dom0_from, rest_from),
        On.FREE: (rest_from, layout.frames),
    }[on]
    return (lambda: Mfn(int(rng.integers(first, last)))) if first < last else None


def _guests_page(hypervisor: Hypervisor, on: On, rng: Generator) -> Callable[[], Mfn] | None:
    everybody = hypervisor.guests.values()
    guests = [guest for guest in everybody if On.guests_of(guest.domain.kind) is on]
    if not guests:
        return None

    def one() -> Mfn:
        guest = guests[int(rng.integers(len(guests)))]
        gfn = int(rng.integers(guest.workload.working_set_pages))
        return Mfn(int(guest.domain.p2m[gfn]))

    return one


def _is(hypervisor: Hypervisor, mfn: Mfn, on: On) -> bool:
    table = hypervisor.table
    in_place = table.state_of(mfn) in (FrameState.FREE, FrameState.IN_USE)
    return in_place and table.use_of(mfn) is PageUse(on.value)
