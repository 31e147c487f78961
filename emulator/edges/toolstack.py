"""The toolstack's door: it adds the time things take, and measures how long guests stand still.

What stops a guest happens when a call begins, what lets it go on when a call ends: so a guest
stands still for the whole of it, as it would. A pause runs from suspend to resume, or from save to
restore; the call that ends it reports it, once.

Two calls may be under way at once, and each goes through its own trouble: `TROUBLE` is that of the
call at hand.
"""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field

from aiohttp import web

from agent.contract.frames import DomId
from agent.contract.toolstack import (
    DomainsReply,
    ExchangeRequest,
    RestoreRequest,
    ResumeRequest,
    SaveRequest,
    SuspendRequest,
    ToolCall,
    ToolOutcome,
    ToolReply,
)
from emulator.config import TimingSettings
from emulator.edges.door import do, tell
from emulator.timing import span
from emulator.world import World
from emulator.xen.toolstack import Toolstack, Trouble

TROUBLE: ContextVar[Trouble | None] = ContextVar("TROUBLE", default=None)


@dataclass(frozen=True, slots=True)
class Stopped:
    """A guest that stands still since `at`, and how large it is."""

    at: float
    pages: int


@dataclass(slots=True)
class ToolstackDoor:
    """One toolstack behind a socket; guests at rest are known by domid, saved ones by image.

    `unwritten` are the images that are not whole on the disk yet.
    """

    world: World
    timing: TimingSettings
    unwritten: set[str] = field(default_factory=set[str])
    _stopped: dict[int | str, Stopped] = field(default_factory=dict[int | str, Stopped])

    def routes(self) -> list[web.RouteDef]:
        return [
            tell(ToolCall.DOMAINS, self.domains),
            do(ToolCall.SUSPEND, SuspendRequest, self.suspend),
            do(ToolCall.EXCHANGE, ExchangeRequest, self.exchange),
            do(ToolCall.RESUME, ResumeRequest, self.resume),
            do(ToolCall.SAVE, SaveRequest, self.save),
            do(ToolCall.RESTORE, RestoreRequest, self.restore),
        ]

    async def domains(self) -> DomainsReply:
        return self.world.toolstack.domains()

    async def suspend(self, ask: SuspendRequest) -> ToolReply:
        reply = self._toolstack.suspend(ask.domid)
        if _is_done(reply):
            self._stopped.setdefault(ask.domid, Stopped(_now(), self._pages(ask.domid)))
        await self._take_time(ToolCall.SUSPEND)
        return reply

    async def exchange(self, ask: ExchangeRequest) -> ToolReply:
        await self._take_time(ToolCall.EXCHANGE, len(ask.mfns))
        return self._toolstack.exchange(ask.domid, ask.mfns)

    async def resume(self, ask: ResumeRequest) -> ToolReply:
        await self._take_time(ToolCall.RESUME)
        return self._went_on(ask.domid, self._toolstack.resume(ask.domid, ask.path))

    async def save(self, ask: SaveRequest) -> ToolReply:
        running = Stopped(_now(), self._pages(ask.domid))
        reply = self._toolstack.save(ask.domid, ask.image)
        if not _is_done(reply) or not running.pages:
            return reply  # refused, or saved before
        self._stopped[ask.image] = self._stopped.pop(ask.domid, running)
        self.unwritten.add(ask.image)
        await self._take_time(ToolCall.SAVE, running.pages)
        self.unwritten.discard(ask.image)
        return reply

    async def restore(self, ask: RestoreRequest) -> ToolReply:
        saved = self._stopped.get(ask.image)
        pages = saved.pages if saved else 0
        await self._take_time(ToolCall.RESTORE, pages)
        return self._went_on(ask.image, self._toolstack.restore(ask.image))

    @property
    def _toolstack(self) -> Toolstack:
        """As the call at hand meets it."""
        self.world.toolstack.trouble = TROUBLE.get() or Trouble()
        return self.world.toolstack

    def _went_on(self, guest: int | str, reply: ToolReply) -> ToolReply:
        """`reply` with the pause that it ends, if it ends one."""
        if not _is_done(reply):
            return reply
        stopped = self._stopped.pop(guest, None)
        pause_seconds = None if stopped is None else _now() - stopped.at
        return reply.model_copy(update={"pause_seconds": pause_seconds})

    def _pages(self, domid: int) -> int:
        domain = self.world.hypervisor.domains.get(DomId(domid))
        return len(domain.p2m) if domain else 0

    async def _take_time(self, call: ToolCall, pages: int = 0) -> None:
        await asyncio.sleep(span(call, self.timing, pages).seconds)


def _is_done(reply: ToolReply) -> bool:
    return reply.outcome is ToolOutcome.DONE


def _now() -> float:
    return asyncio.get_running_loop().time()
