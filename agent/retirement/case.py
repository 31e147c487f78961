"""One page on its way out of use. This table is the whole of it; nothing else changes a state.

A state names the command that is given next, and it is written down before the command is given. A
power cut anywhere therefore leaves a case that says what may have happened, and since every command
may be given twice, picking it up means giving it again.

Whatever follows SUSPENDING passes through a resume, and whatever follows SAVING through a restore:
there is no way through the table that leaves a guest stopped, unless it is gone. An answer of
"refused" is no way out either: the command may have been given before, and its answer lost.

A guest with a device climbs the same rungs between DETACHING and ATTACHING. While `detached` names
a device, a way that leads out of the rungs leads through ATTACHING first, and then reads the page
back: where the table says PARKED, such a case attaches, looks, and is parked after that.

PARKED is not given up. The page stays marked, is watched, and is retired when it is freed.
POSTPONED is watched too: its guest may be stopped again at another hour. OBSERVED is where a page
rests that is only looked at.

Only an operator takes a case out of where it rests: a page is *asked* for again, or *recalled*. A
recalled page comes back by way of RETURNING, from any state in which its guest is in nobody's
hands; a stop that has begun goes to its end first, and so does a case that lacks a device.
"""

from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from zlib import crc32

from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PageUse
from agent.contract.status import Rest
from agent.diagnosis.verdict import Verdict
from agent.retirement.caps import within_an_hour
from agent.retirement.ladder import Rung, Terms, beginning, rungs_for, why_none
from agent.retirement.outcome import (
    Asked,
    BackOnline,
    Damaged,
    Done,
    Ended,
    Failed,
    Gone,
    Held,
    Kept,
    NoAnswer,
    NotNow,
    Offlined,
    Outcome,
    Overtaken,
    Postponed,
    Recalled,
    Refused,
    Returned,
    Seen,
    Spared,
    TryAgain,
)
from agent.retirement.owed import Command, Owed, with_more
from agent.retirement.reason import Reason, told

ATTEMPTS_MAX = 8  # then "try again" counts as "failed"
ABSENCES_MAX = 24  # of a guest without its device, who may be rebooting: then it has ended
ROUNDS_MAX = 8  # how often a page may be another than it was before the case is parked


class State(StrEnum):
    OPEN = "open"
    WAITING = "waiting"
    SWAPPING = "swapping"
    DETACHING = "detaching"
    DROPPING_SHADOWS = "dropping_shadows"
    SUSPENDING = "suspending"
    EXCHANGING = "exchanging"
    RESUMING = "resuming"
    BACKING_OUT = "backing_out"
    SAVING = "saving"
    RESTORING = "restoring"
    MIGRATING = "migrating"
    ATTACHING = "attaching"
    CONFIRMING = "confirming"
    POSTPONED = "postponed"
    OBSERVED = "observed"
    PARKED = "parked"
    RETURNING = "returning"
    RETIRED = "retired"
    UNRETIRABLE = "unretirable"
    RETURNED = "returned"

    @property
    def is_final(self) -> bool:
        """True when nobody but an operator will ever change it."""
        return self in {State.RETIRED, State.UNRETIRABLE, State.RETURNED}

    @property
    def takes_a_page(self) -> bool:
        """True while the page is out of use, or may be before long."""
        return self not in {State.UNRETIRABLE, State.RETURNED}

    @property
    def is_at_rest(self) -> bool:
        """True when nothing is under way: final, or only watched."""
        return self.is_final or self in {State.PARKED, State.POSTPONED, State.OBSERVED}

    @property
    def stops_guest(self) -> bool:
        """True while the guest may stand still because of us."""
        return self in STOPPING

    @property
    def begins(self) -> bool:
        """True if the first command of this state finds the guest as its users left it."""
        return self in BEGINNING

    @property
    def commands_guest(self) -> bool:
        """True if its command is about the guest: one at a time, whatever pages it is for."""
        return self in BEGINNING or self in STOPPING or self is State.ATTACHING


class Choice(Enum):
    """A target that depends on the case: the next rung's first state; after the last, PARKED.

    Before a rung that touches a guest with a device stands DETACHING, and then the rung.
    """

    NEXT_RUNG = "next_rung"


STOPPING = frozenset(
    {
        State.SUSPENDING,
        State.EXCHANGING,
        State.RESUMING,
        State.BACKING_OUT,
        State.SAVING,
        State.RESTORING,
    }
)

