"""The emulated host: its hypercalls and its toolstack, each behind a Unix socket of its own."""

from collections.abc import Sequence
from pathlib import Path

from agent.adapters.hypervisor.caller import Caller
from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import (
    Call,
    HostReply,
    MarkedReply,
    MarkedRequest,
    PagesReply,
    PagesRequest,
)
from agent.contract.toolstack import (
    DeviceRequest,
    DomainRequest,
    DomainsReply,
    ExchangeRequest,
    MigrateRequest,
    RestoreRequest,
    ResumePath,
    ResumeRequest,
    SaveRequest,
    SuspendRequest,
    ToolCall,
    ToolReply,
)
from agent.events import Observer


class EmulatedHypervisor:
    """Fills `retirement.ports.Hypervisor`."""

    def __init__(self, socket: Path, deadline_seconds: float, observer: Observer) -> None:
        self._caller = Caller(socket, deadline_seconds, observer)

    async def close(self) -> None:
        await self._caller.close()

    async def host(self) -> HostReply:
        return await self._caller.ask(Call.HOST, HostReply)

    async def offline(self, mfns: Sequence[Mfn]) -> PagesReply:
        return await self._pages(Call.OFFLINE, mfns)

    async def query(self, mfns: Sequence[Mfn]) -> PagesReply:
        return await self._pages(Call.QUERY, mfns)

    async def online(self, mfns: Sequence[Mfn]) -> PagesReply:
        return await self._pages(Call.ONLINE, mfns)

    async def swap(self, mfns: Sequence[Mfn]) -> PagesReply:
        return await self._pages(Call.SWAP, mfns)

    async def marked(self, first: Mfn) -> MarkedReply:
        return await self._caller.ask(Call.MARKED, MarkedReply, MarkedRequest(first=first))

    async def _pages(self, call: Call, mfns: Sequence[Mfn]) -> PagesReply:
        return await self._caller.ask(call, PagesReply, PagesRequest(mfns=tuple(mfns)))


class EmulatedToolstack:
    """Fills `retirement.ports.Toolstack`."""

    def __init__(self, socket: Path, deadline_seconds: float, observer: Observer) -> None:
        self._caller = Caller(socket, deadline_seconds, observer)

    async def close(self) -> None:
        await self._caller.close()

    async def domains(self) -> DomainsReply:
        return await self._caller.ask(ToolCall.DOMAINS, DomainsReply)

    async def suspend(self, domid: DomId) -> ToolReply:
        return await self._caller.ask(ToolCall.SUSPEND, ToolReply, SuspendRequest(domid=domid))

    async def exchange(self, domid: DomId, mfns: Sequence[Mfn]) -> ToolReply:
        request = ExchangeRequest(domid=domid, mfns=tuple(mfns))
        return await self._caller.ask(ToolCall.EXCHANGE, ToolReply, request)

    async def resume(self, domid: DomId) -> ToolReply:
        """By the slow path: the fast one leaves the guest writing to its old frames."""
        request = ResumeRequest(domid=domid, path=ResumePath.SLOW)
        return await self._caller.ask(ToolCall.RESUME, ToolReply, request)

    async def save(self, domid: DomId, image: str) -> ToolReply:
        request = SaveRequest(domid=domid, image=image)
        return await self._caller.ask(ToolCall.SAVE, ToolReply, request)

    async def restore(self, image: str) -> ToolReply:
        return await self._caller.ask(ToolCall.RESTORE, ToolReply, RestoreRequest(image=image))

    async def migrate(self, domid: DomId, to: str) -> ToolReply:
        request = MigrateRequest(domid=domid, to=to)
        return await self._caller.ask(ToolCall.MIGRATE, ToolReply, request)

    async def detach(self, domid: DomId, device: str) -> ToolReply:
        request = DeviceRequest(domid=domid, device=device)
        return await self._caller.ask(ToolCall.DETACH, ToolReply, request)

    async def attach(self, domid: DomId, device: str) -> ToolReply:
        request = DeviceRequest(domid=domid, device=device)
        return await self._caller.ask(ToolCall.ATTACH, ToolReply, request)

    async def drop_shadows(self, domid: DomId) -> ToolReply:
        request = DomainRequest(domid=domid)
        return await self._caller.ask(ToolCall.DROP_SHADOWS, ToolReply, request)
