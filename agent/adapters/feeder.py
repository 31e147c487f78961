"""The loop of a source: number, batch, publish, and keep until the agent has applied.

Four tasks and one outbox:

    produce   records → batches → outbox, waiting while it is full
    send      outbox → broker
    listen    the agent's `Applied` and `Range` → outbox
    chase     what is not applied in time → send again

The last three live as long as a connection does; when it is lost everything that is not applied is
sent again over the next. The work ends when all is applied, or when nothing moved for too long.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol
from uuid import UUID

from agent.adapters.broker_settings import BrokerSettings
from agent.adapters.publisher import Answer, Publisher, connected
from agent.contract.codec import from_ereports, pack
from agent.contract.ereport import Applied, Range
from agent.contract.errors import AgentError, PeerError, Unreachable
from agent.contract.outbox import Outbox, Parcel
from agent.telemetry.pace import Pace
from agent.telemetry.record import Decoded

PARCELS_MAX = 256  # in flight: well below what a broker queues for an agent that is away
RESEND_SECONDS = 10.0
RETRY_SECONDS = 0.5
PACE_STEP_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Plan:
    """Whose ereports, how many a message, how fast, and for how long nothing may move."""

    host: str
    boot_id: UUID
    batch: int
    speed: float
    patience_seconds: float


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
        self._outbox = Outbox(PARCELS_MAX)
        self._to_send: asyncio.Queue[Parcel] = asyncio.Queue()
        self._mark = 0
        self._is_all_made = False
        self._trouble = self._told = ""
        self._moved_at = _now()
        self._stirred = asyncio.Event()
        self._over = asyncio.Event()
        self._unread: AgentError | None = None
        self.made = 0

    @property
    def applied(self) -> int:
        return min(self._mark, self.made)

    async def run(self, records: Iterable[Decoded]) -> None:
        """Return once every ereport is applied.

        Raises:
            PeerError: when the agent applied nothing for `patience_seconds`.
            AgentError: when the records ended in a failure; what came before it is applied.
        """
        async with asyncio.TaskGroup() as tasks:
            producing = tasks.create_task(self._produce(iter(records)), name="produce")
            tasks.create_task(self._stay_connected(), name="connection")
            complaint = await self._watch()
            producing.cancel()
            self._over.set()
            self._stirred.set()
        if complaint:
            raise PeerError(complaint)
        if self._unread:
            raise self._unread

    async def _watch(self) -> str | None:
        """Wait for the end; what there is to complain of, if it is not a good one."""
        while not (self._is_all_made and not self._outbox):
            patience_ends = self._moved_at + self._plan.patience_seconds if self._outbox else None
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

    async def _produce(self, records: Iterator[Decoded]) -> None:
        try:
            async for batch in self._paced(records):
                while self._outbox.is_full:
                    await self._stir()
                self._put(batch)
        except AgentError as error:
            self._unread = error
        self._is_all_made = True
        self._stirred.set()

    async def _paced(self, records: Iterator[Decoded]) -> AsyncIterator[list[Decoded]]:
        pace: Pace | None = None
        # In a thread: a long stretch of lines about other things must not stop the connection.
        while waiting := await asyncio.to_thread(list, islice(records, self._plan.batch)):
            pace = pace or Pace(self._plan.speed, waiting[0].time_ns, _now())
            while waiting:
                if ready := pace.ready(waiting, _now()):
                    yield ready
                    waiting = waiting[len(ready) :]
                else:
                    await asyncio.sleep(
                        max(pace.due_seconds(waiting[0]) - _now(), PACE_STEP_SECONDS)
                    )

    def _put(self, batch: Sequence[Decoded]) -> None:
        parcel = parcel_of(batch, self._plan.host, self._plan.boot_id, self.made)
        self.made = parcel.last + 1
        if not self._outbox:
            self._moved_at = _now()  # patience begins with the first that waits
        if parcel.last >= self._mark:
            self._outbox.put(parcel, _now())
            self._to_send.put_nowait(parcel)
        self._tell()

    async def _stay_connected(self) -> None:
        """From the first that there is to send until the end.

        Told to end and never cancelled: aiomqtt loses a cancellation that comes while it connects.
        """
        while not (self._outbox or self._over.is_set()):
            await self._stir()
        while not self._over.is_set():
            try:
                async with connected(self._settings, self._plan.host) as publisher:
                    self._trouble = ""
                    await self._use(publisher)
            except* Unreachable as group:
                self._complain(str(group.exceptions[0]))
                await asyncio.sleep(RETRY_SECONDS)

    async def _use(self, publisher: Publisher) -> None:
        """Work over one connection until it ends; whatever is not applied is sent first."""
        self._to_send = asyncio.Queue()
        self._send_again(self._outbox.overdue(_now(), 0))
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
            parcel = await self._to_send.get()
            if parcel.last >= self._mark:
                await publisher.publish(parcel.payload)

    async def _listen(self, publisher: Publisher) -> None:
        while True:
            self._take(await publisher.answer())

    def _take(self, answer: Answer) -> None:
        match answer:
            case Applied(boot_id=self._plan.boot_id) if answer.next_seq > self._mark:
                self._mark = answer.next_seq
                self._moved_at = _now()
                self._outbox.applied(answer)
                self._tell()
            case Range(boot_id=self._plan.boot_id):
                self._send_again(self._outbox.asked_for(answer, _now()))
            case Applied() | Range():
                pass  # of another boot: the retained word about an earlier run
            case _:
                self._complain(str(answer))

    async def _chase(self) -> None:
        while True:
            await asyncio.sleep(RESEND_SECONDS / 10)
            self._send_again(self._outbox.overdue(_now(), RESEND_SECONDS))

    def _send_again(self, parcels: Iterable[Parcel]) -> None:
        for parcel in parcels:
            self._to_send.put_nowait(parcel)

    def _tell(self) -> None:
        self._watcher.moved(self.made, self.applied)
        self._stirred.set()

    def _complain(self, reason: str) -> None:
        if reason != self._told:
            self._watcher.troubled(reason)
        self._trouble = self._told = reason


def parcel_of(batch: Sequence[Decoded], host: str, boot_id: UUID, first_seq: int) -> Parcel:
    """`batch` as one message, numbered from `first_seq`."""
    ereports = [record.ereport(host, boot_id, seq) for seq, record in enumerate(batch, first_seq)]
    return Parcel(first_seq, first_seq + len(batch) - 1, pack(from_ereports(ereports)))


def _now() -> float:
    return asyncio.get_running_loop().time()
