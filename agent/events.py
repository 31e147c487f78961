"""What happened, for those who watch: metrics, logs, health.

Rooms stay silent and return what they did; whoever drives them hands it to one `Observer` as one of
these frozen values. Observers listen and never act, and an observer's failure is its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

from agent.contract.frames import DomId
from agent.retirement.caps import Rank
from agent.retirement.case import Case
from agent.retirement.reason import Reason
from agent.retirement.states import State


@dataclass(frozen=True, slots=True)
class BatchTaken:
    """A batch was decided and made durable. Numbers count ereports, `errors` the errors in them.

    `late` are those that had been seen missing; `missing` is how many still are, after the batch.
    """

    accepted: int
    duplicates: int
    late: int
    missing: int
    errors: int
    unlocated: int
    out_of_range: int
    uncorrected: int
    dimm_errors: tuple[tuple[str, int], ...]
    newest_time_ns: int
    commit_seconds: float


@dataclass(frozen=True, slots=True)
class MessageRefused:
    """A message was not let in; `kind` is from the closed list of `diagnosis.admission.Unfit`."""

    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class GapSeen:
    """Ereports `first` to `last` did not arrive, and will be asked for again."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class EreportsLost:
    """Nobody could send these again: they are given up, and counted. `missing`: still hoped for."""

    count: int
    missing: int


@dataclass(frozen=True, slots=True)
class PagesEvicted:
    """The engine forgot its least recent pages because its table was full."""

    count: int


@dataclass(frozen=True, slots=True)
class CaseOpened:
    case: Case


@dataclass(frozen=True, slots=True)
class CaseMoved:
    """A case went on from `before`, and the journal holds it; the step took `took_seconds`."""

    case: Case
    before: State
    took_seconds: float


@dataclass(frozen=True, slots=True)
class CaseMessageCoalesced:
    """A move of a case was not published, because a newer one is."""


@dataclass(frozen=True, slots=True)
class GuestPaused:
    """A guest stood still this long, because of us."""

    seconds: float


@dataclass(frozen=True, slots=True)
class GuestFoundStopped:
    """At the start this domain stood still, and no case of ours is why: it was not touched."""

    domid: DomId


@dataclass(frozen=True, slots=True)
class MarksUnlisted:
    """The hypervisor keeps no list of marked pages: what others have marked is not known."""

    reason: str


@dataclass(frozen=True, slots=True)
class CapReached:
    """A page was not taken, or a guest not stopped, because of one of `retirement.caps.CAPS`."""

    refusal: Reason


@dataclass(frozen=True, slots=True)
class DimmWornOut:
    """So many pages of this rank are taken that its DIMM is to be replaced. Told once, and at a
    start.
    """

    rank: Rank


@dataclass(frozen=True, slots=True)
class CaseDropped:
    """The page of this case lies on another DIMM since the host was booted anew."""

    case: Case


@dataclass(frozen=True, slots=True)
class CallMade:
    """A call to the hypervisor or the toolstack ended; `outcome` is a word of the contract.

    `reason` says why there was no answer.
    """

    call: str
    outcome: str
    seconds: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BrokerConnected:
    url: str


@dataclass(frozen=True, slots=True)
class BrokerLost:
    url: str
    reason: str
    retry_seconds: float


Event = (
    BatchTaken
    | MessageRefused
    | GapSeen
    | EreportsLost
    | PagesEvicted
    | CaseOpened
    | CaseMoved
    | CaseMessageCoalesced
    | GuestPaused
    | GuestFoundStopped
    | MarksUnlisted
    | CapReached
    | DimmWornOut
    | CaseDropped
    | CallMade
    | BrokerConnected
    | BrokerLost
)
Observer = Callable[[Event], None]
