"""The agent's half of exactly-once: say how far it has applied, and ask for what is missing.

The source keeps everything until it hears `applied`; an ereport that never arrived is seen as a gap
in the numbers, and asked for again, patiently and not for ever.

Where nothing comes and nothing is missing there is hardly anything to say, and it hardly wakes.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from agent.contract import topics
from agent.contract.ereport import Applied
from agent.diagnosis.admission import Admission
from agent.events import BatchTaken, BrokerConnected, EreportsLost, Event, Observer
from agent.waiting import set_within


class Bus(Protocol):
    """`publish` answers false, and has done nothing, while the broker is away."""

    @property
    def connected(self) -> bool: ...
    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool: ...


@dataclass(slots=True)
class Handshake:
    """`hand` is held while a message is taken: what is counted then may not be durable yet."""

    host: str
    admission: Admission
    bus: Bus
    observe: Observer
    hand: asyncio.Lock = field(default_factory=asyncio.Lock)
    every_seconds: float = 0.2
    idle_seconds: float = 2.0
    repeat_seconds: float = 30.0
    _told: dict[UUID, Applied] = field(default_factory=dict[UUID, Applied])
    _told_at: float = 0.0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, event: Event) -> None:
        """There may be something to say after it: soon, with what else comes until then."""
        if isinstance(event, BatchTaken | BrokerConnected):
            self._news.set()

    async def run(self) -> None:
        while True:
            if self.admission.missing or await set_within(self._news, self.idle_seconds):
                await asyncio.sleep(self.every_seconds)
            self._news.clear()
            if self.bus.connected:
                await self.once(asyncio.get_running_loop().time())

    async def once(self, now: float) -> None:
        """Say and ask what is due at `now` (any clock that only goes forward, seconds)."""
        async with self.hand:
            asks, marks = self.admission.due(now), self.admission.applied()
            missing = self.admission.missing
        if asks.lost:
            self.observe(EreportsLost(asks.lost, missing))
        await self._tell(marks, now)
        for ask in asks.ranges:
            await self.bus.publish(topics.resend(self.host), ask.model_dump_json().encode())

    async def _tell(self, marks: tuple[Applied, ...], now: float) -> None:
        """What changed, and all of it now and then: the broker may have forgotten."""
        repeats = now - self._told_at >= self.repeat_seconds
        due = [mark for mark in marks if repeats or self._told.get(mark.boot_id) != mark]
        for mark in due:
            payload = mark.model_dump_json().encode()
            if not await self.bus.publish(topics.applied(self.host), payload, retain=True):
                return
        if due:
            self._told, self._told_at = {mark.boot_id: mark for mark in marks}, now
