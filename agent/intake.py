"""What came in together, read: the ereports in lots that are judged as one, and the refusals.

Small messages of one boot make one lot. JSON messages that stand side by side are read in one go;
where that cannot be, because one of them is bad or of another host, each is read by itself, and
what is wrong with it is said of it alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

from agent.contract.codec import decode, decode_together, is_json
from agent.contract.columns import Batch
from agent.contract.ereport import BATCH_MAX
from agent.contract.errors import Malformed
from agent.diagnosis.admission import Unfit


class Message(Protocol):
    """As it came; when `oversize`, the payload is cut to what is allowed."""

    @property
    def payload(self) -> bytes: ...
    @property
    def oversize(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Refusal:
    """A message that is not let in, and why."""

    kind: Unfit
    reason: str
    payload: bytes


@dataclass(slots=True)
class Lot:
    """Batches of one boot that are judged as one; `payloads` are the messages they came in.

    Without payloads it is of the agent's own host, and is not to be refused.
    """

    batches: list[Batch] = field(default_factory=list[Batch])
    payloads: list[bytes] = field(default_factory=list[bytes])
    ereports: int = 0
    dimms: int = 0

    def has_room_for(self, batch: Batch) -> bool:
        """True if `batch` is of the same boot, and all of it together still fits a message."""
        first = self.batches[0]
        return (
            self.ereports + len(batch) <= BATCH_MAX
            and self.dimms + len(batch.dimms) <= BATCH_MAX
            and (first.host, first.boot_id) == (batch.host, batch.boot_id)
        )

    def add(self, batch: Batch, *payloads: bytes) -> None:
        self.batches.append(batch)
        self.payloads += payloads
        self.ereports += len(batch)
        self.dimms += len(batch.dimms)


@dataclass(frozen=True, slots=True)
class Intake:
    """In the order in which they came."""

    lots: list[Lot] = field(default_factory=list[Lot])
    refusals: list[Refusal] = field(default_factory=list[Refusal])

    def add(self, read: Batch | Refusal, *payloads: bytes) -> None:
        if isinstance(read, Refusal):
            self.refusals.append(read)
            return
        if not self.lots or not self.lots[-1].has_room_for(read):
            self.lots.append(Lot())
        self.lots[-1].add(read, *payloads)


def read_all(messages: Sequence[Message], host: str) -> Intake:
    """What `messages` hold; `host` is the agent's own."""
    intake = Intake()
    for are_json, run in groupby(messages, _is_json):
        neighbours = list(run)
        batches = _together(neighbours, host) if are_json else None
        if batches is None:
            for each in neighbours:
                intake.add(_by_itself(each), each.payload)
        else:
            for batch in batches:
                intake.add(batch)
    return intake


def _is_json(message: Message) -> bool:
    return not message.oversize and is_json(message.payload)


def _together(messages: Sequence[Message], host: str) -> Sequence[Batch] | None:
    batches = decode_together([each.payload for each in messages])
    if batches is None or any(batch.host != host for batch in batches):
        return None
    return batches


def _by_itself(message: Message) -> Batch | Refusal:
    if message.oversize:
        limit = len(message.payload)
        reason = f"more than the {limit} bytes of payload_bytes_max"
        return Refusal(Unfit.OVERSIZE, reason, message.payload)
    try:
        return decode(message.payload)
    except Malformed as error:
        return Refusal(Unfit.MALFORMED, str(error), message.payload)
