"""One page on its way out of use: where it is, and all that is known of it.

The value alone. `states.py` says where a case can be, `table.py` which way leads on, `advance.py`
takes it there.
"""

from dataclasses import dataclass
from enum import StrEnum

from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PageUse
from agent.contract.status import Rest
from agent.diagnosis.verdict import Verdict
from agent.retirement.caps import Rank, rank_of
from agent.retirement.ladder import Rung
from agent.retirement.outcome import Recalled, Seen
from agent.retirement.owed import Owed
from agent.retirement.reason import Reason, told
from agent.retirement.states import REST, State
from agent.retirement.table import TRANSITIONS


class Origin(StrEnum):
    """Who wants the page out of use: the errors that it had, an operator, or somebody else whose
    mark was found on it.
    """

    VERDICT = "verdict"
    OPERATOR = "operator"
    FOUND = "found"


@dataclass(frozen=True, slots=True)
class Case:
    """A page, where it is in the table, and what is left to try.

    `use`, `owner` and `mappers` are the hypervisor's last word, `guest` (the owner's name) and
    `devices` the toolstack's; `rung` is under way, `rungs` are left, `tried` were tried on a page
    that was held so. `detached` are the devices that may be detached because of us, `image` is what
    the guest may be saved as. `hands_off` says why nothing more is tried on this owner.

    `begun` says of a state that begins that its command may have been given: until then the guest
    is as its users left it. `attempts` counts how often the present command came to nothing,
    `rounds` how often the page was found another than it was. `size` is how many pages the guest
    has. `owed` are commands about the guest that were not answered, in this state or an earlier
    one; `unheard_ns` is when the page itself was asked for last without an answer, if ever. Times
    are nanoseconds since 1970 UTC; `boot` is the boot of the host that all of this is about.
    `beyond_cap`: an operator's, so that no cap counts it. `verdict` is what `origin` says, for
    people.

    `module` is which DIMM (part and serial) was at `dimm`, its slot, where the host says so, and
    `rank` which of its ranks the page is of, where an ereport said so.
    `paused_at_ns` is when, within the last hour of them, the guest was stopped for this page.
    `pauses` are the newest stops that are over: when, and for how many seconds.
    `quiet`: one of so many of an operator's that nobody is told of it, but for who asks.
    """

    id: str
    mfn: Mfn
    opened_at_ns: int
    moved_at_ns: int
    state: State = State.OPEN
    verdict: str = ""
    dimm: str | None = None
    rank: int | None = None
    use: PageUse | None = None
    owner: DomId | None = None
    mappers: tuple[DomId, ...] = ()
    guest: str = ""
    devices: tuple[str, ...] = ()
    rung: Rung | None = None
    rungs: tuple[Rung, ...] = ()
    tried: tuple[Rung, ...] = ()
    detached: tuple[str, ...] = ()
    image: str = ""
    size: int = 0
    hands_off: Reason | None = None
    begun: bool = False
    attempts: int = 0
    rounds: int = 0
    reason: Reason | None = None
    detail: str = ""
    boot: str = ""
    owed: tuple[Owed, ...] = ()
    unheard_ns: int = 0
    beyond_cap: bool = False
    module: str = ""
    paused_at_ns: tuple[int, ...] = ()
    origin: Origin = Origin.VERDICT
    quiet: bool = False
    pauses: tuple[tuple[int, float], ...] = ()

    @property
    def rest(self) -> Rest:
        return REST.get(self.state, Rest.OPEN)

    @property
    def is_ours(self) -> bool:
        """True if the page is to be out of use whatever others do with it."""
        return self.origin is not Origin.FOUND

    @property
    def wears(self) -> Rank | None:
        """The rank that has one page less by this; none if nobody knows the DIMM."""
        return rank_of(self.dimm, self.rank)

    @property
    def needs_turn(self) -> bool:
        """True while no other stop may touch its guest."""
        return self.state.commands_guest or bool(self.detached)

    @property
    def may_be_seen(self) -> bool:
        """True if to look at it is enough: nothing has been begun."""
        return Seen in TRANSITIONS[self.state] and not self.is_in_hand

    def is_of_another(self, module: str) -> bool:
        """True if the DIMM that it is about is known not to be `module`."""
        return bool(self.module and module) and self.module != module

    @property
    def is_untouched(self) -> bool:
        """True if its command finds the guest as it was before, and has not been given."""
        return self.state.begins and not self.begun

    @property
    def is_in_hand(self) -> bool:
        """True if its guest may stand still, or lack a device, because of this case."""
        lacks_device = bool(self.detached) and self.state is not State.DETACHING
        return self.needs_turn and (lacks_device or not self.is_untouched)

    @property
    def may_be_recalled(self) -> bool:
        """True if its guest is in nobody's hands, so that the page can be brought back now."""
        return Recalled in TRANSITIONS[self.state] and not self.begun

    @property
    def why(self) -> str:
        """The reason and its detail, for people."""
        return told(self.reason, self.detail)


def open_case(case_id: str, wanted: Verdict, now_ns: int, origin: Origin = Origin.VERDICT) -> Case:
    state = State.OPEN if origin is not Origin.FOUND else State.FOUND
    return Case(
        case_id,
        wanted.mfn,
        now_ns,
        now_ns,
        state,
        wanted.reason,
        wanted.dimm,
        wanted.rank,
        reason=None if origin is not Origin.FOUND else Reason.FOUND_MARKED,
        origin=origin,
    )
