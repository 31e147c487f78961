"""The hypercall's door: each call takes the time a real one takes, and is atomic at its end."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from agent.contract.hypercall import Call, HostReply, PagesReply, PagesRequest
from emulator.config import TimingSettings
from emulator.edges.door import do, tell
from emulator.world import World

PERSONALITY = "thread"


def routes(world: World, timing: TimingSettings) -> list[web.RouteDef]:
    hypervisor = world.hypervisor

    async def host() -> HostReply:
        return HostReply(
            host=world.firmware.host,
            boot_id=world.firmware.boot_id,
            frames=hypervisor.layout.frames,
            personality=PERSONALITY,
        )

    def timed(
        call: Callable[[Sequence[int]], PagesReply],
    ) -> Callable[[PagesRequest], Awaitable[PagesReply]]:
        async def answer(ask: PagesRequest) -> PagesReply:
            await asyncio.sleep(timing.hypercall_seconds)
            return call(ask.mfns)

        return answer

    return [
        tell(Call.HOST, host),
        do(Call.OFFLINE, PagesRequest, timed(hypervisor.page_offline_pending)),
        do(Call.QUERY, PagesRequest, timed(hypervisor.page_query)),
        do(Call.ONLINE, PagesRequest, timed(hypervisor.page_online)),
        do(Call.SWAP, PagesRequest, timed(hypervisor.p2m_swap)),
    ]
