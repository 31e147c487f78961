"""Exactly once, over a bus that promises at least once.

An ereport *is* `(host, boot_id, seq)`. A message may come twice, late, in any order, or not at all,
although the broker acknowledged it. So the agent keeps the books itself: what was seen is dropped,
what is missing is asked for, what stays missing is counted as lost (`numbering`).

A batch that brings nothing new changes nothing here. Therefore the admitted batches, folded again
in the order of the journal, make the same state as the messages did.

One host, the agent's own, and the few boots that it heard of last. A boot that was forgotten and
comes back is a new one, numbered from 0: only a message older than `boots_max` reboots can do that.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import numpy as np
from pydantic import Field, ValidationError

from agent.contract.columns import Batch
from agent.contract.ereport import Applied, Range, Wire
from agent.contract.errors import AgentError
from agent.diagnosis.numbering import Gap, Numbering, Patience

_SEQ_MAX = (1 << 63) - 1


class Unfit(StrEnum):
    """Why a message was not let in: the closed list that refusals are counted by."""

    MALFORMED = "malformed"
    OVERSIZE = "oversize"
    STRANGER = "stranger"


@dataclass(frozen=True, slots=True)
class Stranger:
    """The batch is of a host that this agent does not look after."""

    reason: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """`batch` holds only what is new (it may be empty); `gaps` are those that it made us see.

    `late` counts those of the batch that had been seen missing, also if they had been given up.
    """

    batch: Batch
    duplicates: int
    gaps: tuple[Gap, ...]
    late: int


@dataclass(frozen=True, slots=True)
class Asks:
    """What to ask the source for now, and how many ereports were lost since the last time."""

    ranges: tuple[Range, ...]
    lost: int


@dataclass(slots=True)
class Admission:
    """The books of one host. At most `boots_max` × `gaps_max` gaps are remembered."""

    host: str
    boots_max: int = 4
    gaps_max: int = 1024
    asks_max: int = 6
    ask_seconds: float = 2.0
    ask_seconds_max: float = 60.0
    lost: int = field(default=0, init=False)
    _lost_told: int = field(default=0, init=False)
    # In the order of their last new ereport, the least recent first.
    _boots: dict[UUID, Numbering] = field(default_factory=dict[UUID, Numbering], init=False)

    def __post_init__(self) -> None:
        for name in ("boots_max", "gaps_max", "asks_max", "ask_seconds", "ask_seconds_max"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0 (got {getattr(self, name)})")

    def admit(self, batch: Batch) -> Admitted | Stranger:
        """Let in each ereport of our host once, whatever the bus did to the message."""
        if batch.host != self.host:
            return Stranger(f"host {batch.host} is not ours: this agent looks after {self.host}")
        before = self._boots.get(batch.boot_id, Numbering())
        taken = before.take(batch.seq, self.gaps_max)
        if taken.new.any():
            self._keep(batch.boot_id, taken.after)
        new = batch if taken.new.all() else batch.only(taken.new)
        late = int(np.count_nonzero(new.seq < before.next_seq))
        return Admitted(new, len(batch) - len(new), taken.opened, late)

    def _keep(self, boot_id: UUID, after: Numbering) -> None:
        before = self._boots.pop(boot_id, None)
        if before is None:
            self._make_room()
        self.lost += after.lost - (before.lost if before else 0)
        self._boots[boot_id] = after

    def _make_room(self) -> None:
        """Forget the least recent boots; what they still missed is lost."""
        while len(self._boots) >= self.boots_max:
            oldest = next(iter(self._boots))
            self.lost += self._boots.pop(oldest).missing

    def due(self, now: float) -> Asks:
        """Which gaps to ask for at `now` (seconds on any clock that never steps back)."""
        patience = Patience(self.asks_max, self.ask_seconds, self.ask_seconds_max)
        ranges: list[Range] = []
        for boot_id, before in self._boots.items():
            if not before.gaps:
                continue
            after, asks = before.ask(now, patience)
            self._boots[boot_id] = after
            self.lost += after.lost - before.lost
            ranges += [Range(boot_id=boot_id, first=gap.first, last=gap.last) for gap in asks]
        lost, self._lost_told = self.lost - self._lost_told, self.lost
        return Asks(tuple(ranges), lost)

    def applied(self) -> tuple[Applied, ...]:
        """How far each boot has been applied, the one that spoke last behind the others.

        To be published only while the journal holds all that was taken.
        """
        # The very last number there is cannot be passed: a mark is itself a number.
        return tuple(
            Applied(boot_id=boot_id, next_seq=min(numbering.frontier, _SEQ_MAX))
            for boot_id, numbering in self._boots.items()
        )

    @property
    def missing(self) -> int:
        """How many ereports are not here and not yet given up."""
        return sum(numbering.missing for numbering in self._boots.values())

    def snapshot(self) -> bytes:
        """All but the waiting times: those are on a clock that ends with the process."""
        boots = tuple(_BootKept.of(boot_id, kept) for boot_id, kept in self._boots.items())
        return _Kept(lost=self.lost, boots=boots).model_dump_json().encode()

    def restore(self, snapshot: bytes) -> None:
        """Go on from `snapshot`; gaps are asked for at once. `AgentError` if it is damaged."""
        try:
            kept = _Kept.model_validate_json(snapshot)
        except ValidationError as error:
            raise AgentError(
                f"admission snapshot: damaged in {error.error_count()} places; start without it"
            ) from None
        self.lost = self._lost_told = kept.lost
        self._boots = {boot.boot_id: boot.numbering() for boot in kept.boots}


Number = Annotated[int, Field(ge=0, le=_SEQ_MAX + 1)]


class _GapKept(Wire):
    first: Number
    last: Number
    asked: Annotated[int, Field(ge=0)]
    given_up: bool


class _BootKept(Wire):
    boot_id: UUID
    next_seq: Number
    lost: Annotated[int, Field(ge=0)]
    gaps: tuple[_GapKept, ...]

    @classmethod
    def of(cls, boot_id: UUID, numbering: Numbering) -> "_BootKept":
        gaps = tuple(
            _GapKept(first=gap.first, last=gap.last, asked=gap.asked, given_up=gap.given_up)
            for gap in numbering.gaps
        )
        return cls(boot_id=boot_id, next_seq=numbering.next_seq, lost=numbering.lost, gaps=gaps)

    def numbering(self) -> Numbering:
        gaps = tuple(
            Gap(gap.first, gap.last, asked=gap.asked, given_up=gap.given_up) for gap in self.gaps
        )
        return Numbering(self.next_seq, gaps, self.lost)


class _Kept(Wire):
    lost: Annotated[int, Field(ge=0)]
    boots: tuple[_BootKept, ...]
