"""Who lives on a host when it starts: Xen, dom0 and the guests, in frames."""

from collections import Counter
from dataclasses import dataclass

from agent.contract.frames import FIRST_RESERVED_DOMID, MFN_MAX, Mfn
from agent.contract.toolstack import GuestKind


@dataclass(frozen=True, slots=True)
class GuestSpec:
    """A guest of `pages`. It must own the frames `at`, which become its first pages.

    Its workload keeps to its first `working_set_pages`, or uses all of its memory.
    """

    name: str
    kind: GuestKind
    pages: int
    at: tuple[Mfn, ...] = ()
    working_set_pages: int | None = None

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


@dataclass(frozen=True, slots=True)
class Layout:
    """A host of `frames`. Guests are numbered from domain 1 in the order given here."""

    frames: int
    xen_heap_frames: int
    dom0_frames: int
    guests: tuple[GuestSpec, ...] = ()

    def __post_init__(self) -> None:
        complaint = self._complaint()
        if complaint is not None:
            raise ValueError(complaint)

    @property
    def frames_needed(self) -> int:
        guests = sum(guest.pages for guest in self.guests)
        return self.xen_heap_frames + self.dom0_frames + guests

    def _complaint(self) -> str | None:
        if not 1 <= self.frames <= MFN_MAX + 1:
            return f"frames must be 1 to {MFN_MAX + 1} (got {self.frames})"
        if min(self.xen_heap_frames, self.dom0_frames) < 0:
            return "xen_heap_frames and dom0_frames must be at least 0"
        if self.frames_needed > self.frames:
            return f"the host has {self.frames} frames, but its tenants need {self.frames_needed}"
        if len(self.guests) >= FIRST_RESERVED_DOMID:
            return f"a host has at most {FIRST_RESERVED_DOMID - 1} guests (got {len(self.guests)})"
        return self._named_twice() or self._frames_misplaced()

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
        return None
