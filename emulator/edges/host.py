"""The whole host, running: one world, its doors, and one boot of it after another.

Doors open before anything happens, and close after everything has stopped. They stay open while
the host is down, and belong to whichever boot there is. The source is the only task that ever waits
for the agent (its outbox may be full); guests work on meanwhile. A recording ends with the boot in
which it began.
"""

import asyncio
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack
from dataclasses import dataclass
from uuid import uuid4

from aiohttp import web

from emulator.config import EmulatorConfig
from emulator.edges.boot import Boot, Life, Say
from emulator.edges.control import Control
from emulator.edges.door import door
from emulator.edges.events import play
from emulator.edges.exposition import exposition
from emulator.edges.fate import wrapped
from emulator.edges.truth import Ready
from emulator.mischief import Mischief
from emulator.plan import layout_of
from emulator.replay import Recording, dealt
from emulator.scenario import Scenario
from emulator.timeline import of_the_host
from emulator.world import World


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
    """An emulated host, from when it is switched on until nobody needs it any more.

    Make it inside a running loop.
    """

    def __init__(self, script: Script, say: Say) -> None:
        self._script = script
        self._config = script.config
        self._say = say
        world, mischief = _world(script), Mischief()
        for rule in script.scenario.mischief:
            mischief.add(rule)
        boot = Boot(world, mischief, script.config, say)
        now = asyncio.get_running_loop().time()
        self._events = of_the_host(script.scenario.timeline)
        self._life = Life(
            world,
            mischief,
            boot,
            now,
            is_replaying=script.recording is not None,
            events_left=len(self._events),
        )
        self._control = Control(self._life, script.scenario)

    async def run(self, stop: asyncio.Event, ready: Callable[[Ready], None]) -> None:
        """Live until `stop`; `ready` is called once every door is open."""
        async with AsyncExitStack() as doors:
            sockets = self._config.sockets
            for name, routes in self._doors().items():
                await doors.enter_async_context(door(sockets / f"{name}.sock", routes, self._say))
            if self._config.metrics:
                shown = exposition(self._config.metrics, self._control.truth)
                await doors.enter_async_context(shown)
            ready(self._ready())
            await self._live(stop)

    def _doors(self) -> dict[str, list[web.RouteDef]]:
        doors = {name: self._lasting(name) for name in self._life.boot.doors}
        return {**doors, "control": self._control.routes()}

    def _lasting(self, door: str) -> list[web.RouteDef]:
        """The routes of a door that stays open from one boot to the next."""
        places = {route.path: place for place, route in enumerate(self._life.boot.doors[door])}
        return wrapped(
            self._life.boot.doors[door],
            lambda route, _: self._life.handler(door, places[route.path]),
        )

    async def _live(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            living = (
                group.create_task(self._boots(), name="boots"),
                group.create_task(play(self._life, self._events, self._say), name="timeline"),
            )
            await stop.wait()
            for task in living:
                task.cancel()

    async def _boots(self) -> None:
        """One after another; a host that hangs stays so until somebody reboots it."""
        recording = self._script.recording
        source = self._break_down() if recording is None else self._replay(recording)
        while True:
            await self._life.boot.run(source=source, work=self._work())
            self._life.world.stand_still()
            unwritten = self._life.boot.toolstack.unwritten
            await self._reboot(await self._life.boot.fate.over(), unwritten)
            source = self._break_down()

    async def _reboot(self, why: str, unwritten: AbstractSet[str]) -> None:
        seconds, life = self._config.host.reboot_seconds, self._life
        self._say(f"the host is down ({why}), and back in {seconds:g} s")
        await asyncio.sleep(seconds)
        life.bury(why)
        life.world.reboot(uuid4(), life.now, unwritten)
        life.boot = Boot(life.world, life.mischief, self._config, self._say)
        self._say(f"the host is back as boot {life.world.firmware.boot_id}")

    async def _break_down(self) -> None:
        while True:
            batch = self._life.world.step(self._life.now)
            if batch is not None:
                await self._life.boot.telemetry.send(batch)
            if self._life.world.down is not None:
                self._life.boot.fate.end(self._life.world.down)
            await asyncio.sleep(self._config.telemetry.interval_seconds)

    async def _replay(self, recording: Recording) -> None:
        world, firmware = self._life.world, self._life.world.firmware
        for batch in recording.batches(firmware.host, firmware.boot_id):
            world.count(batch)
            await self._life.boot.telemetry.send(batch)
            await asyncio.sleep(0)  # let the others in: reading a batch does not wait for anything
        self._life.is_replaying = False
        await self._break_down()

    async def _work(self) -> None:
        while True:
            self._life.world.work(self._life.now)
            await asyncio.sleep(self._config.workload.interval_seconds)

    def _ready(self) -> Ready:
        firmware = self._life.world.firmware
        return Ready(
            host=firmware.host, boot_id=firmware.boot_id, sockets=str(self._config.sockets)
        )


def _world(script: Script) -> World:
    layout = layout_of(script.config, script.scenario)
    if script.recording is not None:
        layout = dealt(layout, script.recording.frames())
    return World(script.config, script.scenario, layout, uuid4(), time.time_ns())
