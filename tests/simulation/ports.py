"""The agent's ports, onto the host in memory: what `adapters.hypervisor.emulated` does by socket.

Every call has a deadline. What was asked for goes its way, whether the caller waits or not.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from agent.contract.errors import Unreachable
from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import HostReply, MarkedReply, PagesReply
from agent.contract.toolstack import DomainsReply, ToolCall, ToolReply
from tests.simulation.host import Host
from tests.simulation.power import Process

Reply = TypeVar("Reply")


class Port:
    """One process' way to the host."""

    def __init__(self, host: Host, process: Process, deadline_seconds: float) -> None:
        self._host = host
        self._process = process
        self._deadline_seconds = deadline_seconds

    async def _ask(self, name: str, carried_out: Awaitable[Reply | None]) -> Reply:
        """What the host answers in time."""
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        async def serve() -> None:
            try:
                reply = await carried_out
            except Unreachable as error:
                if not answer.done():
                    answer.set_exception(error)
                return
            if reply is not None and not answer.done():
                answer.set_result(reply)

        try:
            self._process.heard()
        except BaseException:
            _dismiss(carried_out)
            raise
        self._host.spawn(serve(), name)
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await answer
        except TimeoutError:
            raise Unreachable(f"{name}: no answer in {self._deadline_seconds:g} s") from None


def _dismiss(call: Awaitable[object]) -> None:
    """It will never be made, and nobody is to be warned of that."""
    if asyncio.iscoroutine(call):
        call.close()


class SimHypervisor(Port):
    """Fills `retirement.ports.Hypervisor`."""

    async def host(self) -> HostReply:
        return await self._ask("host", self._host.tell("host", self._identity))

    def _identity(self) -> HostReply:
        return HostReply(
            host=self._host.nature.config.host.name,
            boot_id=self._host.boot_id,
            frames=self._host.nature.layout.frames,
            personality="thread",
            modules=self._host.world.firmware.modules,
            interleave=self._host.world.firmware.geometry.interleave,
        )

    async def offline(self, mfns: Sequence[Mfn]) -> PagesReply:
        hypervisor = self._host.world.hypervisor
        return await self._pages("offline", mfns, lambda: hypervisor.page_offline_pending(mfns))

    async def query(self, mfns: Sequence[Mfn]) -> PagesReply:
        hypervisor = self._host.world.hypervisor
        return await self._pages("query", mfns, lambda: hypervisor.page_query(mfns))

    async def online(self, mfns: Sequence[Mfn]) -> PagesReply:
        hypervisor = self._host.world.hypervisor
        return await self._pages("online", mfns, lambda: hypervisor.page_online(mfns))

    async def swap(self, mfns: Sequence[Mfn]) -> PagesReply:
        hypervisor = self._host.world.hypervisor
        return await self._pages("swap", mfns, lambda: hypervisor.p2m_swap(mfns))

    async def marked(self, first: Mfn) -> MarkedReply:
        hypervisor = self._host.world.hypervisor
        listed = self._host.tell("marked", lambda: hypervisor.page_marked(first))
        return await self._ask("marked", listed)

    async def _pages(
        self, call: str, mfns: Sequence[Mfn], act: Callable[[], PagesReply]
    ) -> PagesReply:
        return await self._ask(call, self._host.pages(call, tuple(mfns), act))


class SimToolstack(Port):
    """Fills `retirement.ports.Toolstack`."""

    async def domains(self) -> DomainsReply:
        return await self._ask(
            "domains", self._host.tell("domains", self._host.world.toolstack.domains)
        )

    async def suspend(self, domid: DomId) -> ToolReply:
        tools = self._host.world.toolstack
        return await self._do(ToolCall.SUSPEND, domid, lambda: tools.suspend(domid))

    async def exchange(self, domid: DomId, mfns: Sequence[Mfn]) -> ToolReply:
        tools = self._host.world.toolstack
        act = lambda: tools.exchange(domid, mfns)  # noqa: E731 - one line for each call
        return await self._do(ToolCall.EXCHANGE, domid, act, pages=len(mfns))

    async def resume(self, domid: DomId) -> ToolReply:
        tools = self._host.world.toolstack
        return await self._do(ToolCall.RESUME, domid, lambda: tools.resume(domid))

    async def save(self, domid: DomId, image: str) -> ToolReply:
        tools = self._host.world.toolstack
        self._host.remember_home(image, domid)
        act = lambda: tools.save(domid, image)  # noqa: E731 - as above
        return await self._do(ToolCall.SAVE, domid, act, image=image)

    async def restore(self, image: str) -> ToolReply:
        tools = self._host.world.toolstack
        return await self._do(ToolCall.RESTORE, image, lambda: tools.restore(image))

    async def migrate(self, domid: DomId, to: str) -> ToolReply:
        tools = self._host.world.toolstack
        return await self._do(ToolCall.MIGRATE, domid, lambda: tools.migrate(domid, to))

    async def detach(self, domid: DomId, device: str) -> ToolReply:
        tools = self._host.world.toolstack
        return await self._do(ToolCall.DETACH, domid, lambda: tools.detach(domid, device))

    async def attach(self, domid: DomId, device: str) -> ToolReply:
        tools = self._host.world.toolstack
        return await self._do(ToolCall.ATTACH, domid, lambda: tools.attach(domid, device))

    async def drop_shadows(self, domid: DomId) -> ToolReply:
        tools = self._host.world.toolstack
        return await self._do(ToolCall.DROP_SHADOWS, domid, lambda: tools.drop_shadows(domid))

    async def _do(
        self,
        call: ToolCall,
        about: int | str,
        act: Callable[[], ToolReply],
        pages: int = 0,
        image: str = "",
    ) -> ToolReply:
        return await self._ask(call.name, self._host.command(call, about, act, pages, image))
