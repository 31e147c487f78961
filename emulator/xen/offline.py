"""The page calls of the 2008 design: offline, query, online, and the list of what is marked.

A call names arbitrary pages and is atomic. First every page is judged; if a single one is
refused, nothing is done, the refused pages say why and the others say that a peer failed. Only
then is anything changed. So what Xen shipped later, a range that stops half-way, cannot happen
here.

`changed` means what it says: a call that found everything done already, or only asked, answers
false.

A broken page is taken out like any other, and its answers say that it is broken. It never comes
back.
"""

from collections.abc import Callable, Sequence

import numpy as np

from agent.contract.columns import I64
from agent.contract.frames import Mfn
from agent.contract.hypercall import (
    PAGES_MAX,
    MarkedReply,
    PageReply,
    PagesReply,
    PageStatus,
    PageUse,
    Refusal,
)
from emulator.xen.frametable import FrameState, FrameTable
from emulator.xen.pages import NO_MEMORY, PageKind

Judge = Callable[[Mfn], Refusal | None]
Act = Callable[[I64], object]

STATUS: dict[FrameState, PageStatus] = {
    FrameState.FREE: PageStatus.ONLINE,
    FrameState.IN_USE: PageStatus.ONLINE,
    FrameState.OFFLINING: PageStatus.OFFLINE_PENDING,
    FrameState.OFFLINED: PageStatus.OFFLINED,
}

# What real Xen knows beyond the design (its image, the first megabyte, pages without an owner)
# counts as Xen's heap here.
UNTOUCHABLE: dict[PageUse, Refusal] = {
    PageUse.XEN_HEAP: Refusal.XEN_HEAP,
    PageUse.DOM0: Refusal.DOM0,
}


def offline(table: FrameTable, mfns: Sequence[int], take_out: Act) -> PagesReply:
    """Free pages leave at once, guests' pages when they are freed; Xen's and dom0's cannot."""

    def judge(mfn: Mfn) -> Refusal | None:
        return UNTOUCHABLE.get(table.use_of(mfn))

    return atomically(table, mfns, judge, take_out)


def online(table: FrameTable, mfns: Sequence[int], scrub: Act) -> PagesReply:
    """Cancel what is pending and bring back what is offlined, scrubbed of what it held.

    What is broken never comes back, and is not touched.
    """

    def bring_back(mfns: I64) -> None:
        scrub(table.offlined_among(mfns))
        table.online_all(mfns)

    def judge(mfn: Mfn) -> Refusal | None:
        if table.is_broken(mfn):
            return Refusal.BROKEN
        return Refusal.XEN_HEAP if table.kind_of(mfn) is PageKind.XEN_IMAGE else None

    return atomically(table, mfns, judge, bring_back)


def query(table: FrameTable, mfns: Sequence[int]) -> PagesReply:
    """Where each page stands. A number beyond the host spoils only its own answer."""
    pages = tuple(
        standing(table, mfn) if on_host(table, mfn) else refused(table, mfn, Refusal.OUT_OF_RANGE)
        for mfn in map(Mfn, mfns)
    )
    return _answer(pages)


def marked(table: FrameTable, first: int) -> MarkedReply:
    """Every page from `first` on that is pending or offlined, as far as one answer goes."""
    mfns = sorted(mfn for mfn in table.marked() if mfn >= first)
    pages = tuple(standing(table, mfn) for mfn in mfns[:PAGES_MAX])
    return MarkedReply(pages=pages, more_from=next(iter(mfns[PAGES_MAX:]), None))


def to_the_unprivileged(reply: PagesReply) -> PagesReply:
    """`reply` without whose each page is: only the set of owners stays."""
    pages = tuple(page.model_copy(update={"owner": None, "mappers": ()}) for page in reply.pages)
    return reply.model_copy(update={"pages": pages})


def atomically(table: FrameTable, mfns: Sequence[int], judge: Judge, act: Act) -> PagesReply:
    """Judge all pages, then act on all, each once, or on none."""
    asked = [Mfn(mfn) for mfn in mfns]
    refusals = {mfn: why for mfn in asked if (why := _judged(table, mfn, judge)) is not None}
    if refusals:
        return refused_whole(table, asked, refusals)
    before = [table.state_of(mfn) for mfn in asked]
    act(np.array(list(dict.fromkeys(asked)), np.int64))
    changed = before != [table.state_of(mfn) for mfn in asked]
    return _answer(tuple(standing(table, mfn) for mfn in asked), changed=changed)


def refused_whole(
    table: FrameTable, mfns: Sequence[Mfn], refusals: dict[Mfn, Refusal]
) -> PagesReply:
    """Nothing was done: these pages were refused, and the others with them."""
    pages = tuple(refused(table, mfn, refusals.get(mfn, Refusal.PEER_FAILED)) for mfn in mfns)
    return _answer(pages)


def standing(table: FrameTable, mfn: Mfn) -> PageReply:
    """Where a page of the host stands now."""
    return PageReply(
        mfn=mfn,
        status=STATUS[table.state_of(mfn)],
        use=table.use_of(mfn),
        owner=table.owner_of(mfn),
        mappers=table.references.mappers(mfn),
        is_broken=table.is_broken(mfn),
    )


def refused(table: FrameTable, mfn: Mfn, why: Refusal) -> PageReply:
    if not on_host(table, mfn):
        return PageReply(mfn=mfn, status=PageStatus.FAILED, use=PageUse.UNKNOWN, refusal=why)
    reply = standing(table, mfn)
    return reply.model_copy(update={"status": PageStatus.FAILED, "refusal": why})


def on_host(table: FrameTable, mfn: Mfn) -> bool:
    """True if the host has memory of that number: not beyond its end, nor in a hole."""
    return table.kind_of(mfn) not in NO_MEMORY


def _answer(pages: tuple[PageReply, ...], *, changed: bool = False) -> PagesReply:
    owners = {page.owner for page in pages if page.owner is not None}
    return PagesReply(changed=changed, pages=pages, owners=tuple(sorted(owners)))


def _judged(table: FrameTable, mfn: Mfn, judge: Judge) -> Refusal | None:
    return judge(mfn) if on_host(table, mfn) else Refusal.OUT_OF_RANGE
