"""The agent's half of exactly-once: say how far it has applied, and ask for what is missing.

The source keeps everything until it hears `applied`; an ereport that never arrived is seen as a gap
in the numbers, and asked for again, patiently and not for ever.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from agent.contract import topics
from agent.contract.ereport import Applied
from agent.diagnosis.admission import Admission
from agent.events import EreportsLost, Observer


class Bus(Protocol):
    """`publish` answers false, and has done nothing, while the broker is away."""

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool: ...


@dataclass(slots=True)
class Handshake:
    host: str
    admission: Admission
    bus: Bus
    observe: Observer
    every_seconds: float = 0.2
    repeat_seconds: float = 30.0
    _told: Applied | None = None
    _told_at: float = 0.0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self.every_seconds)
            await self.once(asyncio.get_running_loop().time())

    async def once(self, now: float) -> None:
        """Say and ask what is due at `now` (any clock that only goes forward, seconds)."""
        await self._tell_applied(now)
        asks = self.admission.due(now)
        if asks.lost:
            self.observe(EreportsLost(asks.lost))
        for missing in asks.ranges:
            await self.bus.publish(topics.resend(self.host), missing.model_dump_json().encode())

    async def _tell_applied(self, now: float) -> None:
        """Said when it changed, and now and then: the broker may have forgotten."""
        mark = self.admission.applied()
        if mark is None or (mark == self._told and now - self._told_at < self.repeat_seconds):
            return
        payload = mark.model_dump_json().encode()
        if await self.bus.publish(topics.applied(self.host), payload, retain=True):
            self._told, self._told_at = mark, now
