"""An operator's request: which pages, how far it has come, and what became of them.

A DIMM has millions of pages, so a request makes no case before there is room for it:

    pages ──► fed, a bounded number at a time ──► under way ──► came: counted by reason, let go of
      └─► whoever uses it makes it hopeless ──► the first few are fed, the rest is only counted

Pure. `desk.py` feeds it and writes it down: what was fed, what is under way and what was counted
change in one commit, so that no page is forgotten or counted twice, whenever the power goes off.

A range may hold a million pages of Xen's own or of dom0, and a case for each would say the same
thing a million times. So a request makes `HOPELESS_FED` cases of such pages, which tell the story
and are watched like any other, and counts the others by their reason: no case is about those.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from agent.contract.frames import Mfn
from agent.contract.hypercall import HostReply, PageReply, PageStatus, PageUse
from agent.contract.requests import Ask, Came, RequestView, Wish, is_of_a_case
from agent.contract.status import Rest
from agent.retirement.case import Case
from agent.retirement.docket import Docket
from agent.retirement.reason import Reason, told
from agent.retirement.states import State

NS = 1_000_000_000
HOPELESS_FED = 64  # pages of one request that the hypervisor will refuse

# Whose pages the hypervisor refuses, and the word for it.
HOPELESS = {PageUse.XEN_HEAP: Reason.XEN_HEAP, PageUse.DOM0: Reason.DOM0}

Fate = tuple[Rest | None, Reason | None]  # where a page's case came to rest, and why there


@dataclass(frozen=True, slots=True)
class Pages:
    """`count` pages from `first` on: runs of `run`, one begins `step` pages after the other."""

    first: int
    count: int
    run: int = 1
    step: int = 1

    def nth(self, n: int) -> Mfn:
        runs, within = divmod(n, self.run)
        return Mfn(self.first + runs * self.step + within)

    def between(self, start: int, stop: int) -> tuple[Mfn, ...]:
        """The pages number `start` to `stop`, that one not included."""
        return tuple(map(self.nth, range(start, min(stop, self.count))))


@dataclass(frozen=True, slots=True)
class Request:
    """`fed` pages were handed on; `under_way` are those of them that nothing has come of yet.

    `hopeless` counts those that were fed though they would be refused. `what` is for people. A
    request is of one boot of the host: what a DIMM is may change in between.
    """

    id: str
    wish: Wish
    what: str
    pages: Pages
    asked_at_ns: int
    boot: str = ""
    beyond_cap: bool = False
    fed: int = 0
    under_way: tuple[Mfn, ...] = ()
    came: tuple[tuple[Fate, int], ...] = ()
    hopeless: int = 0

    @property
    def is_cancelled(self) -> bool:
        return (None, Reason.CANCELLED) in dict(self.came)

    @property
    def left(self) -> int:
        return self.pages.count - self.fed + len(self.under_way)

    @property
    def is_over(self) -> bool:
        return self.left == 0

    @property
    def takes(self) -> bool:
        """True if it takes pages, false if it brings them back."""
        return self.wish.granted is Rest.RETIRED


class RequestRefused(Exception):  # noqa: N818 - an answer to who asked, not a failure of ours
    """Not a request that can be carried out; the message says what would be right."""


def read(ask: Ask, host: HostReply, docket: Docket, now_ns: int) -> Request:
    """The request that `ask` means on this host.

    Raises:
        RequestRefused: if it means none.
    """
    if is_of_a_case(ask.id):
        raise RequestRefused(f"{ask.id} is what a case is called: take another id")
    what, pages = _meant(ask, host, docket)
    beyond_cap = ask.beyond_cap or ask.wish is Wish.EVACUATE
    return Request(ask.id, ask.wish, what, pages, now_ns, docket.boot, beyond_cap)


def _meant(ask: Ask, host: HostReply, docket: Docket) -> tuple[str, Pages]:
    if ask.dimm is not None:
        return f"DIMM {ask.dimm}", _of_dimm(ask.dimm, host)
    if ask.case is not None:
        return f"case {ask.case}", Pages(_of_case(ask.case, docket), 1)
    first, last = ask.first or 0, ask.last or 0
    if last >= host.frames:
        raise RequestRefused(
            f"page {last:#x} is beyond the host's memory: its last page is {host.frames - 1:#x}"
        )
    count = last - first + 1
    what = f"page {first:#x}" if count == 1 else f"pages {first:#x} to {last:#x}"
    return what, Pages(first, count, count, count)


def _of_dimm(dimm: str, host: HostReply) -> Pages:
    lie = host.interleave
    if lie is None:
        raise RequestRefused("nobody says where this host's DIMMs lie: name the pages instead")
    if dimm not in lie.dimms:
        raise RequestRefused(f"there is no DIMM {dimm!r}; there are {', '.join(lie.dimms)}")
    first, step = lie.dimms.index(dimm) * lie.pages, len(lie.dimms) * lie.pages
    rounds, rest = divmod(host.frames, step)
    count = rounds * lie.pages + min(max(rest - first, 0), lie.pages)
    return Pages(first, count, lie.pages, step)


def _of_case(case_id: str, docket: Docket) -> Mfn:
    case = docket.find(case_id)
    if case is None:
        raise RequestRefused(f"there is no case {case_id!r}")
    if case.state.is_final:
        fix = f"; `pagewarden online {case.mfn:#x}` brings the page back"
        raise RequestRefused(
            f"case {case_id} is {case.state}: there is nothing to cancel"
            f"{fix if case.state is State.RETIRED else ''}"
        )
    return case.mfn


def hopeless(seen: Sequence[PageReply], docket: Docket) -> dict[Mfn, Reason]:
    """Those of these pages that nobody has a case of, and that the hypervisor will refuse."""
    return {
        Mfn(page.mfn): HOPELESS[page.use]
        for page in seen
        if page.use in HOPELESS
        and page.status is PageStatus.ONLINE
        and docket.get(Mfn(page.mfn)) is None
    }


def sifted(
    request: Request, mfns: Sequence[Mfn], refused: Mapping[Mfn, Reason]
) -> tuple[Request, tuple[Mfn, ...]]:
    """Which of these, its next pages, are to be fed: of the `refused` ones no more than there is
    room for; and the request with the others counted by their reason.
    """
    room = max(HOPELESS_FED - request.hopeless, 0)
    shown = [mfn for mfn in mfns if mfn in refused][:room]
    passed_over = {mfn: why for mfn, why in refused.items() if mfn not in shown}
    counted = _counted(request, [(None, why) for why in passed_over.values()])
    begun = tuple(mfn for mfn in mfns if mfn not in passed_over)
    fed_so_far, met = request.fed + len(passed_over), request.hopeless + len(shown)
    return replace(counted, fed=fed_so_far, hopeless=met), begun


def fed(request: Request, mfns: tuple[Mfn, ...]) -> Request:
    """With these, its next pages, under way."""
    return replace(request, fed=request.fed + len(mfns), under_way=(*request.under_way, *mfns))


def settled(request: Request, docket: Docket) -> Request:
    """With the pages counted that something has come of by now."""
    fates = {mfn: fate_of(request, mfn, docket) for mfn in request.under_way}
    under_way = tuple(mfn for mfn, fate in fates.items() if fate is None)
    return replace(_counted(request, fates.values()), under_way=under_way)


def ended(request: Request, why: Reason) -> Request:
    """Over, though pages are left: `why` is what came of them."""
    over = _counted(request, [(None, why)] * len(request.under_way))
    return replace(_cut_off(over, why), under_way=())


def cancelled(request: Request) -> Request:
    """With no page more to be fed. What is under way goes to its end: a stop that has begun would
    anyway, and it is a bounded number.

    Raises:
        RequestRefused: if there is nothing left that could be cancelled.
    """
    if request.is_cancelled:
        return request
    if request.is_over:
        raise RequestRefused(f"request {request.id} is over: there is nothing to cancel")
    if request.fed == request.pages.count:
        raise RequestRefused(
            f"all pages of request {request.id} are under way: cancel their cases instead"
        )
    return _cut_off(request, Reason.CANCELLED)


def _cut_off(request: Request, why: Reason) -> Request:
    """`why` is what came of the pages that were not fed."""
    came = Counter(dict(request.came))
    came[None, why] += request.pages.count - request.fed
    return replace(request, fed=request.pages.count, came=_sorted(+came))


def _counted(request: Request, fates: Iterable[Fate | None]) -> Request:
    came = Counter(dict(request.came))
    came.update(fate for fate in fates if fate is not None)
    return replace(request, came=_sorted(came))


def _sorted(came: Counter[Fate]) -> tuple[tuple[Fate, int], ...]:
    return tuple(came.most_common())


def fate_of(request: Request, mfn: Mfn, docket: Docket) -> Fate | None:
    """What became of a page that was fed; none while that is open."""
    case = docket.get(mfn)
    if case is None or _was_closed_before(case, request):
        return None, Reason.RETIRED_MEMORY_CAP if request.takes else Reason.NOT_TAKEN
    if docket.is_due(case) or case.rest is Rest.OPEN:  # or postponed
        return None
    if case.rest is request.wish.granted:
        return case.rest, None
    against = request.takes and case.rest is Rest.RETURNED
    return case.rest, Reason.OVERRULED if against else case.reason or Reason.OVERRULED


def view_of(request: Request) -> RequestView:
    return RequestView(
        id=request.id,
        wish=request.wish,
        what=request.what,
        pages=request.pages.count,
        left=request.left,
        asked_at=request.asked_at_ns / NS,
        is_cancelled=request.is_cancelled,
        came=tuple(
            Came(rest=rest, reason=reason, text=told(reason, ""), pages=pages)
            for (rest, reason), pages in request.came
        ),
    )


def _was_closed_before(case: Case, request: Request) -> bool:
    """True for a page that came back earlier, and got no new case."""
    is_old = case.state is State.RETURNED and case.moved_at_ns <= request.asked_at_ns
    return request.takes and is_old
