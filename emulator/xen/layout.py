"""Who lives on a host when it starts: Xen, dom0 and the guests, in frames.

What has a fixed place (holes of the memory map, Xen's image) is named by its frames; the Xen heap
and dom0 follow from the bottom, round what is placed already.
"""

from collections import Counter
from dataclasses import dataclass
from itertools import chain, pairwise

from agent.contract.frames import FIRST_RESERVED_DOMID, MFN_MAX, Mfn
from agent.contract.toolstack import GuestKind
from emulator.xen.pages import Place

NODES_MAX = 64  # as many as Xen keeps apart on x86


@dataclass(frozen=True, slots=True)
class GuestSpec:
    """A guest of `pages`. It must own the frames `at`, which become its first pages.

    Its workload keeps to its first `working_set_pages`, or uses all of its memory. Its last
    `table_pages` are page tables; beside its memory, Xen shares `shared_pages` of its heap with it.
    """

    name: str
    kind: GuestKind
    pages: int
    at: tuple[Mfn, ...] = ()
    working_set_pages: int | None = None
    table_pages: int = 0
    shared_pages: int = 0

    def __post_init__(self) -> None:
        if self.pages < 1:
            raise ValueError(f"guest {self.name}: pages must be at least 1 (got {self.pages})")
        if len(self.at) > self.pages:
            raise ValueError(
                f"guest {self.name}: at names {len(self.at)} frames, but it has {self.pages} pages"
            )
        if not 1 <= (self.working_set_pages or 1) <= self.pages:
            raise ValueError(
                f"guest {self.name}: working_set_pages must be 1 to {self.pages} "
                f"(got {self.working_set_pages})"
            )
        self._check_tables()

    def _check_tables(self) -> None:
        most = self.pages if self.kind is GuestKind.PV else 0  # others' page tables are plain pages
        if not 0 <= self.table_pages <= most:
            raise ValueError(
                f"guest {self.name}: table_pages must be 0 to {most} (got {self.table_pages})"
            )
        if self.shared_pages < 0:
            raise ValueError(f"guest {self.name}: shared_pages must be at least 0")


@dataclass(frozen=True, slots=True)
class Layout:
    """A host of `frames`. Guests are numbered from domain 1 in the order given here.

    Its NUMA nodes share the frames equally.
    """

    frames: int
    xen_heap_frames: int
    dom0_frames: int
    guests: tuple[GuestSpec, ...] = ()
    places: tuple[Place, ...] = ()
    nodes: int = 1

    def __post_init__(self) -> None:
        complaint = self._complaint()
        if complaint is not None:
            raise ValueError(complaint)

    @property
    def frames_needed(self) -> int:
        guests = sum(guest.pages + guest.shared_pages for guest in self.guests)
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
        names = Counter(guest.name for guest in self.guests)
        twice = [name for name, times in names.items() if times > 1]
        return f"two guests are called {twice[0]}" if twice else None

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


def _first(place: Place) -> int:
    return place.first
