"""The toolstack's door: it adds the time things take, and measures how long guests stand still.

What stops a guest happens when a call begins, what lets it go on when a call ends: so a guest
stands still for the whole of it, as it would. A pause runs from suspend to resume, or from save to
restore; the call that ends it reports it, and so does whoever asks again. A live migration, or
shadows that are dropped, stop the guest within the call, be it done or not.

What will be refused is refused before any time has passed. An image is there once it is whole:
until then it is not listed, and whoever saves or restores it waits for that.

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

PAUSES_MAX = 1 << 10

TROUBLE: ContextVar[Trouble | None] = ContextVar("TROUBLE", default=None)


@dataclass(frozen=True, slots=True)
class Stopped:
    """A guest that stands still since `at`, and how large it is."""

    at: float
    pages: int


@dataclass(slots=True)
class ToolstackDoor:
    """One toolstack behind a socket; guests at rest are known by domid, saved ones by image.

    Those that are `_held` were stopped by a call within it, and by nobody else.
    """

    world: World
    timing: TimingSettings
    _stopped: dict[int | str, Stopped] = field(default_factory=dict[int | str, Stopped])
    _paused_seconds: dict[int | str, float] = field(default_factory=dict[int | str, float])
    _held: set[int] = field(default_factory=set[int])
    _whole_at: dict[str, float] = field(default_factory=dict[str, float])

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

    @property
    def unwritten(self) -> set[str]:
        """The images that are not whole on the disk yet."""
        return {image for image, at in self._whole_at.items() if at > _now()}

    async def domains(self) -> DomainsReply:
        reply, unwritten = self.world.toolstack.domains(), self.unwritten
        images = tuple(image for image in reply.images if image not in unwritten)
        return reply.model_copy(update={"images": images})

    async def suspend(self, ask: SuspendRequest) -> ToolReply:
        reply = self._toolstack.suspend(ask.domid)
        if _is_done(reply):
            self._held.discard(ask.domid)
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
        if not _is_done(reply):
            return reply
        if running.pages:  # or it was saved before
            self._stopped[ask.image] = self._stopped.pop(ask.domid, running)
            writing = span(ToolCall.SAVE, self.timing, running.pages)
            self._whole_at[ask.image] = _now() + writing.seconds
        await self._is_whole(ask.image)
        return reply

    async def restore(self, ask: RestoreRequest) -> ToolReply:
        await self._is_whole(ask.image)
        if self.world.toolstack.judge_restore(ask.image) is None:
            saved = self._stopped.get(ask.image)
            await self._take_time(ToolCall.RESTORE, saved.pages if saved else 0)
        return self._went_on(ask.image, self._toolstack.restore(ask.image))

    async def migrate(self, ask: MigrateRequest) -> ToolReply:
        judged = self.world.toolstack.judge_migrate(ask.domid, ask.to)
        if judged is not None:
            return self._went_on(ask.domid, judged)
        still = await self._run_then_stand_still(ToolCall.MIGRATE, ask.domid)
        reply = self._toolstack.migrate(ask.domid, ask.to)
        if _is_done(reply):
            self._note_pause(ask.domid, still)
        return _with_pause(reply, still)

    async def detach(self, ask: DeviceRequest) -> ToolReply:
        await self._take_time(ToolCall.DETACH)
        return self._toolstack.detach(ask.domid, ask.device)

    async def attach(self, ask: DeviceRequest) -> ToolReply:
        await self._take_time(ToolCall.ATTACH)
        return self._toolstack.attach(ask.domid, ask.device)

    async def drop_shadows(self, ask: DomainRequest) -> ToolReply:
        judged = self.world.toolstack.judge_drop_shadows(ask.domid)
        if judged is not None:
            return judged
        still = await self._run_then_stand_still(ToolCall.DROP_SHADOWS, ask.domid)
        return _with_pause(self._toolstack.drop_shadows(ask.domid), still)

    async def balloon(self, ask: BalloonRequest) -> ToolReply:
        await self._take_time(ToolCall.BALLOON, len(ask.mfns))
        return self._toolstack.balloon(ask.domid, ask.mfns)

    async def create(self, ask: CreateRequest) -> ToolReply:
        if self.world.toolstack.judge_create(ask.name, ask.kind, ask.pages) is None:
            await self._take_time(ToolCall.CREATE, ask.pages)
        return self._toolstack.create(ask.name, ask.kind, ask.pages)

    async def destroy(self, ask: DomainRequest) -> ToolReply:
        await self._take_time(ToolCall.DESTROY, self._pages(ask.domid))
        self._stopped.pop(ask.domid, None)
        return self._toolstack.destroy(ask.domid)

    async def reboot(self, ask: DomainRequest) -> ToolReply:
        await self._take_time(ToolCall.REBOOT)
        return self._toolstack.reboot(ask.domid)

    async def _run_then_stand_still(self, call: ToolCall, domid: int) -> float:
        """Let the time of `call` pass, the last part of it with the guest stopped; how long that
        was, 0 for a guest that did not run anyway. Whom somebody else suspends meanwhile stays so.
        """
        spent = span(call, self.timing, self._pages(domid))
        await asyncio.sleep(spent.running_seconds)
        domain = self.world.hypervisor.domains.get(DomId(domid))
        if domain is None or not domain.is_running:
            return 0.0
        domain.state = DomainState.SUSPENDED
        self._held.add(domid)
        try:
            await asyncio.sleep(spent.still_seconds)
        finally:
            is_ours = domid in self._held and domain.state is DomainState.SUSPENDED
            self._held.discard(domid)
            if is_ours:  # it may have crashed, or been ended
                domain.state = DomainState.RUNNING
        return spent.still_seconds

    @property
    def _toolstack(self) -> Toolstack:
        """As the call at hand meets it."""
        trouble = TROUBLE.get()
        tools = self.world.toolstack
        return tools if trouble is None else tools.meeting(trouble)

    def _went_on(self, guest: int | str, reply: ToolReply) -> ToolReply:
        """`reply` with the pause that it ends, or that was ended by who asked first."""
        if not _is_done(reply):
            return reply
        stopped = self._stopped.pop(guest, None)
        if stopped is not None:
            self._note_pause(guest, _now() - stopped.at)
        return _with_pause(reply, self._paused_seconds.get(guest, 0.0))

    def _note_pause(self, guest: int | str, seconds: float) -> None:
        self._paused_seconds[guest] = seconds
        if len(self._paused_seconds) > PAUSES_MAX:
            del self._paused_seconds[next(iter(self._paused_seconds))]

    async def _is_whole(self, image: str) -> None:
        """Wait until the image is written, if it is being written."""
        await asyncio.sleep(max(self._whole_at.get(image, 0.0) - _now(), 0.0))

    def _is_suspended(self, domid: int) -> bool:
        domain = self.world.hypervisor.domains.get(DomId(domid))
        return domain is not None and domain.state is DomainState.SUSPENDED

    def _pages(self, domid: int) -> int:
        domain = self.world.hypervisor.domains.get(DomId(domid))
        return len(domain.p2m) if domain else 0

    async def _take_time(self, call: ToolCall, pages: int = 0) -> None:
        await asyncio.sleep(span(call, self.timing, pages).seconds)


def _with_pause(reply: ToolReply, seconds: float) -> ToolReply:
    return reply.model_copy(update={"pause_seconds": seconds}) if seconds else reply


def _is_done(reply: ToolReply) -> bool:
    return reply.outcome is ToolOutcome.DONE


def _now() -> float:
    return asyncio.get_running_loop().time()
