"""Where operators' requests are taken, and fed to the docket as there is room.

    ask ──► read ──► written down ──► its pages, `PAGES_AT_ONCE` at a time:
                                        settle ─► feed ─► ONE commit: request + cases ─► driver

A request that was taken is carried out, whatever restarts in between; one that is asked twice under
one id is one. Deciding is in `request.py` and `docket.py`.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agent.clock import Clock
from agent.contract.frames import Mfn
from agent.contract.hypercall import PAGES_MAX, HostReply
from agent.contract.requests import Ask
from agent.diagnosis.verdict import Verdict
from agent.events import CapReached, CaseMoved, CaseOpened, Observer
from agent.retirement.case import Case
from agent.retirement.docket import Docket
from agent.retirement.driver import Driver
from agent.retirement.reason import Reason
from agent.retirement.request import Request, RequestRefused, ended, fed, read, settled
from agent.retirement.states import State
from agent.waiting import set_within

PAGES_AT_ONCE = PAGES_MAX  # of one request: as many as one stop of a guest can help
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
        await self._save(request)
        self._more.set()
        return request

    @property
    def _open(self) -> list[Request]:
        return [request for request in self._requests.values() if not request.is_over]

    async def run(self) -> None:
        """Feed what is to be fed, for ever. Begin when the driver has recovered."""
        for request in self._open:
            self._recall(request.under_way if not request.takes else ())
        while True:
            for request in self._open:
                await self._go_on(request)
            self._more.clear()
            await set_within(self._more, EVERY_SECONDS if self._open else 3600.0)

    async def _go_on(self, request: Request) -> None:
        now = settled(request, self.docket)
        mfns = self._next(now)
        if not mfns and now == request:
            return
        moves = self._ask(now, mfns) if now.takes else ()
        await self._save(fed(now, mfns), *(after for _, after in moves))
        self._tell(moves)
        if not now.takes:
            self._recall(mfns)

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

    def _ask(self, request: Request, mfns: Sequence[Mfn]) -> tuple[tuple[Case | None, Case], ...]:
        now_ns = self.clock()
        wanted = [Verdict(mfn, now_ns, ASKED_FOR, self.host.dimm_of(mfn)) for mfn in mfns]
        moves = self.docket.ask(wanted, now_ns, beyond_cap=request.beyond_cap)
        if any(self.docket.get(mfn) is None for mfn in mfns):
            self.observe(CapReached(Reason.RETIRED_MEMORY_CAP))
        return moves

    def _tell(self, moves: Sequence[tuple[Case | None, Case]]) -> None:
        for before, after in moves:
            if before is None:
                self.observe(CaseOpened(after))
            else:
                self.observe(CaseMoved(after, before.state, 0.0))
            self.driver.submit(after)

    def _recall(self, mfns: Sequence[Mfn]) -> None:
        for mfn in mfns:
            case = self.docket.recall(mfn)
            if case is not None:
                self.driver.recall(case)

    async def _save(self, request: Request, *cases: Case) -> None:
        self._requests[request.id] = request
        over = [one.id for one in self._requests.values() if one.is_over]
        for old in over[: max(0, len(self._requests) - REQUESTS_KEPT)]:
            del self._requests[old]
        await self.log.save_request(request, *cases)
