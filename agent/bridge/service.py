"""The bridge at work: three tasks over one spool, and a courier.

    read      source → reader → one commit: how far was read, and what was found, numbered
    load      what is kept → courier, a handful at a time, and one boot after the other
    forget    what the agent has applied → out of the spool

While the spool is full nothing more is read, unless the source forgets what nobody reads: then the
oldest ereports make room, and that is counted and told.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Generic, TypeVar
from uuid import UUID

from agent.adapters.broker_settings import BrokerSettings
from agent.adapters.courier import PARCELS_MAX, Courier
from agent.adapters.sources.port import Piece, Reader, Source
from agent.adapters.spool import Kept, Place, Record, Spool
from agent.bridge.events import (
    AgentApplied,
    Beat,
    Connected,
    Disconnected,
    ErrorsLost,
    LineRefused,
    NumbersTaken,
    Observer,
    PieceTaken,
    Published,
    Troubled,
)
from agent.bridge.keeping import Keeping
from agent.contract.ereport import Applied
from agent.contract.errors import AgentError, PeerError, first_of
from agent.contract.outbox import Parcel
from agent.telemetry.boots import boot_at
from agent.telemetry.record import Decoded, Refused
from agent.telemetry.window import Found
from agent.waiting import Changes

Item = TypeVar("Item")

SETTLE_SECONDS = 6.0  # decoders remember for 5 s what was told, in case it is told again
BEAT_SECONDS = 1.0
TEXT_MAX = 200  # characters of a refused line, for the log


@dataclass(frozen=True, slots=True)
class Plan:
    """`settle_seconds` without more, and a block is concluded; `keep_max` ereports are kept.

    A bridge that does not follow ends when all is read and applied, or when nothing was applied for
    `patience_seconds`.
    """

    host: str
    follows: bool = True
    settle_seconds: float = SETTLE_SECONDS
    keep_max: int = 100_000
    patience_seconds: float = 60.0


class Bridge(Generic[Item]):
    """One life. `reader_at` makes the reader that goes on from a place."""

    def __init__(
        self,
        plan: Plan,
        source: Source[Item],
        reader_at: Callable[[Place], Reader[Item]],
        keeping: Keeping,
        settings: BrokerSettings,
        observe: Observer,
    ) -> None:
        self._plan = plan
        self._source = source
        self._reader_at = reader_at
        self._keeping = keeping
        self._settings = settings
        self._observe = observe
        inventory = keeping.inventory.model_dump_json().encode()
        self._courier = Courier(plan.host, settings, self, inventory)
        self._is_stopped = False
        self._changes = Changes()
        self._place = Place()
        self._to_forget: dict[UUID, int] = {}
        self._in_hand: UUID | None = None
        self._is_connected = False
        self._trouble = ""
        self._moved_at = 0.0

    def stop(self) -> None:
        """Have `run` return soon; what is not applied is kept for the next life."""
        self._is_stopped = True
        self._changes.note()

    async def run(self) -> None:
        """Return when told to stop or, where it does not follow, when all is applied.

        Raises:
            AgentError: when source or spool cannot be used any more.
            PeerError: when there is an end, and the agent does not apply what was read.
        """
        failure: Exception | None = None
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._courier.run(), name="courier")
            try:
                await self._work()
            except* (AgentError, PeerError) as group:
                failure = first_of(group)
            finally:
                self._courier.end()
        if failure is not None:
            raise failure

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            beside = [
                tasks.create_task(self._load(), name="load"),
                tasks.create_task(self._forget(), name="forget"),
                tasks.create_task(self._beat(), name="beat"),
            ]
            try:
                await self._read()
            finally:
                await self._source.close()
            if not self._plan.follows:
                await self._until_applied()
            for task in beside:
                task.cancel()

    async def _read(self) -> None:
        """Piece after piece, until told to stop, or at the end of a source that has one."""
        reader = await self._begun()
        quiet_since = _now()
        async with aclosing(self._source.pieces()) as pieces:
            async for piece in pieces:
                await self._take(reader, piece)
                if piece.items or not piece.ends:
                    quiet_since = _now()
                is_quiet = _now() - quiet_since >= self._plan.settle_seconds
                if is_quiet and not reader.is_settled:
                    await self._digest(reader, reader.conclude)
                await self._room()
                if self._is_stopped or (is_quiet and not self._plan.follows):
                    return

    async def _begun(self) -> Reader[Item]:
        """A reader where the last life stopped, or at the start if the source lost that place."""
        place = await self._keeping.do(lambda spool: spool.place(self._source.name))
        if not await self._source.begin(place.mark):
            place = Place()
        self._place = place
        return self._reader_at(place)

    async def _take(self, reader: Reader[Item], piece: Piece[Item]) -> None:
        if piece.begins is not None:
            await self._digest(reader, partial(reader.begin, piece.begins))
        if piece.items:
            await self._digest(reader, partial(reader.feed, piece.items), len(piece.items))

    async def _digest(
        self, reader: Reader[Item], read: Callable[[], list[Found]], items: int = 0
    ) -> None:
        """Read, and write down what came of it; then tell."""
        # In a thread: a long stretch of lines must not stop the connection.
        found = await asyncio.to_thread(read)
        if reader.place != self._place:
            await self._commit(reader.place, found)
        self._tell(items, found)

    async def _commit(self, place: Place, found: Sequence[Found]) -> None:
        boots = self._keeping.boots
        records = [
            Record(each.line.boot_id or boot_at(boots, outcome.time_ns), outcome)
            for each in found
            if isinstance(outcome := each.outcome, Decoded)
        ]
        lost = await self._keeping.do(
            partial(
                Spool.commit,
                source=self._source.name,
                place=place,
                records=records,
                at_ns=self._keeping.clock(),
                keep_max=self._plan.keep_max if self._source.forgets else 0,
            )
        )
        self._place = place
        self._changes.note()
        if lost:
            self._observe(ErrorsLost(lost))

    def _tell(self, items: int, found: Sequence[Found]) -> None:
        records = [each.outcome for each in found if isinstance(each.outcome, Decoded)]
        errors = sum(record.errors for record in records)
        self._observe(PieceTaken(items, len(records), errors, len(found) - len(records)))
        for each in found:
            if isinstance(each.outcome, Refused):
                text = each.line.raw[:TEXT_MAX].decode(errors="replace").strip()
                reason, number = each.outcome.reason, each.line.number
                self._observe(LineRefused(self._source.name, number, reason, text))

    async def _room(self) -> None:
        """Wait while as much is kept as may be, unless the source cannot wait."""
        while True:
            seen = self._changes.count
            if self._source.forgets or self._is_stopped or not self._is_full:
                return
            await self._changes.since(seen)

    @property
    def _is_full(self) -> bool:
        return self._keeping.spool.kept >= self._plan.keep_max

    async def _load(self) -> None:
        """Hand to the courier what is kept, in order, as far as it has hands."""
        last = 0
        while True:
            seen = self._changes.count
            room = PARCELS_MAX - len(self._courier)
            kept = await self._keeping.do(partial(Spool.waiting, after=last, limit=room))
            before = last
            for each in takewhile(self._is_next, kept):
                last = each.id
                self._hand_over(each)
            if last == before:
                await self._changes.since(seen)

    def _is_next(self, kept: Kept) -> bool:
        """False while the courier holds another boot: an agent remembers few of them.

        Of a boot that it forgot before we heard what it applied, all would be sent again as new.
        """
        return not self._courier or kept.boot_id == self._in_hand

    def _hand_over(self, kept: Kept) -> None:
        self._in_hand = kept.boot_id
        if not self._courier:
            self._moved_at = _now()  # patience begins with the first that waits
        mark = self._courier.mark(kept.boot_id)
        if kept.parcel.last < mark:
            self._to_forget[kept.boot_id] = mark
            self._changes.note()
        else:
            self._courier.put(kept.boot_id, kept.parcel)

    async def _forget(self) -> None:
        """Let go of what is applied."""
        while True:
            seen = self._changes.count
            while self._to_forget:
                await self._let_go(*self._to_forget.popitem())
            await self._changes.since(seen)

    async def _let_go(self, boot_id: UUID, mark: int) -> None:
        done = await self._keeping.do(partial(Spool.applied, boot_id=boot_id, next_seq=mark))
        numbered = await self._keeping.do(partial(Spool.next_seq, boot_id=boot_id))
        if done:
            self._observe(AgentApplied(done))
        if 0 < numbered < mark:
            self._observe(NumbersTaken(boot_id, mark, numbered))
        self._changes.note()

    async def _beat(self) -> None:
        while True:
            oldest_ns = await self._keeping.do(lambda spool: spool.oldest_ns)
            kept, now_ns = self._keeping.spool.kept, self._keeping.clock()
            self._observe(Beat(kept, self._is_full, self._is_connected, oldest_ns, now_ns))
            await asyncio.sleep(BEAT_SECONDS)

    async def _until_applied(self) -> None:
        self._moved_at = _now()
        while True:
            seen = self._changes.count
            if self._is_stopped or not self._keeping.spool.kept:
                return
            try:
                async with asyncio.timeout_at(self._moved_at + self._plan.patience_seconds):
                    await self._changes.since(seen)
            except TimeoutError:
                raise PeerError(self._complaint()) from None

    def _complaint(self) -> str:
        cause = self._trouble or (
            f"is an agent running for host {self._plan.host} on {self._settings.url}?"
        )
        return (
            f"nothing was applied for {self._plan.patience_seconds:g} s, "
            f"{self._keeping.spool.kept} ereports are kept for the next time: {cause}"
        )

    def connected(self) -> None:
        self._is_connected, self._trouble = True, ""
        self._observe(Connected(self._settings.url))

    def disconnected(self, reason: str) -> None:
        self._is_connected, self._trouble = False, reason
        self._observe(Disconnected(self._settings.url, reason))

    def troubled(self, reason: str) -> None:
        self._trouble = reason
        self._observe(Troubled(reason))

    def sent(self, parcel: Parcel) -> None:
        self._observe(Published(parcel.last - parcel.first + 1))

    def heard(self, mark: Applied) -> None:
        self._moved_at = _now()
        self._to_forget[mark.boot_id] = mark.next_seq
        self._changes.note()


def _now() -> float:
    return asyncio.get_running_loop().time()