BEGINNING = frozenset(
    {
        State.DETACHING,
        State.DROPPING_SHADOWS,
        State.SUSPENDING,
        State.SAVING,
        State.MIGRATING,
    }
)

# Whose command stops the guest, or moves it.
PAUSING = frozenset({State.SUSPENDING, State.SAVING, State.MIGRATING})

FIRST_STATE: dict[Rung, State] = {
    Rung.WAIT: State.WAITING,
    Rung.SWAP: State.SWAPPING,
    Rung.DROP_SHADOWS: State.DROPPING_SHADOWS,
    Rung.EXCHANGE: State.SUSPENDING,
    Rung.SAVE_RESTORE: State.SAVING,
    Rung.MIGRATE: State.MIGRATING,
}

Target = State | Choice

# `NoAnswer` and `Spared` have no rows: they leave every state as it is.
TRANSITIONS: dict[State, dict[type[Outcome], Target]] = {
    State.OPEN: {  # ask the hypervisor to take the page
        Offlined: State.CONFIRMING,
        Held: Choice.NEXT_RUNG,
        NotNow: State.PARKED,
        Refused: State.UNRETIRABLE,
        TryAgain: State.OPEN,
        Failed: State.PARKED,
        Recalled: State.RETURNING,
        Seen: State.OBSERVED,
    },
    State.WAITING: {  # look whether the others who map it have let go
        Offlined: State.CONFIRMING,
        Held: Choice.NEXT_RUNG,
        BackOnline: State.OPEN,
        NotNow: State.PARKED,
        Refused: State.UNRETIRABLE,
        TryAgain: State.WAITING,
        Failed: Choice.NEXT_RUNG,
        Overtaken: State.CONFIRMING,
        Recalled: State.RETURNING,
        Seen: State.OBSERVED,
    },
    State.SWAPPING: {  # have the hypervisor swap the guest's p2m entry
        Offlined: State.CONFIRMING,
        NotNow: State.PARKED,
        Refused: State.CONFIRMING,  # the page is another than it was: look again
        TryAgain: State.SWAPPING,
        Failed: Choice.NEXT_RUNG,
        Overtaken: State.CONFIRMING,
        Recalled: State.RETURNING,
        Seen: State.OBSERVED,
    },
    State.DETACHING: {  # take the guest's devices from it, or leave it alone
        Done: Choice.NEXT_RUNG,
        Gone: State.CONFIRMING,
        NotNow: State.PARKED,
        Refused: State.PARKED,
        TryAgain: State.DETACHING,
        Failed: State.PARKED,
        Damaged: State.PARKED,
        Overtaken: State.CONFIRMING,
        Recalled: State.RETURNING,
        Postponed: State.POSTPONED,
        Seen: State.OBSERVED,
    },
    State.DROPPING_SHADOWS: {  # have the hypervisor make the guest's shadows anew
        Done: State.CONFIRMING,
        Gone: State.CONFIRMING,
        NotNow: State.PARKED,
        Refused: Choice.NEXT_RUNG,
        TryAgain: State.DROPPING_SHADOWS,
        Failed: Choice.NEXT_RUNG,
        Damaged: State.PARKED,
        Overtaken: State.CONFIRMING,
        Recalled: State.RETURNING,
        Seen: State.OBSERVED,
    },
    State.SUSPENDING: {  # stop the guest as for a checkpoint
        Done: State.EXCHANGING,
        Gone: State.CONFIRMING,
        NotNow: State.PARKED,
        Refused: State.BACKING_OUT,  # an earlier try, unanswered, may have stopped it
        TryAgain: State.SUSPENDING,
        Failed: State.BACKING_OUT,
        Damaged: State.BACKING_OUT,
        Overtaken: State.CONFIRMING,
        Recalled: State.RETURNING,
        Postponed: State.POSTPONED,
        Seen: State.OBSERVED,
    },
    State.EXCHANGING: {  # give it a fresh frame for the bad one
        Done: State.RESUMING,
        Gone: State.CONFIRMING,
        Refused: State.RESUMING,  # it may be another's page by now: look again
        TryAgain: State.RESUMING,  # others may map it now: look again
        Failed: State.BACKING_OUT,
        Damaged: State.BACKING_OUT,
    },
    State.RESUMING: {  # by the slow path, so that it re-reads its p2m; never given up
        Done: State.CONFIRMING,
        Gone: State.CONFIRMING,
        Refused: State.RESUMING,
        TryAgain: State.RESUMING,
        Failed: State.RESUMING,
        Damaged: State.RESUMING,
    },
    State.BACKING_OUT: {  # resume it: the page is where it was; never given up
        Done: Choice.NEXT_RUNG,
        Gone: State.RESTORING,  # a save, unanswered and then refused, may have been carried out
        Refused: State.BACKING_OUT,
        TryAgain: State.BACKING_OUT,
        Failed: State.BACKING_OUT,
        Damaged: State.BACKING_OUT,
    },
    State.SAVING: {  # write the guest to disk, which frees its pages
        Done: State.RESTORING,
        Gone: State.RESTORING,  # an earlier try, unanswered, may have saved it
        NotNow: State.PARKED,
        Refused: State.BACKING_OUT,
        TryAgain: State.SAVING,
        Failed: State.BACKING_OUT,
        Damaged: State.BACKING_OUT,
        Overtaken: State.CONFIRMING,
        Recalled: State.RETURNING,
        Postponed: State.POSTPONED,
        Seen: State.OBSERVED,
    },
    State.RESTORING: {  # bring it back: it is on disk, so this is never given up
        Done: State.CONFIRMING,
        Gone: State.CONFIRMING,
        Refused: State.RESTORING,
        TryAgain: State.RESTORING,
        Failed: State.RESTORING,
        Damaged: State.RESTORING,
    },
    State.MIGRATING: {  # move the guest, running, to where there is room
        Done: State.CONFIRMING,
        Gone: State.CONFIRMING,
        NotNow: State.PARKED,
        Refused: Choice.NEXT_RUNG,
        TryAgain: State.MIGRATING,
        Failed: Choice.NEXT_RUNG,
        Damaged: State.BACKING_OUT,
        Overtaken: State.CONFIRMING,
        Recalled: State.RETURNING,
        Postponed: State.POSTPONED,
        Seen: State.OBSERVED,
    },
    State.ATTACHING: {  # give the guest its devices back, whatever it is called now; never given up
        Done: State.CONFIRMING,
        Gone: State.ATTACHING,  # it may be on its way from one domain to another
        Ended: State.CONFIRMING,
        Refused: State.ATTACHING,
        TryAgain: State.ATTACHING,
        Failed: State.ATTACHING,
        Damaged: State.ATTACHING,
    },
    State.CONFIRMING: {  # read it back: success is never assumed
        Offlined: State.RETIRED,
        Held: Choice.NEXT_RUNG,
        BackOnline: State.OPEN,
        NotNow: State.PARKED,
        Refused: State.UNRETIRABLE,
        TryAgain: State.CONFIRMING,
        Failed: State.PARKED,
        Recalled: State.RETURNING,
        Seen: State.OBSERVED,
    },
    State.POSTPONED: {  # when its guest may be stopped again: read it back, and go on
        Offlined: State.CONFIRMING,
        Held: Choice.NEXT_RUNG,
        BackOnline: State.OPEN,
        NotNow: State.PARKED,
        Refused: State.UNRETIRABLE,
        TryAgain: State.POSTPONED,
        Failed: State.PARKED,
        Overtaken: State.CONFIRMING,
        Recalled: State.RETURNING,
        Seen: State.OBSERVED,
    },
    State.OBSERVED: {  # nothing, as long as we only look
        Asked: State.OPEN,
        Recalled: State.RETURNING,
    },
    State.PARKED: {  # ask again, now and then
        Offlined: State.CONFIRMING,
        Held: Choice.NEXT_RUNG,  # a new owner may be easier to help; the old one was tried
        NotNow: State.PARKED,
        Refused: State.PARKED,
        TryAgain: State.PARKED,
        Failed: State.PARKED,
        Overtaken: State.CONFIRMING,
        Asked: State.OPEN,
        Recalled: State.RETURNING,
        Seen: State.OBSERVED,
    },
    State.RETURNING: {  # bring it back into use, unless it is broken
        Returned: State.RETURNED,
        Kept: State.RETIRED,
        NotNow: State.PARKED,
        Refused: State.UNRETIRABLE,
        TryAgain: State.RETURNING,
        Failed: State.CONFIRMING,
    },
    State.RETIRED: {Recalled: State.RETURNING},
    State.UNRETIRABLE: {Asked: State.OPEN, Recalled: State.RETURNING},
    State.RETURNED: {},  # closed: a page that goes bad again gets a case of its own
}

