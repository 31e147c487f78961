"""What to publish next: new parcels, and old ones that nobody has applied.

    take ──► waiting ──published──► outbox ──applied──► gone
                ▲                     │
                └──── sent again: asked for, connection lost, or no progress in time

A parcel that is sent again goes back to its place in the numbering. Patience doubles with each
round of resending that brought nothing, and is fresh again as soon as anything was applied. Pure.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from pydantic import TypeAdapter

from agent.contract.codec import pack, to_ereports
from agent.contract.columns import Batch
from agent.contract.ereport import Applied, Ereport, Range
from agent.contract.outbox import Outbox, Parcel
from emulator.config import TelemetrySettings

Encoding = Literal["packed", "json"]
_ARRAY = TypeAdapter(list[Ereport])


def parcels_of(batch: Batch, encoding: Encoding, batch_max: int) -> Iterator[Parcel]:
    """`batch` as messages of at most `batch_max` ereports each."""
    places = np.arange(len(batch))
    for start in range(0, len(batch), batch_max):
        part = batch.only((start <= places) & (places < start + batch_max))
        yield Parcel(int(part.seq[0]), int(part.seq[-1]), _encoded(part, encoding))


def _encoded(batch: Batch, encoding: Encoding) -> bytes:
    if encoding == "packed":
        return pack(batch)
    return _ARRAY.dump_json(to_ereports(batch), exclude_none=True)


@dataclass(slots=True)
class Despatch:
    """The parcels of one boot that are not applied yet, and which of them go out now."""

    settings: TelemetrySettings
    outbox: Outbox = field(init=False)
    _waiting: dict[int, Parcel] = field(init=False, default_factory=dict[int, Parcel])
    _patience_seconds: float = field(init=False)
    _progress_at: float = field(init=False, default=0.0)
    _sent_below: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.outbox = Outbox(self.settings.outbox_parcels_max)
        self._patience_seconds = self.settings.patience_seconds

    @property
    def unpublished(self) -> int:
        return len(self._waiting)

    def take(self, parcel: Parcel, now: float) -> None:
        """A new one. The caller waits while the outbox is full: nothing is dropped here."""
        if self.outbox.is_full:
            raise ValueError("the outbox is full: wait until something is applied")
        if not len(self.outbox):
            self._progress_at = now
        self.outbox.put(parcel, now)
        self._waiting[parcel.first] = parcel

    def next(self) -> Parcel | None:
        """The one to publish; it stays the next one until it is `published`."""
        return next(iter(self._waiting.values()), None)

    def sending(self, parcel: Parcel) -> None:
        """It goes out now: from here on nobody can say that it never left."""
        self._sent_below = max(self._sent_below, parcel.last + 1)

    def published(self, parcel: Parcel) -> None:
        self._waiting.pop(parcel.first, None)

    def reconnected(self, now: float) -> None:
        """Whatever was on the old connection may be lost, whatever the broker said of it."""
        self._again(self.outbox.overdue(now, patience_seconds=0.0))

    def asked_for(self, missing: Range, now: float) -> None:
        self._again(self.outbox.asked_for(missing, now))

    def applied(self, mark: Applied, now: float) -> bool:
        """Let go of what is applied; true if that made room."""
        if not self.outbox.applied(mark):
            return False
        self._progress_at = now
        self._patience_seconds = self.settings.patience_seconds
        self._waiting = {
            first: parcel for first, parcel in self._waiting.items() if parcel.last >= mark.next_seq
        }
        return True

    def left(self) -> tuple[list[Parcel], list[Parcel]]:
        """What is not known to be applied: parcels that have been sent, and those that were not."""
        kept = self.outbox.overdue(math.inf, 0.0)
        sent = [parcel for parcel in kept if parcel.first < self._sent_below]
        return sent, kept[len(sent) :]

    def nudge(self, now: float) -> int:
        """Send the oldest again if nothing was applied for too long; how many."""
        if now - self._progress_at < self._patience_seconds:
            return 0
        overdue = self.outbox.overdue(now, self._patience_seconds)
        overdue = overdue[: self.settings.resend_parcels_max]
        if overdue:
            self._patience_seconds = min(
                self._patience_seconds * 2, self.settings.patience_seconds_max
            )
        self._again(overdue)
        return len(overdue)

    def _again(self, parcels: list[Parcel]) -> None:
        again = {parcel.first: parcel for parcel in parcels}
        self._waiting = dict(sorted((self._waiting | again).items()))
