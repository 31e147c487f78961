"""The hypercall's doors: each call takes the time a real one takes, and is done at its end.

Which calls there are is the host's personality: those of the 2008 design, or the one of real Xen.
The others' are refused with the name of what there is.

There is a door for the privileged and one for anybody. Who comes in by the second is refused every
call by real Xen, with -1 and EPERM. The design lets him ask and hides which page is whose from him;
what changes a page is refused with 403 before it is looked at, because he owns none of them, and
what would come of it is itself an answer about somebody else's memory. So is what is marked.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from agent.contract.hypercall import (
    Call,
    HostReply,
    MarkedReply,
    MarkedRequest,
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
from emulator.xen.offline import to_the_unprivileged
from emulator.xen.sysctl import Caller, PageOfflineOp

CALLS: dict[Personality, tuple[Call, ...]] = {
    Personality.THREAD: (Call.OFFLINE, Call.QUERY, Call.ONLINE, Call.SWAP, Call.MARKED),
    Personality.XEN_4_17: (Call.SYSCTL,),
}
FOR_THE_PRIVILEGED = {
    Call.OFFLINE: "it changes pages",
    Call.ONLINE: "it changes pages",
    Call.SWAP: "it changes pages",
    Call.MARKED: "it tells of pages whosever they are",
}

PageCall = Callable[[Sequence[int]], PagesReply]


def routes(world: World, config: EmulatorConfig) -> list[web.RouteDef]:
    """The door of the privileged."""
    if config.host.personality is Personality.THREAD:
        answered = _of_the_design(world.hypervisor, config.timing)
    else:
        answered = _of_xen(world.xen, config, is_privileged=True)
    return [*_of_all(world, config), *answered]


def of_anybody(world: World, config: EmulatorConfig) -> list[web.RouteDef]:
    """The door of the unprivileged."""
    if config.host.personality is Personality.THREAD:
        answered = _asked_by_anybody(world.hypervisor, config.timing)
    else:
        answered = _of_xen(world.xen, config, is_privileged=False)
    return [*_of_all(world, config), *answered]


def _of_all(world: World, config: EmulatorConfig) -> list[web.RouteDef]:
    """What every door of every host has: who the host is, and what it has not."""
    personality = config.host.personality

    async def host() -> HostReply:
        return HostReply(
            host=world.firmware.host,
            boot_id=world.firmware.boot_id,
            frames=world.hypervisor.layout.frames,
            personality=personality,
            modules=world.firmware.modules,
            interleave=world.firmware.geometry.interleave,
        )

    return [tell(Call.HOST, host), *_of_the_others(personality)]


def _of_the_design(hypervisor: Hypervisor, timing: TimingSettings) -> list[web.RouteDef]:
    async def marked(ask: MarkedRequest) -> MarkedReply:
        await asyncio.sleep(timing.hypercall_seconds)
        return hypervisor.page_marked(ask.first)

    return [
        do(Call.MARKED, MarkedRequest, marked),
        do(Call.OFFLINE, PagesRequest, _timed(hypervisor.page_offline_pending, timing)),
        do(Call.QUERY, PagesRequest, _timed(hypervisor.page_query, timing)),
        do(Call.ONLINE, PagesRequest, _timed(hypervisor.page_online, timing)),
        do(Call.SWAP, PagesRequest, _timed(hypervisor.p2m_swap, timing)),
    ]


def _asked_by_anybody(hypervisor: Hypervisor, timing: TimingSettings) -> list[web.RouteDef]:
    def query(mfns: Sequence[int]) -> PagesReply:
        return to_the_unprivileged(hypervisor.page_query(mfns))

    refused = (
        _refused(call, web.HTTPForbidden, f"{what}, and only hypercall.sock is for that")
        for call, what in FOR_THE_PRIVILEGED.items()
    )
    return [do(Call.QUERY, PagesRequest, _timed(query, timing)), *refused]


def _timed(
    call: PageCall, timing: TimingSettings
) -> Callable[[PagesRequest], Awaitable[PagesReply]]:
    async def answer(ask: PagesRequest) -> PagesReply:
        await asyncio.sleep(timing.hypercall_seconds)
        return call(ask.pages)

    return answer


def _of_xen(
    xen: PageOfflineOp, config: EmulatorConfig, *, is_privileged: bool
) -> list[web.RouteDef]:
    caller = Caller(is_privileged, config.host.hypercall_cpu)

    async def sysctl(ask: SysctlRequest) -> SysctlReply:
        await asyncio.sleep(config.timing.hypercall_seconds)
        answer = xen.call(ask, caller)
        if isinstance(answer, HostDown):
            raise HostDownError(answer)
        return answer

    return [do(Call.SYSCTL, SysctlRequest, sysctl)]


def _of_the_others(personality: Personality) -> list[web.RouteDef]:
    """The calls of the other personality."""
    why = f"this host is {personality}; it has {', '.join(CALLS[personality])}"
    others = (calls for other, calls in CALLS.items() if other is not personality)
    return [_refused(call, web.HTTPNotFound, why) for calls in others for call in calls]


def _refused(call: Call, answer: type[web.HTTPException], why: str) -> web.RouteDef:
    async def handle(_: web.Request) -> web.Response:
        raise answer(text=f"{call}: {why}\n")

    return web.post(call, handle)
