"""The toolstack's door: it adds the time things take, and measures how long guests stand still.

What stops a guest happens when a call begins, what lets it go on when a call ends: so a guest
stands still for the whole of it, as it would. A pause runs from suspend to resume, or from save to
restore; the call that ends it reports it, once. A live migration, or shadows that are dropped, stop
the guest within the call.

Two calls may be under way at once, and each goes through its own trouble: `TROUBLE` is that of the
call at hand.
"""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field

from aiohttp import web

from agent.contract.frames import DomId
from agent.contract.toolstack import (
    BalloonRequest,
    CreateRequest,
    DeviceRequest,
    DomainRequest,
    DomainsReply,
    DomainState,
    ExchangeRequest,
    MigrateRequest,
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
from emulator.xen.toolstack import Toolstack
from emulator.xen.trouble import Trouble

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
            do(ToolCall.MIGRATE, MigrateRequest, self.migrate),
            do(ToolCall.DETACH, DeviceRequest, self.detach),
            do(ToolCall.ATTACH, DeviceRequest, self.attach),
            do(ToolCall.DROP_SHADOWS, DomainRequest, self.drop_shadows),
            do(ToolCall.BALLOON, BalloonRequest, self.balloon),
            do(ToolCall.CREATE, CreateRequest, self.create),
            do(ToolCall.DESTROY, DomainRequest, self.destroy),
            do(ToolCall.REBOOT, DomainRequest, self.reboot),
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
        if self._is_suspended(ask.domid):
            self._stopped.setdefault(ask.domid, running)  # it failed when the guest had stopped
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

    async def migrate(self, ask: MigrateRequest) -> ToolReply:
        still = await self._run_then_stand_still(ToolCall.MIGRATE, ask.domid)
        return _paused(self._toolstack.migrate(ask.domid, ask.to), still)

    async def detach(self, ask: DeviceRequest) -> ToolReply:
        await self._take_time(ToolCall.DETACH)
        return self._toolstack.detach(ask.domid, ask.device)

    async def attach(self, ask: DeviceRequest) -> ToolReply:
        await self._take_time(ToolCall.ATTACH)
        return self._toolstack.attach(ask.domid, ask.device)

    async def drop_shadows(self, ask: DomainRequest) -> ToolReply:
        still = await self._run_then_stand_still(ToolCall.DROP_SHADOWS, ask.domid)
        return _paused(self._toolstack.drop_shadows(ask.domid), still)

    async def balloon(self, ask: BalloonRequest) -> ToolReply:
        await self._take_time(ToolCall.BALLOON, len(ask.mfns))
        return self._toolstack.balloon(ask.domid, ask.mfns)

    async def create(self, ask: CreateRequest) -> ToolReply:
        await self._take_time(ToolCall.CREATE, ask.pages)
        return self._toolstack.create(ask.name, ask.kind, ask.pages)

    async def destroy(self, ask: DomainRequest) -> ToolReply:
        await self._take_time(ToolCall.DESTROY, self._pages(ask.domid))
        return self._toolstack.destroy(ask.domid)

    async def reboot(self, ask: DomainRequest) -> ToolReply:
        await self._take_time(ToolCall.REBOOT)
        return self._toolstack.reboot(ask.domid)

    async def _run_then_stand_still(self, call: ToolCall, domid: int) -> float:
        """Let the time of `call` pass, the last part of it with the guest stopped; how long that
        was, 0 for a guest that did not run anyway.
        """
        spent = span(call, self.timing, self._pages(domid))
        await asyncio.sleep(spent.running_seconds)
        domain = self.world.hypervisor.domains.get(DomId(domid))
        if domain is None or not domain.is_running:
            return 0.0
        domain.state = DomainState.SUSPENDED
        try:
            await asyncio.sleep(spent.still_seconds)
        finally:
            if domain.state is DomainState.SUSPENDED:  # it may have crashed, or been ended
                domain.state = DomainState.RUNNING
        return spent.still_seconds

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

    def _is_suspended(self, domid: int) -> bool:
        domain = self.world.hypervisor.domains.get(DomId(domid))
        return domain is not None and domain.state is DomainState.SUSPENDED

    def _pages(self, domid: int) -> int:
        domain = self.world.hypervisor.domains.get(DomId(domid))
        return len(domain.p2m) if domain else 0

    async def _take_time(self, call: ToolCall, pages: int = 0) -> None:
        await asyncio.sleep(span(call, self.timing, pages).seconds)


def _paused(reply: ToolReply, seconds: float) -> ToolReply:
    """`reply` with the pause that was part of the call, if it was done."""
    if not (_is_done(reply) and seconds):
        return reply
    return reply.model_copy(update={"pause_seconds": seconds})


def _is_done(reply: ToolReply) -> bool:
    return reply.outcome is ToolOutcome.DONE


def _now() -> float:
    return asyncio.get_running_loop().time()
