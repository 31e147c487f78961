"""What happened, for those who watch: metrics, logs, health.

Rooms stay silent and return what they did; whoever drives them hands it to one `Observer` as one of
these frozen values. Observers listen and never act, and an observer's failure is its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

from agent.contract.ereport import Module
from agent.contract.frames import DomId
from agent.diagnosis.dram import Failing
from agent.diagnosis.places import BankErrors
from agent.retirement.caps import Rank
from agent.retirement.case import Case
from agent.retirement.reason import Reason
from agent.retirement.states import State


@dataclass(frozen=True, slots=True)
class Started:
    """The agent knows its host and what an earlier life left, and begins: before any other news.

    `modules` are the DIMMs of the host; what may be retired of all of it and of a rank is in pages.
    In the slots `replaced` there is another DIMM than before: its rows and banks begin anew.
    """

    mode: str
    modules: tuple[Module, ...]
    pages_max: int
    pages_per_rank_max: int
    cases: tuple[Case, ...]
    missing: int
    replaced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Beat:
    """Once a second: the loop runs, by so much late, and this is how things stand.

    `dimm_pages` are the pages taken of the fullest rank of each DIMM. The times are those of the
    oldest case under way (when it was opened) and of the oldest parked one (since when it is); 0
    where there is none.
    """

    late_seconds: float
    pages_tracked: int
    dimm_pages: tuple[tuple[str, int], ...]
    oldest_open_ns: int
    oldest_parked_ns: int


@dataclass(frozen=True, slots=True)
class BatchTaken:
    """A batch was decided and made durable. Numbers count ereports, `errors` the errors in them.

    `late` are those that had been seen missing; `missing` is how many still are, after the batch.
    `delay_seconds` is the age of the newest of them, by the clocks of both machines.
    """

    accepted: int
    duplicates: int
    late: int
    missing: int
    errors: int
    unlocated: int
    out_of_range: int
    uncorrected: int
    misplaced: int
    dimm_errors: tuple[tuple[str, int], ...]
    bank_errors: BankErrors
    dimm_uncorrected: tuple[tuple[str, int], ...]
    newest_time_ns: int
    delay_seconds: float
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
class RowFailing:
    """A row of a DIMM goes bad; told once. Nothing is done about it but page by page."""

    failing: Failing


@dataclass(frozen=True, slots=True)
class BankFailing:
    """As `RowFailing`, of a bank: of what its failing rows do not explain."""

    failing: Failing


@dataclass(frozen=True, slots=True)
class PlacesEvicted:
    """The engines forgot their least recent rows, or banks, because a table was full."""

    rows: int
    banks: int


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
    """A guest, known by its `domid` before it stopped, stood still this long, because of us."""

    seconds: float
    domid: DomId | None


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
class HostRebooted:
    """The host is in another boot than when the agent saw it last; so many cases are taken up."""

    before: str
    now: str
    cases: int


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


@dataclass(frozen=True, slots=True)
class PolicyReloaded:
    """The configuration was read again: keys that are lived by now, and those that wait."""

    taken: tuple[str, ...]
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PolicyRefused:
    """The configuration was read again and is wrong: nothing has changed."""

    reason: str


Event = (
    Started
    | Beat
    | BatchTaken
    | MessageRefused
    | GapSeen
    | EreportsLost
    | PagesEvicted
    | RowFailing
    | BankFailing
    | PlacesEvicted
    | CaseOpened
    | CaseMoved
    | CaseMessageCoalesced
    | GuestPaused
    | GuestFoundStopped
    | MarksUnlisted
    | CapReached
    | DimmWornOut
    | CaseDropped
    | HostRebooted
    | CallMade
    | BrokerConnected
    | BrokerLost
    | PolicyReloaded
    | PolicyRefused
)
Observer = Callable[[Event], None]