# Where a guest may be on disk, under the name that was written down before it was saved.
MAY_HAVE_IMAGE = frozenset({State.SAVING, State.BACKING_OUT, State.RESTORING})

# Where a device may be detached. Every way out of here that leaves one detached leads to ATTACHING.
BETWEEN_DETACH_AND_ATTACH = BEGINNING | STOPPING | {State.SWAPPING, State.ATTACHING}

# Carried out late, these leave a guest stopped, on disk, or without its device.
MAY_COME_LATE: dict[State, Command] = {
    State.SUSPENDING: Command.SUSPEND,
    State.SAVING: Command.SAVE,
    State.DETACHING: Command.DETACH,
}

# Reasons that speak of a moment: they are forgotten when the page is looked at anew.
PASSING = frozenset(
    {
        Reason.NO_ANSWER,
        Reason.NO_FREE_MEMORY,
        Reason.STOPPED_BY_OTHERS,
        Reason.AGENT_STOPPING,
        Reason.HELD_OTHERWISE,
        Reason.PAUSES_CAP,
        Reason.OUTSIDE_WINDOWS,
    }
)

REST: dict[State, Rest] = {
    State.RETIRED: Rest.RETIRED,
    State.PARKED: Rest.PARKED,
    State.UNRETIRABLE: Rest.UNRETIRABLE,
    State.RETURNED: Rest.RETURNED,
    State.OBSERVED: Rest.OBSERVED,
}

