"""The source's half of exactly-once: keep every batch until the agent says that it applied it.

A PUBACK is not enough. A broker may acknowledge and still drop (its queue was full), or lose its
whole backlog when it is killed. So the source numbers its ereports, keeps what it published, and
lets go only below the `Applied` mark. Three things make it send again: the agent asks for a
`Range`, the connection was lost, or a batch was not applied in time.

Pure: it says what to publish; the caller publishes. And it is of one boot: the caller passes on
only what is said of that one, because the mark of the boot before is still on the bus, retained.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from agent.contract.ereport import Applied, Range


@dataclass(frozen=True, slots=True)
class Parcel:
    """One message: ereports `first` to `last`, both included, already encoded."""

    first: int
    last: int
    payload: bytes


@dataclass(slots=True)
class Outbox:
    """Parcels of one boot in the order of their numbers, at most `parcels_max` of them."""

    parcels_max: int = 100_000
    _kept: OrderedDict[int, tuple[Parcel, float]] = field(
        default_factory=OrderedDict[int, tuple[Parcel, float]]
    )
    dropped: int = 0

    def __post_init__(self) -> None:
        if self.parcels_max < 1:
            raise ValueError(f"parcels_max must be at least 1 (got {self.parcels_max})")

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def is_full(self) -> bool:
        """True when the next parcel would push the oldest one out: a good source waits."""
        return len(self._kept) >= self.parcels_max

    def put(self, parcel: Parcel, now: float) -> None:
        """Keep `parcel`, published at `now`. When full, the oldest is dropped and counted.

        Raises:
            ValueError: if its numbers do not lie behind those of the parcel before it.
        """
        if self._kept and parcel.first <= self._newest.last:
            raise ValueError(f"parcel {parcel.first} comes after {self._newest.last}: out of order")
        if self.is_full:
            self._kept.popitem(last=False)
            self.dropped += 1
        self._kept[parcel.first] = (parcel, now)

    @property
    def _newest(self) -> Parcel:
        return self._kept[next(reversed(self._kept))][0]

    def applied(self, mark: Applied) -> int:
        """Let go of all that lies below the mark; how many parcels that were."""
        done = 0
        # From the oldest on, and no further than needed: a mark comes with every batch.
        while self._kept and next(iter(self._kept.values()))[0].last < mark.next_seq:
            self._kept.popitem(last=False)
            done += 1
        return done

    def asked_for(self, missing: Range, now: float) -> list[Parcel]:
        """What to send again because the agent misses it."""
        parcels = (parcel for parcel, _ in self._kept.values())
        return self._again(
            [p for p in parcels if missing.first <= p.last and p.first <= missing.last], now
        )

    def overdue(self, now: float, patience_seconds: float) -> list[Parcel]:
        """What was published longer ago than `patience_seconds` and is still not applied."""
        kept = self._kept.values()
        return self._again([p for p, at in kept if now - at >= patience_seconds], now)

    def _again(self, parcels: list[Parcel], now: float) -> list[Parcel]:
        for parcel in parcels:
            self._kept[parcel.first] = (parcel, now)
        return parcels
