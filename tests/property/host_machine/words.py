"""What real Xen 4.17 answers about a page, from what the page is: told anew, to be compared.

Each prediction is a word and an error, and whether the host is gone with it. A word of None is one
that Xen does not write.
"""

from dataclasses import dataclass

from agent.contract.hypercall import Errno
from emulator.xen.frametable import FrameState
from emulator.xen.pages import PageKind

FILLER = 0x01010101
BROKEN = 0x2000
OFFLINED, AGAIN = 0x2, 0x10
OWNER_SHIFT = 16

# The word for a page in use; the owner's id is added to where it is that of a domain.
IN_USE: dict[PageKind, int] = {
    PageKind.PV: 0x1004,
    PageKind.HVM: 0x1004,
    PageKind.PAGE_TABLE: 0x1004,
    PageKind.SHARED_INFO: 0x1004,
    PageKind.DOM0: 0x1004,
    PageKind.COW: 0x7FF31004,
    PageKind.LOW: 0x7FF11004,
    PageKind.M2P: 0x7FF21004,
    PageKind.XEN_HEAP: 0x7FF20104,
    PageKind.PAGING_POOL: 0x7FF40408,
    PageKind.HVM_STATE: 0x7FF40408,
    PageKind.ANONYMOUS: 0x7FF40408,
}
OF_DOMAINS = {PageKind.PV, PageKind.HVM, PageKind.PAGE_TABLE, PageKind.SHARED_INFO, PageKind.DOM0}
QUERIED: dict[FrameState | None, int] = {
    FrameState.FREE: 0,
    FrameState.IN_USE: 0,
    FrameState.OFFLINING: 0x8,
    FrameState.OFFLINED: 0x2,
}
OWNED = OF_DOMAINS | {PageKind.COW, PageKind.LOW, PageKind.M2P}


@dataclass(frozen=True, slots=True)
class Page:
    """All that the answer depends on."""

    kind: PageKind
    owner: int
    state: FrameState | None  # None: it has none
    is_broken: bool
    headed_a_buddy: bool = False  # of several, when it was offlined


@dataclass(frozen=True, slots=True)
class Said:
    word: int | None
    errno: Errno | None = None
    ends_host: bool = False
    crashes: int | None = None  # the domain that pays for it


def offlined(page: Page, *, as_broken: bool = False) -> Said:
    extra = BROKEN if as_broken else 0
    match page.kind:
        case PageKind.ABSENT:
            return Said(None, Errno.EINVAL)
        case PageKind.XEN_IMAGE:
            return Said(0x7FF20108, Errno.EPERM)
        case PageKind.NOT_RAM:
            return Said(0x808, Errno.EINVAL)
        case _ if page.is_broken and (page.kind in OWNED or page.headed_a_buddy):
            return _again(page)
        case PageKind.FREE | PageKind.POD_CACHE:
            return Said(OFFLINED | extra)
    owner = page.owner << OWNER_SHIFT if page.kind in OF_DOMAINS else 0
    return Said(IN_USE[page.kind] + owner + extra)


def onlined(page: Page) -> Said:
    if page.kind is PageKind.ABSENT:
        return Said(None, Errno.EINVAL)
    if page.is_broken:
        return Said(0x2008, Errno.EINVAL, ends_host=page.state is FrameState.OFFLINED)
    is_marked = page.state in (FrameState.OFFLINING, FrameState.OFFLINED)
    return Said(0x2 if is_marked else 0)


def queried(page: Page) -> Said:
    if page.kind in (PageKind.ABSENT, PageKind.NOT_RAM):
        return Said(None, Errno.EINVAL)
    return Said(QUERIED[page.state] | (0x10 if page.is_broken else 0))


def _again(page: Page) -> Said:
    is_domains = page.kind in OF_DOMAINS
    ends_host = page.headed_a_buddy or (is_domains and page.owner == 0)
    return Said(AGAIN, ends_host=ends_host, crashes=page.owner if is_domains else None)