# What a command comes to that may have stopped the guest.
MAY_HAVE_STOPPED = (Done, Gone, Refused, Failed, Damaged)


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
    has. `owed` are commands that were not answered, in this state or an earlier one. Times are
    nanoseconds since 1970 UTC; `boot` is the boot of the host that all of this is about.
    `beyond_cap`: an operator's, so that no cap counts it.

    `module` is which DIMM (part and serial) was at `dimm`, its slot, where the host says so.
    `paused_at_ns` is when, within the last hour of them, the guest was stopped for this page.
    """

    id: str
    mfn: Mfn
    opened_at_ns: int
    moved_at_ns: int
    state: State = State.OPEN
    verdict: str = ""
    dimm: str | None = None
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
    beyond_cap: bool = False
    module: str = ""
    paused_at_ns: tuple[int, ...] = ()

    @property
    def rest(self) -> Rest:
        return REST.get(self.state, Rest.OPEN)

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


def open_case(
    case_id: str, verdict: Verdict, now_ns: int, boot: str = "", module: str = ""
) -> Case:
    return Case(
        case_id,
        verdict.mfn,
        now_ns,
        now_ns,
        verdict=verdict.reason,
        dimm=verdict.dimm,
        boot=boot,
        module=module,
    )


def reopened(case: Case, boot: str, now_ns: int, module: str = "") -> Case:
    """The case after the host rebooted: it has forgotten every mark, and every guest is another.

    What was retired is asked for again; what was known of owners is forgotten with them. Only a
    guest that may have been on disk may be there still: it is restored first. A page that was on
    its way back into use has arrived, and so has one that lies on another DIMM now: `module`.
    """
    is_replaced = case.is_of_another(module) and not case.image
    if case.state is State.RETURNING or is_replaced:
        why = Reason.DIMM_REPLACED if is_replaced else case.reason
        closed = replace(case, detached=(), owed=(), reason=why, boot=boot)
        return _at(closed, State.RETURNED, now_ns)
    fresh = Case(
        case.id,
        case.mfn,
        case.opened_at_ns,
        now_ns,
        verdict=case.verdict,
        dimm=case.dimm,
        reason=Reason.HOST_REBOOTED if boot != case.boot else None,
        boot=boot,
        beyond_cap=case.beyond_cap,
        module=case.module or module,
    )
    if not case.image:
        return fresh
    return replace(
        fresh,
        state=State.RESTORING,
        image=case.image,
        size=case.size,
        guest=case.guest,
        detached=case.detached,
    )


def advance(case: Case, outcome: Outcome, now_ns: int, terms: Terms | None = None) -> Case:
    """The case after `outcome`.

    Raises:
        KeyError: for an outcome that has no row in this state: a broken promise of the driver's.
    """
    if isinstance(outcome, Spared) or (isinstance(outcome, NoAnswer) and case.state.is_at_rest):
        return case
    outcome = _within_patience(case, outcome)
    if _is_unanswered(outcome):
        case = owing(case, now_ns)
    if isinstance(outcome, NoAnswer):
        return replace(_explained(case, outcome), attempts=case.attempts + 1)
    target = TRANSITIONS[case.state][type(outcome)]
    case = _informed(_paused(case, outcome, now_ns), outcome, terms or Terms())
    if isinstance(outcome, BackOnline):
        return _at_next_round(case, now_ns)
    if isinstance(target, Choice):
        case, target = _on_next_rung(case)
    return _at(case, target, now_ns)


def _is_unanswered(outcome: Outcome) -> bool:
    is_late = isinstance(outcome, Failed) and outcome.reason is Reason.DETACH_UNANSWERED
    return is_late or isinstance(outcome, NoAnswer)


def owing(case: Case, now_ns: int) -> Case:
    """With a mark for the command that was given, if it must not come late unseen."""
    command = MAY_COME_LATE.get(case.state)
    if command is None or not case.begun:
        return case
    more = Owed(command, case.owner, case.guest, case.image, case.detached, now_ns)
    return replace(case, owed=with_more(case.owed, more))


def _within_patience(case: Case, outcome: Outcome) -> Outcome:
    """`outcome`, or what it counts as when it has come too often."""
    if case.attempts >= ATTEMPTS_MAX:
        if isinstance(outcome, TryAgain):
            return Failed(outcome.reason, outcome.detail)
        if isinstance(outcome, NoAnswer) and case.state is State.DETACHING and case.begun:
            return Failed(Reason.DETACH_UNANSWERED, outcome.detail)
    is_long = case.attempts >= ABSENCES_MAX
    if is_long and case.state is State.ATTACHING and isinstance(outcome, Gone):
        return Ended(outcome.detail)
    return outcome


def _informed(case: Case, outcome: Outcome, terms: Terms) -> Case:
    """What the outcome says of the page and its guest, written into the case."""
    match outcome:
        case Held():
            case = _seen(case, outcome, terms)
        case Seen():
            case = _looked_at(case, outcome.held, terms)
        case Offlined():
            case = replace(case, use=case.use or outcome.use, reason=None, detail="")
        case Asked():
            case = replace(case, rounds=0, reason=None, detail="")
        case NotNow() | Postponed() | Overtaken() | Recalled():
            case = _as_if_not_begun(_explained(case, outcome), outcome)
        case Done() | BackOnline():
            pass
        case _:
            case = _hands_off(_explained(case, outcome), outcome)
    return case


def _paused(case: Case, outcome: Outcome, now_ns: int) -> Case:
    """With the pause that the command may have been, if it was to be one."""
    if case.state not in PAUSING or not isinstance(outcome, MAY_HAVE_STOPPED):
        return case
    recent = within_an_hour((*case.paused_at_ns, now_ns), now_ns)
    return replace(case, paused_at_ns=tuple(sorted(recent)))


def _looked_at(case: Case, held: Held, terms: Terms) -> Case:
    """With what would be done about the page, if it were not only looked at."""
    rungs = rungs_for(held, terms)
    return replace(
        case,
        use=held.use,
        owner=held.owner,
        mappers=held.mappers,
        guest=held.guest.name,
        devices=held.guest.devices,
        size=held.guest.size,
        rung=None,
        rungs=rungs,
        tried=(),
        reason=Reason.OBSERVING,
        detail=f"{held.use}: {beginning(held.use, rungs)}",
    )


def _explained(case: Case, outcome: Outcome) -> Case:
    """With the outcome's own reason, where it has one."""
    return replace(
        case,
        reason=getattr(outcome, "reason", None),
        detail=getattr(outcome, "detail", ""),
    )


