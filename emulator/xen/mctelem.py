"""The store of machine-check telemetry: 30 records between the hypervisor and dom0.

           store                       fetch                     ACK with its id
    free ─────────► waiting its turn ─────────► being fetched ──────────────────► free
                                                └─ fetched again until then

An uncorrected error is urgent, a corrected one is not, and each urgency has a queue of its own. Ten
records are kept for the urgent ones, which may use the other twenty as well. When there is none
left the new record is dropped, and counted: what is in the store already stays.
"""

from collections import Counter, deque
from dataclasses import dataclass
from enum import StrEnum
from itertools import count

from agent.contract.frames import DomId, Mfn
from emulator.machine.banks import Registers


class Urgency(StrEnum):
    URGENT = "urgent"
    NON_URGENT = "non_urgent"


# Every record is of one of two pools, named after whom it is there for.
RECORDS = {Urgency.URGENT: 10, Urgency.NON_URGENT: 20}
MAY_USE = {
    Urgency.URGENT: (Urgency.URGENT, Urgency.NON_URGENT),
    Urgency.NON_URGENT: (Urgency.NON_URGENT,),
}


@dataclass(frozen=True, slots=True)
class Recovery:
    """A page that the hypervisor offlined on its own, and the word it got. dom0 drops this."""

    mfn: Mfn
    word: int


@dataclass(frozen=True, slots=True)
class Record:
    """What a bank held, and whose the page was at that moment.

    The address is the machine's. dom0 has its own numbers for its own frames, so it means another
    page to whoever takes it for one of those.
    """

    bank: Registers
    owner: DomId
    recovery: Recovery | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A record, and the id by which it is acknowledged."""

    fetch_id: int
    record: Record


@dataclass(frozen=True, slots=True)
class _Kept:
    content: Fetched
    pool: Urgency


class Telemetry:
    """The store of one host. Nothing survives its reboot."""

    def __init__(self) -> None:
        self.dropped = 0
        self._ids = count(1)
        self._used: Counter[Urgency] = Counter()
        self._queues: dict[Urgency, deque[_Kept]] = {urgency: deque() for urgency in Urgency}
        self._fetched: dict[Urgency, int] = {}

    def store(self, urgency: Urgency, record: Record) -> bool:
        """Keep a record; false if it was dropped."""
        free = [pool for pool in MAY_USE[urgency] if self._used[pool] < RECORDS[pool]]
        if not free:
            self.dropped += 1
            return False
        self._used[free[0]] += 1
        self._queues[urgency].append(_Kept(Fetched(next(self._ids), record), free[0]))
        return True

    def fetch(self, urgency: Urgency) -> Fetched | None:
        """The oldest of this urgency, the same one until it is acknowledged."""
        queue = self._queues[urgency]
        if not queue:
            return None
        self._fetched[urgency] = queue[0].content.fetch_id
        return queue[0].content

    def acknowledge(self, urgency: Urgency, fetch_id: int) -> None:
        """Let go of the record that is being fetched. With any other id this does nothing."""
        if self._fetched.get(urgency) == fetch_id:
            del self._fetched[urgency]
            self._used[self._queues[urgency].popleft().pool] -= 1
