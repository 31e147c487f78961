"""What kinds of page a host has: more than the design of 2008 tells apart, and Xen tells all.

Each kind has a row: as what the 2008 calls see it, and what real Xen answers to *offline* when such
a page is in use. `owner` None stands for the domain that holds the page. A free page has no such
answer, because it leaves at once; nor has a number for which there is no frame-table entry,
because Xen does not write the word at all.

A kind is the word that says what a frame is used for, and the coarser `PageUse` words are among
them, spelt the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from agent.contract.frames import DomId
from agent.contract.hypercall import Errno, PageUse
from emulator.xen.words import (
    DOMID_COW,
    DOMID_INVALID,
    DOMID_IO,
    DOMID_XEN,
    NO_FLAGS,
    NOBODY,
    Offline,
    Word,
)


class PageKind(StrEnum):
    """The frame table keeps a kind by its place in this list, so that 0 is free."""

    FREE = "free"
    XEN_HEAP = "xen_heap"  # private to Xen
    DOM0 = "dom0"
    HVM = "hvm"  # of a translated guest, HVM or PVH
    PV = "pv"
    PAGE_TABLE = "page_table"  # of a PV guest, any level, pinned or not
    POD_CACHE = "pod_cache"  # waits to be populated
    PAGING_POOL = "paging_pool"  # shadows, or the EPT
    HVM_STATE = "hvm_state"  # a vlapic's page and its like
    SHARED_INFO = "shared_info"  # Xen heap shared with one guest; grant frames too
    XEN_IMAGE = "xen_image"
    M2P = "m2p"  # Xen's frames shared with privileged guests; trace buffers too
    LOW = "low"  # RAM of the first megabyte
    ANONYMOUS = "anonymous"  # no owner: paging pools, `badpage=`, what the heap was never given
    COW = "cow"  # shared among guests by memory sharing
    NOT_RAM = "not_ram"  # a hole of the memory map that has a frame-table entry
    ABSENT = "absent"  # no frame-table entry


@dataclass(frozen=True, slots=True)
class Row:
    """What Xen answers to offline, and as what the 2008 calls see the page."""

    use: PageUse
    answer: Offline | None
    owner: DomId | None = NOBODY
    errno: Errno | None = None

    @property
    def has_owner(self) -> bool:
        """True if the page has an owner that can be referenced, be it only Xen itself."""
        return self.answer is not None and Offline.OWNED in self.answer

    def word(self, holder: DomId, extra: Offline = NO_FLAGS) -> int | None:
        """The word for a page that domain `holder` holds, if any does; None: left unwritten."""
        if self.answer is None:
            return None
        owner = holder if self.owner is None else self.owner
        return Word(self.answer | extra, owner).encode()


_PENDING = Offline.OWNED | Offline.PENDING

ROWS: dict[PageKind, Row] = {
    PageKind.FREE: Row(PageUse.FREE, None),
    PageKind.XEN_HEAP: Row(PageUse.XEN_HEAP, Offline.XENPAGE | Offline.PENDING, DOMID_XEN),
    PageKind.DOM0: Row(PageUse.DOM0, _PENDING, None),
    PageKind.HVM: Row(PageUse.HVM, _PENDING, None),
    PageKind.PV: Row(PageUse.PV, _PENDING, None),
    PageKind.PAGE_TABLE: Row(PageUse.PAGE_TABLE, _PENDING, None),
    PageKind.POD_CACHE: Row(PageUse.HVM, _PENDING, None),  # never seen: it leaves at once
    PageKind.PAGING_POOL: Row(PageUse.SHADOW, Offline.ANONYMOUS | Offline.FAILED, DOMID_INVALID),
    PageKind.HVM_STATE: Row(PageUse.HVM_STATE, Offline.ANONYMOUS | Offline.FAILED, DOMID_INVALID),
    PageKind.SHARED_INFO: Row(PageUse.XEN_HEAP, _PENDING, None),
    PageKind.XEN_IMAGE: Row(
        PageUse.XEN_HEAP, Offline.XENPAGE | Offline.FAILED, DOMID_XEN, Errno.EPERM
    ),
    PageKind.M2P: Row(PageUse.XEN_HEAP, _PENDING, DOMID_XEN),
    PageKind.LOW: Row(PageUse.XEN_HEAP, _PENDING, DOMID_IO),
    PageKind.ANONYMOUS: Row(PageUse.XEN_HEAP, Offline.ANONYMOUS | Offline.FAILED, DOMID_INVALID),
    PageKind.COW: Row(PageUse.SHARED, _PENDING, DOMID_COW),
    PageKind.NOT_RAM: Row(
        PageUse.UNKNOWN, Offline.NOT_CONV_RAM | Offline.FAILED, errno=Errno.EINVAL
    ),
    PageKind.ABSENT: Row(PageUse.UNKNOWN, None, errno=Errno.EINVAL),
}

NO_MEMORY = frozenset({PageKind.NOT_RAM, PageKind.ABSENT})

# The others are free, or come with their guest.
PLACEABLE = frozenset(PageKind) - {
    PageKind.FREE,
    PageKind.HVM,
    PageKind.PV,
    PageKind.PAGE_TABLE,
    PageKind.POD_CACHE,
    PageKind.PAGING_POOL,
    PageKind.HVM_STATE,
    PageKind.SHARED_INFO,
}


@dataclass(frozen=True, slots=True)
class Place:
    """Frames `first` to `last`, both included, that are of one kind from the start."""

    kind: PageKind
    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __contains__(self, mfn: int) -> bool:
        return self.first <= mfn <= self.last

    def complaint(self, frames: int) -> str | None:
        """Why a host of `frames` cannot have it."""
        if self.kind not in PLACEABLE:
            return f"{self.kind} frames cannot be placed: they are free, or come with a guest"
        if not 0 <= self.first <= self.last < frames:
            return f"{self} is not on a host of {frames:#x} frames"
        return None

    def __str__(self) -> str:
        return f"{self.kind} at {self.first:#x} to {self.last:#x}"


_LOW_RAM_END = 0x9F
_MEBIBYTE_END = 0x100
_IMAGE_FRAMES = 0x280
_M2P_FRAMES = 0x40
_TAIL_FRAMES = 3
PLACES_OF_XEN_FRAMES = _MEBIBYTE_END + _IMAGE_FRAMES + _M2P_FRAMES + _TAIL_FRAMES


def places_of_xen(frames: int) -> tuple[Place, ...]:
    """What a PC has at fixed places, as small as can be: the first MiB, and the top of memory.

    `frames` must be at least `PLACES_OF_XEN_FRAMES`.
    """

    def from_the_top() -> Iterator[Place]:
        end = frames
        for kind, count in (
            (PageKind.ANONYMOUS, _TAIL_FRAMES),
            (PageKind.M2P, _M2P_FRAMES),
            (PageKind.XEN_IMAGE, _IMAGE_FRAMES),
        ):
            yield Place(kind, end - count, end - 1)
            end -= count

    return (
        Place(PageKind.LOW, 0, _LOW_RAM_END - 1),
        Place(PageKind.NOT_RAM, _LOW_RAM_END, _MEBIBYTE_END - 1),
        *from_the_top(),
    )
