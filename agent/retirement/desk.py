"""Where operators' requests are taken, and fed to the docket as there is room.

    ask ──► read ──► written down ──► its pages, `PAGES_AT_ONCE` at a time:
                                        settle ─► look ─► feed ─► ONE commit: request + cases
                                          ─► the driver asks for all of them in one call

A request that was taken is carried out, whatever restarts in between; one that is asked twice under
one id is one; one that is cancelled feeds no page more. Deciding is in `request.py`, `docket.py`.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agent.clock import Clock
from agent.contract.frames import Mfn
from agent.contract.hypercall import PAGES_MAX, HostReply, PageReply
from agent.contract.requests import Ask
from agent.diagnosis.verdict import Verdict
from agent.events import CapReached, CaseMoved, CaseOpened, Observer
from agent.retirement.case import Case
from agent.retirement.docket import Docket
from agent.retirement.driver import Driver
from agent.retirement.reason import Reason
from agent.retirement.request import (
    HOPELESS,
    Request,
    RequestRefused,
    cancelled,
    ended,
    fed,
    hopeless,
    read,
    settled,
    sifted,
)
from agent.retirement.states import State
from agent.waiting import set_within

PAGES_AT_ONCE = PAGES_MAX  # of one request: as many as one stop of a guest can help
TOLD_OF = PAGES_AT_ONCE  # pages of one request, before its cases are quiet ones
REQUESTS_MAX = 64  # that are not over
REQUESTS_KEPT = 1000  # to be told of, the oldest go first
EVERY_SECONDS = 0.05  # between two looks at what became of the pages under way
ASKED_FOR = "asked for by an operator"


class RequestLog(Protocol):
    """The memory of requests."""

    async def save_request(self, request: Request, *cases: Case) -> None:
        """All of it or none; return only once it would survive a power cut."""
        ...


@dataclass(slots=True)
class Desk:
    driver: Driver
    docket: Docket
    log: RequestLog
    host: HostReply
    observe: Observer
    clock: Clock
    _requests: dict[str, Request] = field(default_factory=dict[str, Request])
    _hand: asyncio.Lock = field(default_factory=asyncio.Lock)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    async def restore(self, requests: Iterable[Request]) -> None:
        """Take over what an earlier life left; what is of another boot of the host is over."""
        for request in requests:
            self._requests[request.id] = request
            if not request.is_over and request.boot != self.docket.boot:
                await self._save(ended(request, Reason.HOST_REBOOTED))

    @property
    def requests(self) -> tuple[Request, ...]:
        return tuple(self._requests.values())

    def find(self, request_id: str) -> Request | None:
        return self._requests.get(request_id)

    async def take(self, ask: Ask) -> Request:
        """Return once the request would survive a power cut; the same one for the same id.

        Raises:
            RequestRefused: if it cannot be carried out.
        """
        async with self._hand:  # the second one of an id waits until the first is durable
            return await self._taken(read(ask, self.host, self.docket, self.clock()))

    async def _taken(self, request: Request) -> Request:
        known = self._requests.get(request.id)
        if known is not None:
            if (known.wish, known.what) != (request.wish, request.what):
                raise RequestRefused(f"{known.id} is {known.wish} {known.what}: take another id")
            return known
        if len(self._open) >= REQUESTS_MAX:
            raise RequestRefused(f"{REQUESTS_MAX} requests are under way: wait for one to end")
        await self.log.save_request(request)  # who asks again after it failed is not told "taken"
        self._keep(request)
        self._more.set()
        return request

    @property
    def _open(self) -> list[Request]:
        return [request for request in self._requests.values() if not request.is_over]

    async def end(self, request_id: str) -> Request | None:
        """Have no page more of it begun, and return once that is durable; None if nobody knows it.

        Raises:
            RequestRefused: if there is nothing left that could be cancelled.
        """
        async with self._hand:
            request = self._requests.get(request_id)
            if request is None:
                return None
            after = cancelled(request)
            if after != request:
                await self._save(after)
            return after

    async def run(self) -> None:
        """Feed what is to be fed, for ever. Begin when the driver has recovered."""
        for request in self._open:
            await self._recall(request.under_way if not request.takes else ())
        while True:
            went_on = [await self._go_on(request.id) for request in self._open]
            if not any(went_on):
                self._more.clear()
                await set_within(self._more, EVERY_SECONDS if self._open else 3600.0)

    async def _go_on(self, request_id: str) -> bool:
        """Feed what there is room for; true if there was anything."""
        request = self._requests[request_id]
        mfns = self._next(settled(request, self.docket))
        seen = await self.driver.acts.seen(mfns) if mfns and request.takes else ()
        if self._requests.get(request_id) is not request:
            return True  # it was cancelled meanwhile
        if seen is None:
            mfns, seen = (), ()  # nobody says how they are used: later
        now, begun = sifted(settled(request, self.docket), mfns, hopeless(seen, self.docket))
        now = fed(now, begun)
        if now == request:
            return False
        quiet = request.fed >= TOLD_OF
        moves = self._ask(now, begun, quiet=quiet) if now.takes else ()
        await self._save(now, *(after for _, after in moves))
        await self._hand_on(moves, seen)
        if not now.takes:
            await self._recall(mfns)
        return bool(mfns)

    def _next(self, request: Request) -> tuple[Mfn, ...]:
        """The pages that there is room for. One that is being brought back is waited for."""
        room = PAGES_AT_ONCE - len(request.under_way)
        mfns = request.pages.between(request.fed, request.fed + room)
        if not request.takes:
            return mfns
        stop = (n for n, mfn in enumerate(mfns) if self._is_returning(mfn))
        return mfns[: next(stop, len(mfns))]

    def _is_returning(self, mfn: Mfn) -> bool:
        case = self.docket.get(mfn)
        return case is not None and case.state is State.RETURNING

    def _ask(
        self, request: Request, mfns: Sequence[Mfn], *, quiet: bool
    ) -> tuple[tuple[Case | None, Case], ...]:
        now_ns = self.clock()
        wanted = [Verdict(mfn, now_ns, ASKED_FOR, self.host.dimm_of(mfn)) for mfn in mfns]
        moves = self.docket.ask(wanted, now_ns, beyond_cap=request.beyond_cap, quiet=quiet)
        if any(self.docket.get(mfn) is None for mfn in mfns):
            self.observe(CapReached(Reason.RETIRED_MEMORY_CAP))
        return moves

    async def _hand_on(
        self, moves: Sequence[tuple[Case | None, Case]], seen: Sequence[PageReply]
    ) -> None:
        """To the driver: together, but for those for whose sake the whole call would be refused."""
        self._tell(moves)
        refused = {page.mfn for page in seen if page.use in HOPELESS or page.is_broken}
        for _, after in moves:
            if after.mfn in refused:
                self.driver.submit(after)
        together = [after for _, after in moves if after.mfn not in refused]
        if together:
            await self.driver.take(together)

    def _tell(self, moves: Sequence[tuple[Case | None, Case]]) -> None:
        for before, after in moves:
            if before is None:
                self.observe(CaseOpened(after))
            else:
                self.observe(CaseMoved(after, before.state, 0.0))

    async def _recall(self, mfns: Sequence[Mfn]) -> None:
        recalled = [self.docket.recall(mfn) for mfn in mfns]
        await self.driver.give_back([case for case in recalled if case is not None])

    async def _save(self, request: Request, *cases: Case) -> None:
        self._keep(request)
        await self.log.save_request(request, *cases)

    def _keep(self, request: Request) -> None:
        self._requests[request.id] = request
        over = [one.id for one in self._requests.values() if one.is_over]
        for old in over[: max(0, len(self._requests) - REQUESTS_KEPT)]:
            del self._requests[old]
