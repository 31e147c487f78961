"""The host's end of the bus: the real outbox, on a broker that is in memory.

Everything is kept until the agent says that it applied it; so the only ereports that may be missing
in the end are those that a boot of the host took with it (`left`).
"""

import asyncio
from contextvars import Context
from uuid import UUID

from agent.contract import topics
from agent.contract.columns import Batch
from agent.contract.ereport import Applied, Range
from agent.contract.outbox import Parcel
from emulator.config import TelemetrySettings
from emulator.edges.despatch import Despatch, parcels_of
from tests.simulation.bus import RETRY_SECONDS, Bus, Link, Message

NUDGE_SECONDS = 2.0


class Source:
    """Of one boot. Make it inside the loop; `context` is the world's, so that no power cut of the
    agent's ends it.
    """

    def __init__(
        self, bus: Bus, host: str, boot_id: UUID, settings: TelemetrySettings, context: Context
    ) -> None:
        self.despatch = Despatch(settings)
        self._bus = bus
        self._host = host
        self._boot_id = boot_id
        self._settings = settings
        self._link: Link | None = None
        self._more = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._publish(), name="source", context=context),
            loop.create_task(self._nudge(), name="nudge", context=context),
        ]

    def send(self, batch: Batch) -> None:
        for parcel in parcels_of(batch, self._settings.encoding, self._settings.batch_max):
            self.despatch.take(parcel, _now())
        self._more.set()

    def left(self) -> tuple[Parcel, ...]:
        """What is not known to be applied."""
        return tuple(self.despatch.outbox.overdue(float("inf"), float("-inf")))

    @property
    def is_idle(self) -> bool:
        return not len(self.despatch.outbox)

    def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._link is not None:
            self._link.hang_up()

    async def _publish(self) -> None:
        while True:
            heard = (topics.applied(self._host), topics.resend(self._host))
            self._link = self._bus.connect(f"source-{self._boot_id}", heard, keep=False)
            if self._link is not None:
                self.despatch.reconnected(_now())
                await self._converse(self._link)
            await asyncio.sleep(RETRY_SECONDS)

    async def _converse(self, link: Link) -> None:
        """One connection, until it breaks."""
        hearing = asyncio.create_task(self._hear(link), name="source hears")
        try:
            while not link.is_down:
                parcel = self.despatch.next()
                if parcel is None:
                    self._more.clear()
                    await self._more.wait()
                elif await self._bus.publish(
                    link, Message(topics.ereports(self._host), parcel.payload)
                ):
                    self.despatch.published(parcel)
                else:
                    link.hang_up()
        finally:
            hearing.cancel()

    async def _hear(self, link: Link) -> None:
        while messages := await link.take():
            for message in messages:
                link.acknowledge(message)
                self._take_word(message)
        self._more.set()

    def _take_word(self, message: Message) -> None:
        """A word from the agent; one about another boot is none of ours."""
        if message.topic == topics.applied(self._host):
            mark = Applied.model_validate_json(message.payload)
            if mark.boot_id == self._boot_id:
                self.despatch.applied(mark, _now())
            return
        missing = Range.model_validate_json(message.payload)
        if missing.boot_id == self._boot_id:
            self.despatch.asked_for(missing, _now())
            self._more.set()

    async def _nudge(self) -> None:
        while True:
            await asyncio.sleep(NUDGE_SECONDS)
            if self.despatch.nudge(_now()):
                self._more.set()


def _now() -> float:
    return asyncio.get_running_loop().time()
