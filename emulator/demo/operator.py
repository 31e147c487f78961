"""The operator of a scenario: asks of the agent what its timeline says, as the commands do."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from agent.contract.requests import RequestView
from agent.contract.status import View
from emulator.demo.asking import ask
from emulator.errors import EmulatorError
from emulator.timeline import Event

LOOK_SECONDS = 0.2
LOOKS_MAX = 300


async def operate(agent: Path, events: Sequence[Event]) -> None:
    """Ask for each at its time, and wait until nothing of it is left."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for number, event in enumerate(events):
        await asyncio.sleep(max(began + event.at - loop.time(), 0))
        await _carried_out(agent, event, f"r-scenario-{number}")


async def _carried_out(agent: Path, event: Event, request_id: str) -> None:
    """Asking twice is asking once, so an agent that is away for a while is asked again."""
    for _ in range(LOOKS_MAX):
        if await _is_over(agent, event, request_id):
            return
        await asyncio.sleep(LOOK_SECONDS)
    raise EmulatorError(f"timeline: the agent does not finish to {event.operator}")


async def _is_over(agent: Path, event: Event, request_id: str) -> bool:
    try:
        view = await ask(agent, View.REQUESTS, RequestView, event.request(request_id))
    except EmulatorError:
        return False
    return view.is_over