def _seen(case: Case, held: Held, terms: Terms) -> Case:
    """With how the page is held, and with the rungs for that: all of them where that is new."""
    is_new = case.state is State.OPEN or _situation(case) != _situation_of(held)
    tried = () if is_new else case.tried
    left = tuple(rung for rung in rungs_for(held, terms) if rung not in tried)
    case = _reconsidered(case, held) if is_new else case
    if case.hands_off in PASSING and case.state is State.PARKED:
        case = replace(case, hands_off=None)
    if case.reason in PASSING and not case.hands_off:
        case = replace(case, reason=None, detail="")
    return replace(
        case,
        use=held.use,
        owner=held.owner,
        mappers=held.mappers,
        guest=held.guest.name,
        devices=held.guest.devices,
        size=held.guest.size,
        rungs=() if case.hands_off else left,
        tried=tried,
        reason=case.reason or (None if left else why_none(held, tried)),
    )


def _reconsidered(case: Case, held: Held) -> Case:
    """What was given up in another situation is worth another look, but not for ever."""
    rounds = {State.OPEN: case.rounds, State.PARKED: 0}.get(case.state, case.rounds + 1)
    hands_off = Reason.KEEPS_CHANGING if rounds > ROUNDS_MAX else None
    if case.hands_off is Reason.MAY_BE_DAMAGED and case.owner == held.owner:
        hands_off = case.hands_off
    return replace(case, rounds=rounds, hands_off=hands_off, reason=None, detail="")


