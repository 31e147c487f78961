"""Where on a host the pages of each kind are now, for whoever wants to break one of them.

Guests' pages are those of their working sets, so that harm to them is noticed; plain ones are of
guests without a device, and mapped by nobody else. What is laid out from the bottom of the host is
too much to be listed, and is drawn within its bounds instead.
"""

from collections.abc import Callable, Iterator

import numpy as np

from agent.contract.columns import I64, Bools
from agent.contract.hypercall import PageUse
from emulator.scenario import On
from emulator.xen.domains import NO_FRAME, NONE, PAGES_OF
from emulator.xen.guests import Guest
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import Layout
from emulator.xen.pages import PageKind
from emulator.xen.translation import Ept

Frames = Callable[[Hypervisor], I64]


def bounds(layout: Layout, on: On) -> tuple[int, int] | None:
    """The frames, from the first up to but not including the last, among which such pages are;
    None for what can be listed.
    """
    dom0_from = layout.behind(layout.xen_heap_frames)
    rest_from = layout.behind(layout.xen_heap_frames + layout.dom0_frames)
    return {
        On.XEN_HEAP: (0, dom0_from),
        On.DOM0: (dom0_from, rest_from),
        On.FREE: (rest_from, layout.frames),
    }.get(on)


def listed(hypervisor: Hypervisor, on: On) -> I64:
    """The frames of that kind that there are now, in no order."""
    return _LISTED[on](hypervisor)


def _joined(frames: Iterator[I64]) -> I64:
    return np.concatenate([NONE, *frames])


def _working_set(guest: Guest) -> I64:
    frames: I64 = guest.domain.p2m[: guest.workload.working_set_pages]
    there: I64 = frames[frames != NO_FRAME]
    return there


def _plain(use: PageUse) -> Frames:
    def frames(hypervisor: Hypervisor) -> I64:
        guests = hypervisor.guests.values()
        theirs: Iterator[I64] = (
            guest.domain.p2m[: guest.workload.working_set_pages][~_is_special(guest)]
            for guest in guests
            if PAGES_OF[guest.domain.kind] is use and not guest.domain.devices
        )
        found = _joined(theirs)
        plain: I64 = found[~np.isin(found, list(hypervisor.table.references.mapped))]
        return plain

    return frames


def _is_special(guest: Guest) -> Bools:
    """Of the pages of its working set, those without a frame of their own."""
    pages = guest.workload.working_set_pages
    domain = guest.domain
    special: Bools = (domain.p2m[:pages] == NO_FRAME) | domain.is_shared[:pages]
    return special


def _of_domains(field: str) -> Frames:
    def frames(hypervisor: Hypervisor) -> I64:
        return _joined(getattr(domain, field) for domain in hypervisor.domains.values())

    return frames


def _with_device(hypervisor: Hypervisor) -> I64:
    return _joined(_working_set(g) for g in hypervisor.guests.values() if g.domain.devices)


def _in_superpages(hypervisor: Hypervisor) -> I64:
    return _joined(_superpage_frames(guest) for guest in hypervisor.guests.values())


def _superpage_frames(guest: Guest) -> I64:
    if not isinstance(guest.translation, Ept):
        return NONE
    gfns = np.arange(guest.workload.working_set_pages)
    return guest.translation.find(gfns[guest.translation.in_superpage(gfns)]).frames


def _mapped(hypervisor: Hypervisor) -> I64:
    references = hypervisor.table.references
    return np.array(sorted(references.mapped - references.lingering), np.int64)


def _lingering(hypervisor: Hypervisor) -> I64:
    return np.array(sorted(hypervisor.table.references.lingering), np.int64)


def _shared(hypervisor: Hypervisor) -> I64:
    return hypervisor.sharing.frames


def _broken(hypervisor: Hypervisor) -> I64:
    """Those that a guest still has."""
    table = hypervisor.table
    return table.offlining_among(np.array(table.broken, np.int64))


def _placed(kind: PageKind) -> Frames:
    def frames(hypervisor: Hypervisor) -> I64:
        places = (place for place in hypervisor.layout.places if place.kind is kind)
        return _joined(np.arange(place.first, place.last + 1) for place in places)

    return frames


_LISTED: dict[On, Frames] = {
    On.HVM: _plain(PageUse.HVM),
    On.PV: _plain(PageUse.PV),
    On.PAGE_TABLE: _of_domains("table_frames"),
    On.SUPERPAGE: _in_superpages,
    On.MAPPED: _mapped,
    On.DEVICE: _with_device,
    On.ON_DEMAND: _of_domains("pod_cache"),
    On.SHADOW: _of_domains("pool"),
    On.HVM_STATE: _of_domains("state_pages"),
    On.SHARED: _shared,
    On.SHARED_INFO: _of_domains("shared"),
    On.DYING: _lingering,
    On.BROKEN: _broken,
    On.XEN_IMAGE: _placed(PageKind.XEN_IMAGE),
    On.M2P: _placed(PageKind.M2P),
    On.LOW: _placed(PageKind.LOW),
    On.ANONYMOUS: _placed(PageKind.ANONYMOUS),
}
