"""A bus and an agent in memory, and death at any step: for lives of a bridge by the hundred."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from agent.adapters.publisher import Answer
from agent.contract.codec import decode
from agent.diagnosis.admission import Admission, Admitted
from tests.support.books import HOST


class DiedError(Exception):
    """The process is gone, here and now."""


class Steps:
    """Counts what a life does, and ends it at the step numbered `last`."""

    def __init__(self, last: int) -> None:
        self._last = last
        self.taken = 0

    def step(self) -> None:
        """One more; before and after each thing that outlives the process."""
        self.taken += 1
        if self.taken >= self._last:
            raise DiedError


class MemoryBus:
    """Stands in for `agent.adapters.publisher.connected`; the agent at its end keeps books.

    `is_applying`: whether the source ever hears of it; `is_there`: whether anything arrives.
    """

    def __init__(self) -> None:
        self.admission = Admission(HOST)
        self.addresses: Counter[int] = Counter()
        self.boots: set[UUID] = set()
        self.errors = 0
        self.is_applying = self.is_there = True
        self.steps = Steps(1 << 30)

    @asynccontextmanager
    async def connected(self, _settings: object, _host: str) -> AsyncIterator["MemoryPublisher"]:
        publisher = MemoryPublisher(self)
        publisher.tell()  # the retained word
        yield publisher

    def take(self, payload: bytes) -> None:
        if not self.is_there:
            return
        found = self.admission.admit(decode(payload))
        assert isinstance(found, Admitted), found
        self.addresses.update(found.batch.address.tolist())
        self.boots.add(found.batch.boot_id)
        self.errors += int(found.batch.errors.sum())


class MemoryPublisher:
    """One connection."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self._answers: asyncio.Queue[Answer] = asyncio.Queue()

    def tell(self) -> None:
        if self._bus.is_applying:
            for mark in self._bus.admission.applied():
                self._answers.put_nowait(mark)

    async def introduce(self, inventory: bytes) -> None:
        self._bus.steps.step()
        assert inventory

    async def publish(self, payload: bytes) -> None:
        self._bus.steps.step()
        self._bus.take(payload)
        self.tell()
        await asyncio.sleep(0)
        self._bus.steps.step()

    async def answer(self) -> Answer:
        answer = await self._answers.get()
        self._bus.steps.step()
        return answer
