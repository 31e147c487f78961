"""When the next message is due: at once, at its records' own distances, or at a steady rate.

Everything that may take long to make is made in a thread, so that it does not stop the connection.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from agent.contract.codec import pack
from agent.contract.columns import Batch
from agent.contract.outbox import Parcel
from agent.telemetry.pace import Pace
from agent.telemetry.parcel import parcel_of
from agent.telemetry.record import Decoded

PACE_STEP_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Pacing:
    """At most `batch` ereports a message.

    `speed` is times real time, for records; `rate` is ereports a second, for what has no pace of
    its own. 0 is at once.
    """

    batch: int
    speed: float = 0.0
    rate: float = 0.0

    @property
    def batch_at_rate(self) -> int:
        """Few enough for the rate to look steady: a tenth of a second's."""
        return self.batch if self.rate <= 0 else max(1, min(self.batch, int(self.rate / 10)))


async def recorded(
    records: Iterable[Decoded], host: str, boot_id: UUID, pacing: Pacing
) -> AsyncIterator[Parcel]:
    """The records as messages, each as soon as it is due."""
    pace: Pace | None = None
    made, rest = 0, iter(records)
    while waiting := await asyncio.to_thread(list, islice(rest, pacing.batch)):
        pace = pace or Pace(pacing.speed, waiting[0].time_ns, _now())
        while waiting:
            if ready := pace.ready(waiting, _now()):
                yield parcel_of(ready, host, boot_id, made)
                made += len(ready)
                waiting = waiting[len(ready) :]
            else:
                await asyncio.sleep(max(pace.due_seconds(waiting[0]) - _now(), PACE_STEP_SECONDS))


async def batched(batches: Iterator[Batch], pacing: Pacing) -> AsyncIterator[Parcel]:
    """A message a batch, each as soon as it is due."""
    started = _now()
    while parcel := await asyncio.to_thread(_next, batches):
        if pacing.rate > 0:
            await asyncio.sleep(max(started + parcel.first / pacing.rate - _now(), 0))
        yield parcel


def _next(batches: Iterator[Batch]) -> Parcel | None:
    batch = next(batches, None)
    if batch is None:
        return None
    return Parcel(int(batch.seq[0]), int(batch.seq[-1]), pack(batch))


def _now() -> float:
    return asyncio.get_running_loop().time()
