"""Brings parcels to the agent, over as many connections as it takes, until it has applied them.

Three tasks live as long as a connection does; when it is lost, everything that is not applied is
sent again over the next:

    send      what was put in and what is to go again → broker
    listen    the agent's `Applied` and `Range` → the outboxes
    chase     what is not applied in time → send again, ever more rarely while nothing is applied

Parcels are of one host and of as many of its boots as there are; each boot has its own numbers, and
so its own outbox. The retained word about a boot of which nothing is in hand is kept: what is put
in later and lies below it was applied in an earlier life, and does not go out.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from agent.adapters.broker import retry_delay_seconds
from agent.adapters.broker_settings import BrokerSettings
from agent.adapters.publisher import Answer, Publisher, connected
from agent.contract.ereport import Applied, Range
from agent.contract.errors import AgentError, Unreachable
from agent.contract.outbox import Outbox, Parcel
from agent.waiting import set_within

PARCELS_MAX = 256  # in flight: well below what a broker queues for an agent that is away
RESEND_SECONDS = 10.0
RESEND_SECONDS_MAX = 320.0
BOOTS_HEARD_MAX = 64  # whose marks are kept; an agent remembers fewer


class Hears(Protocol):
    """Who is told what comes of it. Neither may wait."""

    def connected(self) -> None: ...

    def disconnected(self, reason: str) -> None:
        """A connection ended, or did not come about; it is tried again."""

    def troubled(self, reason: str) -> None:
        """What the agent said could not be understood."""

    def sent(self, parcel: Parcel) -> None:
        """The broker has it, perhaps once more."""

    def heard(self, mark: Applied) -> None:
        """The agent has got further with this boot than ever before."""


@dataclass(frozen=True, slots=True)
class _Sent:
    boot_id: UUID
    parcel: Parcel


class Courier:
    """The source's end of the bus for `host`. `inventory` is told, retained, at each connection."""

    def __init__(
        self, host: str, settings: BrokerSettings, hears: Hears, inventory: bytes | None = None
    ) -> None:
        self._host = host
        self._settings = settings
        self._hears = hears
        self._inventory = inventory
        self._outboxes: dict[UUID, Outbox] = {}
        self._marks: dict[UUID, int] = {}
        self._to_send: asyncio.Queue[_Sent] = asyncio.Queue()
        self._patience_seconds = RESEND_SECONDS
        self._over = asyncio.Event()

    def __len__(self) -> int:
        """How many parcels are not applied."""
        return sum(map(len, self._outboxes.values()))

    @property
    def is_full(self) -> bool:
        return len(self) >= PARCELS_MAX

    def mark(self, boot_id: UUID) -> int:
        """Below which number everything of this boot is applied."""
        return self._marks.get(boot_id, 0)

    def put(self, boot_id: UUID, parcel: Parcel) -> None:
        """Take `parcel` in charge, unless it is applied. The caller waits while this is full."""
        if parcel.last < self.mark(boot_id):
            return
        outbox = self._outboxes.setdefault(boot_id, Outbox(PARCELS_MAX))
        outbox.put(parcel, _now())
        self._to_send.put_nowait(_Sent(boot_id, parcel))

    def end(self) -> None:
        """Have `run` return. What is not applied stays so."""
        self._over.set()

    async def run(self) -> None:
        """Be connected until the end.

        Told to end and never cancelled: aiomqtt loses a cancellation that comes while it connects.
        """
        failures = 0
        while not self._over.is_set():
            try:
                async with connected(self._settings, self._host) as publisher:
                    failures = 0
                    await self._use(publisher)
            except* (Unreachable, AgentError) as group:
                self._hears.disconnected(str(group.exceptions[0]))
                delay = retry_delay_seconds(self._settings, failures)
                failures += 1
                await set_within(self._over, delay)

    async def _use(self, publisher: Publisher) -> None:
        """Work over one connection until it ends; whatever is not applied is sent first."""
        if self._inventory is not None:
            await publisher.introduce(self._inventory)
        self._hears.connected()
        self._to_send = asyncio.Queue()
        self._send_again(0)
        async with asyncio.TaskGroup() as tasks:
            work = [
                tasks.create_task(self._send(publisher), name="send"),
                tasks.create_task(self._listen(publisher), name="listen"),
                tasks.create_task(self._chase(), name="chase"),
            ]
            await self._over.wait()
            for task in work:
                task.cancel()

    async def _send(self, publisher: Publisher) -> None:
        while True:
            sent = await self._to_send.get()
            if sent.parcel.last >= self.mark(sent.boot_id):
                await publisher.publish(sent.parcel.payload)
                self._hears.sent(sent.parcel)

    async def _listen(self, publisher: Publisher) -> None:
        while True:
            self._take(await publisher.answer())

    def _take(self, answer: Answer) -> None:
        match answer:
            case Applied():
                self._applied(answer)
            case Range():
                if outbox := self._outboxes.get(answer.boot_id):
                    self._queue(answer.boot_id, outbox.asked_for(answer, _now()))
            case _:
                self._hears.troubled(str(answer))

    def _applied(self, mark: Applied) -> None:
        if mark.next_seq <= self.mark(mark.boot_id):
            return
        self._marks[mark.boot_id] = mark.next_seq
        if len(self._marks) > BOOTS_HEARD_MAX:
            del self._marks[next(iter(self._marks))]
        if outbox := self._outboxes.get(mark.boot_id):
            outbox.applied(mark)
            self._patience_seconds = RESEND_SECONDS
        self._hears.heard(mark)

    async def _chase(self) -> None:
        while True:
            await asyncio.sleep(RESEND_SECONDS / 10)
            if self._send_again(self._patience_seconds):
                self._patience_seconds = min(self._patience_seconds * 2, RESEND_SECONDS_MAX)

    def _send_again(self, patience_seconds: float) -> int:
        """Send once more what was sent longer ago than that; how many parcels."""
        now = _now()
        return sum(
            self._queue(boot_id, outbox.overdue(now, patience_seconds))
            for boot_id, outbox in self._outboxes.items()
        )

    def _queue(self, boot_id: UUID, parcels: Iterable[Parcel]) -> int:
        sent = [_Sent(boot_id, parcel) for parcel in parcels]
        for each in sent:
            self._to_send.put_nowait(each)
        return len(sent)


def _now() -> float:
    return asyncio.get_running_loop().time()
