"""A bridge for tests: a host made of files, and lives of a bridge one after the other."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from agent.adapters.broker_settings import BrokerSettings
from agent.adapters.this_host import ThisHost
from agent.bridge.events import Event, SourceTold
from agent.bridge.keeping import open_keeping
from agent.bridge.service import Bridge, Plan
from agent.bridge.wanted import Making, Wanted
from agent.telemetry.prefixes import Unsaid
from tests.support.books import HOST, PATIENCE_SECONDS
from tests.support.logs import EDAC

Kind = TypeVar("Kind")

BOOT = UUID("c2c8eba6-e0d5-44e1-93b0-9f529914eccd")
BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
UNSAID = Unsaid(latest=datetime(2026, 12, 31, tzinfo=UTC))


def a_host(root: Path, boot_id: UUID = BOOT, began: datetime = BEGAN) -> ThisHost:
    """A machine in this boot, with 4 GiB and no DIMM that anybody knows."""
    for name, text in {
        "proc/sys/kernel/random/boot_id": f"{boot_id}\n",
        "proc/stat": f"btime {int(began.timestamp())}\n",
        "proc/meminfo": "MemTotal: 4194304 kB\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return ThisHost(root)


def error(number: int, day: str = "2026-03-02") -> str:
    """An EDAC line of a page of its own."""
    return f"{day}T00:00:00Z hv-1 kernel: {EDAC.replace('page:0x12345', f'page:{number:#x}')}\n"


def address(number: int) -> int:
    return (number << 12) | 0x680


def block(number: int) -> str:
    """A machine-check block and the line that explains it: one error in five lines."""
    head = "2026-03-02T00:00:00Z hv-1 kernel: EDAC skx MC1: "
    words = ("HANDLING MCE MEMORY ERROR", "TSC 0x0", f"ADDR {address(number):#x}", "MISC 0x0")
    return "".join(f"{head}{word}\n" for word in words) + error(number)


@dataclass
class Bridging:
    """What stays the same from one life to the next."""

    folder: Path
    url: str
    source: Wanted
    host: ThisHost
    plan: Plan = field(default_factory=lambda: Plan(HOST, settle_seconds=0.3))
    events: list[Event] = field(default_factory=list[Event])

    @asynccontextmanager
    async def bridge(self) -> AsyncIterator[Bridge[object]]:
        """A bridge that is ready to run."""
        boot = self.host.boot()
        inventory = self.host.inventory(HOST, boot.id)
        async with open_keeping(self.folder / "state", boot, inventory) as keeping:
            making = Making(
                keeping, self._tell, UNSAID, self.plan.follows, self.plan.settle_seconds
            )
            source, reader_at = self.source.made(making)
            settings = BrokerSettings(
                self.url, "bridge", session_expiry_seconds=0, retry_seconds_max=0.5
            )
            yield Bridge(self.plan, source, reader_at, keeping, settings, self.events.append)

    @asynccontextmanager
    async def life(self) -> AsyncIterator[Bridge[object]]:
        """A bridge at work; told to stop at the end, if it has not ended by itself."""
        async with self.bridge() as bridge:
            running = asyncio.create_task(bridge.run(), name="bridge")
            try:
                yield bridge
            finally:
                bridge.stop()
                await asyncio.wait_for(running, PATIENCE_SECONDS)

    async def whole_life(self) -> None:
        """Run until it ends by itself."""
        async with self.bridge() as bridge:
            await asyncio.wait_for(bridge.run(), PATIENCE_SECONDS)

    def seen(self, kind: type[Kind]) -> list[Kind]:
        """Every event of that kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def _tell(self, text: str) -> None:
        self.events.append(SourceTold(self.source.name, text))

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not done():
                await asyncio.sleep(0.01)
