"""One boot of the host, and what lasts from one to the next.

A boot has handlers, a source of ereports with its outbox, and an end of its own. What is under way
when it ends is not carried out, and what nobody had applied by then is gone.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from agent.contract.ereport import Inventory
from agent.contract.frames import PAGE_SIZE
from emulator.config import EmulatorConfig
from emulator.edges import hypercall
from emulator.edges.fate import Fate, Handler
from emulator.edges.mischief import Troublemaker
from emulator.edges.telemetry import Telemetry
from emulator.edges.toolstack import ToolstackDoor
from emulator.edges.truth import PastTruth, Tally
from emulator.mischief import Mischief
from emulator.world import World

Say = Callable[[str], None]
Task = Coroutine[None, None, None]


class Boot:
    """The boot that `world` is in now; make it inside a running loop."""

    def __init__(self, world: World, mischief: Mischief, config: EmulatorConfig, say: Say) -> None:
        self.fate = Fate()
        self.telemetry = Telemetry(_inventory(world), config.broker, config.telemetry, say)
        self.toolstack = ToolstackDoor(world, config.timing)
        self._maker = Troublemaker(world, mischief)
        self.doors = {
            "hypercall": self._bound(hypercall.routes(world, config)),
            "hypercall-unprivileged": self._bound(hypercall.of_anybody(world, config)),
            "toolstack": self._bound(self.toolstack.routes()),
        }

    async def run(self, **tasks: Task) -> None:
        """Live, with these tasks, until the host hangs or goes down."""
        async with asyncio.TaskGroup() as group:
            living = [
                group.create_task(task, name=name)
                for name, task in {"telemetry": self.telemetry.run(), **tasks}.items()
            ]
            await self.fate.stopped()
            for task in living:
                task.cancel()

    def _bound(self, routes: Sequence[web.RouteDef]) -> list[web.RouteDef]:
        return self.fate.bound(self._maker.bound(routes))


@dataclass(slots=True)
class Life:
    """The host as it is now. `started_at` is the loop's time at which its world began."""

    world: World
    mischief: Mischief
    boot: Boot
    started_at: float
    past: PastTruth = field(default_factory=PastTruth)
    is_replaying: bool = False
    events_left: int = 0

    @property
    def now(self) -> float:
        """Seconds since the world began."""
        return asyncio.get_running_loop().time() - self.started_at

    def handler(self, door: str, place: int) -> Handler:
        """What answers there in the present boot: the routes of all boots are the same."""

        async def handle(request: web.Request) -> web.StreamResponse:
            present: Handler = self.boot.doors[door][place].handler
            return await present(request)

        return handle

    def bury(self, ended: str) -> None:
        """Count the present boot, which has ended, among the past."""
        unheard, unsent = self.boot.telemetry.left()
        self.is_replaying = False
        self.past += PastTruth(
            boots=1,
            made=Tally(ereports=self.world.ereports, errors=self.world.errors),
            unsent=unsent,
            unheard=unheard,
            corruptions=sum(guest.workload.harm for guest in self.world.guests),
            ended=ended,
        )


def _inventory(world: World) -> Inventory:
    firmware = world.firmware
    return Inventory(
        host=firmware.host,
        boot_id=firmware.boot_id,
        memory_bytes=world.hypervisor.layout.frames * PAGE_SIZE,
        dimms=firmware.geometry.labels,
        modules=firmware.modules,
    )