def _situation(case: Case) -> tuple[object, ...]:
    """All that decides about rungs: in another situation, they are worth another try."""
    return case.use, case.owner, case.mappers, case.devices


def _situation_of(held: Held) -> tuple[object, ...]:
    return held.use, held.owner, held.mappers, held.guest.devices


def _hands_off(case: Case, outcome: Outcome) -> Case:
    """With no rung left, if the guest may be damaged or does not give up its device."""
    keeps_device = case.state is State.DETACHING and isinstance(outcome, Refused | Failed)
    if keeps_device or isinstance(outcome, Damaged):
        return replace(case, rungs=(), hands_off=case.reason)
    return case


def _as_if_not_begun(case: Case, outcome: NotNow | Postponed | Overtaken | Recalled) -> Case:
    """With no device asked for, and with the rung that was due still due: but if the device was
    detached for it already, not before the page was parked, or that would be done again and again.
    """
    if case.state is State.DETACHING and not case.begun:
        return replace(case, detached=())
    is_due = case.rung is not None and FIRST_STATE[case.rung] is case.state
    if not is_due or case.rung is None or isinstance(outcome, Overtaken):
        return case
    is_parked = bool(case.detached) and isinstance(outcome, NotNow)
    hands_off = case.reason if is_parked else case.hands_off
    left = (case.rung, *case.rungs)
    return replace(case, rungs=left, tried=case.tried[:-1], hands_off=hands_off)


def _at_next_round(case: Case, now_ns: int) -> Case:
    """Ask for the page once more, each time after a longer wait, and not for ever."""
    rounds = case.rounds + 1
    if rounds > ROUNDS_MAX:
        parked = replace(case, reason=Reason.COMES_BACK, detail="")
        return _at(parked, State.PARKED, now_ns)
    return replace(_at(case, State.OPEN, now_ns), rounds=rounds, attempts=rounds)


def _on_next_rung(case: Case) -> tuple[Case, State]:
    if not case.rungs:
        reason = case.hands_off or case.reason or Reason.RUNGS_TRIED
        return replace(case, reason=reason), State.PARKED
    rung, *left = case.rungs
    if case.devices and not case.detached and rung is not Rung.WAIT:
        return replace(case, detached=case.devices), State.DETACHING
    case = replace(case, rung=rung, rungs=tuple(left), tried=(*case.tried, rung))
    return case, FIRST_STATE[rung]


def _at(case: Case, target: State, now_ns: int) -> Case:
    if case.state is State.ATTACHING and target is not State.ATTACHING:
        case = replace(case, detached=())
    if case.detached and target not in BETWEEN_DETACH_AND_ATTACH:
        target = State.ATTACHING
    if target is case.state:
        return replace(case, attempts=case.attempts + 1)
    image = case.image if target in MAY_HAVE_IMAGE else ""
    return replace(case, state=target, image=image, begun=False, moved_at_ns=now_ns, attempts=0)


def retry_delay_seconds(case: Case, first: float, most: float) -> float:
    """How long to wait before the next command: doubling, bounded, and spread by up to a half.

    The spread comes from the case's own name, so that a replay waits exactly as long.
    """
    if case.attempts == 0:
        return 0.0
    spread = 1 + crc32(f"{case.id}/{case.attempts}".encode()) / (1 << 33)
    return min(most, first * 2.0 ** min(case.attempts - 1, 32) * spread)
