"""Chance: which page goes bad next, drawn from the seed.

No page is drawn twice. Where there is no such page now (the guest is being saved, say) the answer
is None: ask again.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet

from numpy.random import Generator

from agent.contract.frames import Mfn
from agent.contract.hypercall import PageUse
from emulator.scenario import On
from emulator.targets import bounds, listed
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
    within = bounds(hypervisor.layout, on)
    if within is not None:
        first, last = within
        return (lambda: Mfn(int(rng.integers(first, last)))) if first < last else None
    frames = listed(hypervisor, on)
    return (lambda: Mfn(int(rng.choice(frames)))) if len(frames) else None


def _is(hypervisor: Hypervisor, mfn: Mfn, on: On) -> bool:
    table = hypervisor.table
    in_place = on is On.BROKEN or table.state_of(mfn) in (FrameState.FREE, FrameState.IN_USE)
    return in_place and (
        bounds(hypervisor.layout, on) is None or table.use_of(mfn) is PageUse(on.value)
    )
