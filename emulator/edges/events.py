"""The timeline of a living host: guests come and go, it reboots, trouble begins.

An event that cannot be yet (its guest is being saved, the host is down) waits until it can. One
that never can is told of, and what follows goes on.
"""

import asyncio
from collections.abc import Sequence

from agent.contract.frames import PAGE_SHIFT
from agent.contract.toolstack import CreateRequest, DomainRequest, ToolOutcome, ToolReply
from emulator.edges.boot import Life, Say
from emulator.edges.truth import HostState
from emulator.timeline import Event, GuestDo
from emulator.xen.defects import Down, HostDown

LOOK_SECONDS = 0.1
LOOKS_MAX = 600
_REBOOT = HostDown(Down.CRASHED, "its scenario reboots it")


async def play(life: Life, events: Sequence[Event], say: Say) -> None:
    """Let `events`, in the order of time, happen one after the other."""
    for event in events:
        await asyncio.sleep(max(event.at - life.now, 0))
        if not await _in_time(life, event):
            say(f"timeline: cannot {event.do} guest {event.guest} at {event.at:g} s: given up")
        life.events_left -= 1


async def _in_time(life: Life, event: Event) -> bool:
    """True if it could be, sooner or later."""
    for _ in range(LOOKS_MAX):
        if await _happened(life, event):
            return True
        await asyncio.sleep(LOOK_SECONDS)
    return False


async def _happened(life: Life, event: Event) -> bool:
    """True once it is so."""
    if life.boot.fate.state is not HostState.UP:
        return False
    if event.mischief is not None:
        life.mischief.add(event.mischief)
    elif event.host is not None:
        life.boot.fate.end(_REBOOT)
    elif event.guest is not None:
        return (await _to_guest(life, event, event.guest)).outcome is ToolOutcome.DONE
    return True


async def _to_guest(life: Life, event: Event, name: str) -> ToolReply:
    toolstack = life.boot.toolstack
    if event.do is GuestDo.START:
        pages = event.memory >> PAGE_SHIFT
        return await toolstack.create(CreateRequest(name=name, kind=event.kind, pages=pages))
    domains = life.world.hypervisor.domains.values()
    named = next((domain for domain in domains if domain.name == name), None)
    if named is None:
        return ToolReply(outcome=ToolOutcome.NO_SUCH_DOMAIN)
    ask = DomainRequest(domid=named.domid)
    return await (toolstack.destroy(ask) if event.do is GuestDo.STOP else toolstack.reboot(ask))
