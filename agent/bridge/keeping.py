"""The spool in a thread of its own, and what is known of the host that it is about."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from agent.adapters.disk import Disk
from agent.adapters.journal_file import explained
from agent.adapters.spool import FIXES, Received, Spool
from agent.clock import Clock, wall_clock
from agent.contract.ereport import Inventory
from agent.contract.errors import AgentError
from agent.telemetry.boots import Boot

T = TypeVar("T")

FILE = "bridge.db"


@dataclass(frozen=True, slots=True)
class Keeping:
    """Use it through `open_keeping`. Every trouble is an `AgentError` that names the file."""

    _disk: Disk
    _path: Path
    spool: Spool
    boot: Boot
    boots: tuple[Boot, ...]
    inventory: Inventory
    clock: Clock

    async def do(self, work: Callable[[Spool], T]) -> T:
        """`work`, in the spool's thread."""

        def explained_work() -> T:
            with explained(self._path, FIXES):
                return work(self.spool)

        return await self._disk.do(explained_work)

    async def receive(self, source: str, records: Sequence[bytes]) -> None:
        """Write down what a source that forgets has handed out."""
        now_ns = self.clock()
        await self.do(lambda spool: spool.receive(source, records, now_ns))

    async def received(self, after: int, limit: int) -> list[Received]:
        """What was handed out behind the record with the id `after`."""
        return await self.do(lambda spool: spool.received(after, limit))


@asynccontextmanager
async def open_keeping(
    folder: Path, boot: Boot, inventory: Inventory, clock: Clock = wall_clock
) -> AsyncGenerator[Keeping]:
    """The spool in `folder`, which is made if it is not there; ours alone until closed.

    Raises:
        AgentError: if it cannot be had, with what would help.
    """
    path = folder / FILE

    def opened() -> tuple[Spool, tuple[Boot, ...]]:
        _make(folder)
        with explained(path, FIXES):
            spool = Spool(path, inventory.host)
            return spool, spool.know(boot)

    disk = Disk("spool")
    try:
        spool, boots = await disk.do(opened)
        try:
            yield Keeping(disk, path, spool, boot, boots, inventory, clock)
        finally:
            await disk.do(spool.close)
    finally:
        disk.close()


def _make(folder: Path) -> None:
    """The folder, for us alone: what lies in it says which memory is failing."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise AgentError(
            f"{folder}: cannot be made: {error.strerror or error}; "
            "give --state a directory that may be written to"
        ) from None
