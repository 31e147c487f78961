"""The hypercall's door: each call takes the time a real one takes, and is done at its end.

Which calls there are is the host's personality: those of the 2008 design, or the one of real Xen.
The others' are refused with the name of what there is.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from agent.contract.hypercall import (
    Call,
    HostReply,
    PagesReply,
    PagesRequest,
    SysctlReply,
    SysctlRequest,
)
from emulator.config import EmulatorConfig, Personality, TimingSettings
from emulator.edges.door import do, tell
from emulator.edges.fate import HostDownError
from emulator.world import World
from emulator.xen.defects import HostDown
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.sysctl import Caller, PageOfflineOp

CALLS: dict[Personality, tuple[Call, ...]] = {
    Personality.THREAD: (Call.OFFLINE, Call.QUERY, Call.ONLINE, Call.SWAP),
    Personality.XEN_4_17: (Call.SYSCTL,),
}


def routes(world: World, config: EmulatorConfig) -> list[web.RouteDef]:
    personality = config.host.personality

    async def host() -> HostReply:
        return HostReply(
            host=world.firmware.host,
            boot_id=world.firmware.boot_id,
            frames=world.hypervisor.layout.frames,
            personality=personality,
        )

    if personality is Personality.THREAD:
        answered = _of_the_design(world.hypervisor, config.timing)
    else:
        answered = _of_xen(world.hypervisor, config)
    return [tell(Call.HOST, host), *answered, *_refused(personality)]


def _of_the_design(hypervisor: Hypervisor, timing: TimingSettings) -> list[web.RouteDef]:
    def timed(
        call: Callable[[Sequence[int]], PagesReply],
    ) -> Callable[[PagesRequest], Awaitable[PagesReply]]:
        async def answer(ask: PagesRequest) -> PagesReply:
            await asyncio.sleep(timing.hypercall_seconds)
            return call(ask.mfns)

        return answer

    return [
        do(Call.OFFLINE, PagesRequest, timed(hypervisor.page_offline_pending)),
        do(Call.QUERY, PagesRequest, timed(hypervisor.page_query)),
        do(Call.ONLINE, PagesRequest, timed(hypervisor.page_online)),
        do(Call.SWAP, PagesRequest, timed(hypervisor.p2m_swap)),
    ]


def _of_xen(hypervisor: Hypervisor, config: EmulatorConfig) -> list[web.RouteDef]:
    xen, caller = PageOfflineOp(hypervisor), Caller(cpu=config.host.hypercall_cpu)

    async def sysctl(ask: SysctlRequest) -> SysctlReply:
        await asyncio.sleep(config.timing.hypercall_seconds)
        answer = xen.call(ask, caller)
        if isinstance(answer, HostDown):
            raise HostDownError(answer)
        return answer

    return [do(Call.SYSCTL, SysctlRequest, sysctl)]


def _refused(personality: Personality) -> list[web.RouteDef]:
    """The calls of the other personality."""

    def refuse(call: Call) -> web.RouteDef:
        async def handle(_: web.Request) -> web.Response:
            there = ", ".join(CALLS[personality])
            raise web.HTTPNotFound(text=f"{call}: this host is {personality}; it has {there}\n")

        return web.post(call, handle)

    others = (calls for other, calls in CALLS.items() if other is not personality)
    return [refuse(call) for calls in others for call in calls]
