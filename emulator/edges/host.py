"""The whole host, running: one world, its doors, its source of ereports, and the guests' work.

Doors open before anything happens, and close after everything has stopped. The source is the only
task that ever waits for the agent (its outbox may be full); guests work on meanwhile.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from uuid import uuid4

from aiohttp import web

from agent.contract.ereport import Inventory
from agent.contract.frames import PAGE_SIZE
from emulator.config import EmulatorConfig
from emulator.edges import hypercall
from emulator.edges.control import Control
from emulator.edges.door import door
from emulator.edges.fate import Fate
from emulator.edges.telemetry import Telemetry
from emulator.edges.toolstack import ToolstackDoor
from emulator.edges.truth import Ready
from emulator.plan import layout_of
from emulator.replay import Recording, dealt
from emulator.scenario import Scenario
from emulator.world import World

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Script:
    """What this host is to go through. A recording takes the place of all faults."""

    config: EmulatorConfig
    scenario: Scenario
    recording: Recording | None = None


def replayed(config: EmulatorConfig, recording: Recording) -> Script:
    """The script of a recording: the configured guests, and no fault but what was recorded."""
    scenario = Scenario(title=f"The recording {recording.path.name} happens again, as this host's.")
    return Script(config.model_copy(update={"faults": ()}), scenario, recording)


class Host:
    """One life of an emulated host; make it inside a running loop."""

    def __init__(self, script: Script, say: Say) -> None:
        config, recording = script.config, script.recording
        layout = layout_of(config, script.scenario)
        if recording is not None:
            layout = dealt(layout, recording.frames())
        self._config = config
        self._recording = recording
        self._say = say
        self._fate = Fate()
        self._world = World(config, script.scenario, layout, uuid4(), time.time_ns())
        self._telemetry = Telemetry(self._inventory(), config.broker, config.telemetry, say)
        self._control = Control(
            self._world,
            self._telemetry,
            script.scenario,
            asyncio.get_running_loop().time(),
            is_replaying=recording is not None,
        )

    async def run(self, stop: asyncio.Event, ready: Callable[[Ready], None]) -> None:
        """Live until `stop`; `ready` is called once every door is open.

        Raises:
            ExceptionGroup: of an EmulatorError, if the host crashes before that.
        """
        async with AsyncExitStack() as doors:
            sockets = self._config.sockets
            for name, routes in self._doors().items():
                await doors.enter_async_context(door(sockets / f"{name}.sock", routes, self._say))
            ready(self._ready())
            await self._live(stop)

    def _doors(self) -> dict[str, list[web.RouteDef]]:
        toolstack = ToolstackDoor(self._world, self._config.timing)
        return {
            "hypercall": self._fate.bound(hypercall.routes(self._world, self._config)),
            "hypercall-unprivileged": self._fate.bound(
                hypercall.of_anybody(self._world, self._config)
            ),
            "toolstack": self._fate.bound(toolstack.routes()),
            "control": self._control.routes(),
        }

    async def _live(self, stop: asyncio.Event) -> None:
        source = self._break_down() if self._recording is None else self._replay(self._recording)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._telemetry.run(), name="telemetry"),
                group.create_task(source, name="source"),
                group.create_task(self._work(), name="work"),
                group.create_task(self._fate.crash(), name="fate"),
            ]
            await stop.wait()
            for task in tasks:
                task.cancel()

    async def _break_down(self) -> None:
        while True:
            batch = self._world.step(self._control.now)
            if batch is not None:
                await self._telemetry.send(batch)
            await asyncio.sleep(self._config.telemetry.interval_seconds)

    async def _replay(self, recording: Recording) -> None:
        firmware = self._world.firmware
        for batch in recording.batches(firmware.host, firmware.boot_id):
            self._world.count_replayed(batch)
            await self._telemetry.send(batch)
            await asyncio.sleep(0)  # let the others in: reading a batch does not wait for anything
        self._control.is_replaying = False
        await self._break_down()

    async def _work(self) -> None:
        while True:
            self._world.work(self._control.now)
            await asyncio.sleep(self._config.workload.interval_seconds)

    def _inventory(self) -> Inventory:
        firmware = self._world.firmware
        return Inventory(
            host=firmware.host,
            boot_id=firmware.boot_id,
            memory_bytes=self._world.hypervisor.layout.frames * PAGE_SIZE,
            dimms=firmware.labels,
        )

    def _ready(self) -> Ready:
        firmware = self._world.firmware
        return Ready(
            host=firmware.host, boot_id=firmware.boot_id, sockets=str(self._config.sockets)
        )
