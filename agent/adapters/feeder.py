"""One run over numbered messages: hand them on as they fall due, until the agent has applied all.

produce   messages → courier, waiting while it is full
watch     the work ends when all is applied, or when nothing moved for too long
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from agent.adapters.broker_settings import BrokerSettings
from agent.adapters.courier import Courier
from agent.contract.ereport import Applied, Inventory
from agent.contract.errors import AgentError, PeerError
from agent.contract.outbox import Parcel


@dataclass(frozen=True, slots=True)
class Plan:
    """Whose ereports, for how long nothing may move, and what memory they are about, if known."""

    host: str
    boot_id: UUID
    patience_seconds: float
    inventory: Inventory | None = None


class Watcher(Protocol):
    """Who is told how far it is, and what went wrong without ending it."""

    def moved(self, made: int, applied: int) -> None: ...

    def troubled(self, reason: str) -> None: ...


class Feeder:
    """One run of a source. `made` and `applied` count ereports."""

    def __init__(self, plan: Plan, settings: BrokerSettings, watcher: Watcher) -> None:
        self._plan = plan
        self._settings = settings
        self._watcher = watcher
        inventory = None if plan.inventory is None else plan.inventory.model_dump_json().encode()
        self._courier = Courier(plan.host, settings, self, inventory)
        self._is_all_made = False
        self._trouble = self._told = ""
        self._moved_at = _now()
        self._stirred = asyncio.Event()
        self._unread: AgentError | None = None
        self.made = 0

    @property
    def applied(self) -> int:
        return min(self._courier.mark(self._plan.boot_id), self.made)

    @property
    def _is_over(self) -> bool:
        return self._is_all_made and not self._courier

    async def run(self, parcels: AsyncIterator[Parcel]) -> None:
        """Return once every ereport is applied. `parcels` are numbered from 0.

        Raises:
            PeerError: when the agent applied nothing for `patience_seconds`.
            AgentError: when they ended in a failure; what came before it is applied.
        """
        async with asyncio.TaskGroup() as tasks:
            producing = tasks.create_task(self._produce(parcels), name="produce")
            tasks.create_task(self._deliver(), name="courier")
            complaint = await self._watch()
            producing.cancel()
            self._courier.end()
            self._stirred.set()
        if complaint:
            raise PeerError(complaint)
        if self._unread:
            raise self._unread

    async def _watch(self) -> str | None:
        """Wait for the end; what there is to complain of, if it is not a good one."""
        while not self._is_over:
            patience_ends = self._moved_at + self._plan.patience_seconds if self._courier else None
            try:
                async with asyncio.timeout_at(patience_ends):
                    await self._stir()
            except TimeoutError:
                return self._complaint()
        return None

    def _complaint(self) -> str:
        cause = self._trouble or (
            f"is an agent running for host {self._plan.host} on {self._settings.url}?"
        )
        return (
            f"nothing was applied for {self._plan.patience_seconds:g} s, "
            f"{self.made - self.applied} of {self.made} ereports are not applied: {cause}"
        )

    async def _stir(self) -> None:
        """Wait until anything changed. Every waiter looks again for itself."""
        self._stirred.clear()
        await self._stirred.wait()

    async def _produce(self, parcels: AsyncIterator[Parcel]) -> None:
        try:
            async for parcel in parcels:
                while self._courier.is_full:
                    await self._stir()
                self._put(parcel)
        except AgentError as error:
            self._unread = error
        self._is_all_made = True
        self._stirred.set()

    def _put(self, parcel: Parcel) -> None:
        self.made = parcel.last + 1
        if not self._courier:
            self._moved_at = _now()  # patience begins with the first that waits
        self._courier.put(self._plan.boot_id, parcel)
        self._tell()

    async def _deliver(self) -> None:
        """From the first that there is to send until the end."""
        while not (self._courier or self._is_all_made):
            await self._stir()
        if self._courier:
            await self._courier.run()

    def connected(self) -> None:
        self._trouble = ""

    def heard(self, mark: Applied) -> None:
        if mark.boot_id == self._plan.boot_id:  # else the retained word about an earlier run
            self._moved_at = _now()
            self._tell()

    def _tell(self) -> None:
        self._watcher.moved(self.made, self.applied)
        self._stirred.set()

    def sent(self, parcel: Parcel) -> None:
        """What counts is what is applied."""

    def disconnected(self, reason: str) -> None:
        self.troubled(reason)

    def troubled(self, reason: str) -> None:
        if reason != self._told:
            self._watcher.troubled(reason)
        self._trouble = self._told = reason


def _now() -> float:
    return asyncio.get_running_loop().time()
