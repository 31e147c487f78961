"""Who lives on a host when it starts: Xen, dom0 and the guests, in frames.

What has a fixed place (holes of the memory map, Xen's image) is named by its frames; the Xen heap
and dom0 follow from the bottom, round what is placed already.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, pairwise

from agent.contract.frames import FIRST_RESERVED_DOMID, MFN_MAX, Mfn
from agent.contract.toolstack import GuestKind, Paging
from emulator.xen.pages import Place
from emulator.xen.pagetables import PageTables, tables_needed

NODES_MAX = 64  # as many as Xen keeps apart on x86


@dataclass(frozen=True, slots=True)
class GuestSpec:
    """A guest of `pages`. It must own the frames `at`, which become its first pages.

    Its workload keeps to its first `working_set_pages`, or uses all that are not page tables. From
    behind, its memory is: a PV guest's page tables; `pod_pages` of an HVM guest, which have no
    frame before they are touched; `cow_pages`, which it shares with others until it writes. The
    last of its working set before these are `ring_pages`, which dom0 maps for its backends, and
    before them `buffer_pages`, which its `devices` write to.

    Beside its memory there are for its sake: `shared_pages` of Xen's heap, `pool_pages` for its
    shadows or EPT, `state_pages` for its virtual hardware.
    """

    name: str
    kind: GuestKind
    pages: int
    at: tuple[Mfn, ...] = ()
    working_set_pages: int | None = None
    paging: Paging = Paging.HAP  # of no meaning for a PV guest
    shared_pages: int = 0
    pool_pages: int = 0
    state_pages: int = 0
    pod_pages: int = 0
    cow_pages: int = 0
    ring_pages: int = 0
    buffer_pages: int = 0
    devices: tuple[str, ...] = ()
    keeps_devices: bool = False  # it does not let them be taken away

    def __post_init__(self) -> None:
        complaint = self._complaint()
        if complaint is not None:
            raise ValueError(f"guest {self.name}: {complaint}")

    @property
    def tables(self) -> PageTables | None:
        """A PV guest's page tables; others' are plain pages."""
        return PageTables(self.pages) if self.kind is GuestKind.PV else None

    @property
    def usable(self) -> int:
        """How many pages are no page tables; they are the first ones."""
        return self.pages if self.tables is None else self.tables.first

    @property
    def working_set(self) -> int:
        return self.working_set_pages or self.usable

    @property
    def cows(self) -> range:
        end = self.usable - self.pod_pages
        return range(end - self.cow_pages, end)

    @property
    def rings(self) -> range:
        end = min(self.working_set, self.cows.start)
        return range(end - self.ring_pages, end)

    @property
    def buffers(self) -> range:
        return range(self.rings.start - self.buffer_pages, self.rings.start)

    @property
    def frames_beside(self) -> int:
        """Frames that are there for its sake and are not its memory."""
        return self.shared_pages + self.pool_pages + self.state_pages

    @property
    def frames_needed(self) -> int:
        return self.pages + self.frames_beside

    def _complaint(self) -> str | None:
        if self.pages < 1:
            return f"pages must be at least 1 (got {self.pages})"
        if self.usable < 1:
            return f"pages must be at least {1 + tables_needed(1)}, for its page tables"
        if len(self.at) > self.pages:
            return f"at names {len(self.at)} frames, but it has {self.pages} pages"
        if not 1 <= self.working_set <= self.usable:
            return f"working_set_pages must be 1 to {self.usable} (got {self.working_set_pages})"
        return self._out_of_place()

    def _out_of_place(self) -> str | None:
        special = self.ring_pages, self.cow_pages, self.buffer_pages, self.pod_pages
        if min(*special, self.shared_pages, self.pool_pages, self.state_pages) < 0:
            return "no number of pages may be negative"
        if self.buffers.start < 0:
            return "its rings and buffers do not fit its working set"
        if self.kind is GuestKind.PV and max(self.cow_pages, self.pod_pages, self.pool_pages):
            return "a PV guest shares no memory, populates nothing on demand and has no pool"
        if self.pages - self.pod_pages - self.cow_pages < max(len(self.at), 1):
            return "pod_pages and cow_pages leave too few pages that are its own at once"
        return None


@dataclass(frozen=True, slots=True)
class Layout:
    """A host of `frames`. Guests are numbered from domain 1 in the order given here.

    Its NUMA nodes share the frames equally. The devices of guests that are `away` are here.
    """

    frames: int
    xen_heap_frames: int
    dom0_frames: int
    guests: tuple[GuestSpec, ...] = ()
    places: tuple[Place, ...] = ()
    nodes: int = 1
    away: tuple[GuestSpec, ...] = ()

    def __post_init__(self) -> None:
        complaint = self._complaint()
        if complaint is not None:
            raise ValueError(complaint)

    @property
    def frames_needed(self) -> int:
        guests = sum(guest.frames_needed for guest in self.guests)
        return self.xen_heap_frames + self.dom0_frames + guests + sum(map(len, self.places))

    def is_placed(self, mfn: Mfn) -> bool:
        """True if the frame has its place before anybody is given memory."""
        return any(mfn in place for place in self.places)

    def behind(self, frames: int) -> int:
        """The first frame behind the lowest `frames` that have no fixed place."""
        end = frames
        for place in sorted(self.places, key=_first):
            if place.first < end:
                end += len(place)
        return end

    def _complaint(self) -> str | None:
        if not 1 <= self.frames <= MFN_MAX + 1:
            return f"frames must be 1 to {MFN_MAX + 1} (got {self.frames})"
        if not 1 <= self.nodes <= min(NODES_MAX, self.frames):
            return f"nodes must be 1 to {min(NODES_MAX, self.frames)} (got {self.nodes})"
        if min(self.xen_heap_frames, self.dom0_frames) < 0:
            return "xen_heap_frames and dom0_frames must be at least 0"
        if self.frames_needed > self.frames:
            return f"the host has {self.frames} frames, but its tenants need {self.frames_needed}"
        if len(self.guests) >= FIRST_RESERVED_DOMID:
            return f"a host has at most {FIRST_RESERVED_DOMID - 1} guests (got {len(self.guests)})"
        return self._named_twice() or self._places_wrong() or self._frames_misplaced()

    def _named_twice(self) -> str | None:
        guests = (*self.guests, *self.away)
        named = {
            "guests": [guest.name for guest in guests],
            "devices": [name for guest in guests for name in guest.devices],
        }
        twice = (f"two {what} are called {n}" for what, ns in named.items() for n in repeated(ns))
        return next(twice, None)

    def _frames_misplaced(self) -> str | None:
        claimed = Counter(mfn for guest in self.guests for mfn in guest.at)
        for mfn, times in claimed.items():
            if times > 1:
                return f"frame {mfn:#x} is to be owned twice"
            if not 0 <= mfn < self.frames:
                return f"frame {mfn:#x} is not on a host of {self.frames:#x} frames"
            if self.is_placed(mfn):
                return f"frame {mfn:#x} cannot be a guest's: it has a fixed place"
        return None

    def _places_wrong(self) -> str | None:
        in_order = sorted(self.places, key=_first)
        complaints = filter(None, (place.complaint(self.frames) for place in in_order))
        overlaps = (
            f"{below} overlaps {above}"
            for below, above in pairwise(in_order)
            if above.first <= below.last
        )
        return next(chain(complaints, overlaps), None)


def repeated(names: Iterable[str]) -> list[str]:
    """Those that are there more than once."""
    return [name for name, times in Counter(names).items() if times > 1]


def _first(place: Place) -> int:
    return place.first
