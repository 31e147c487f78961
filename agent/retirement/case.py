"""One page on its way out of use. This table is the whole of it; nothing else changes a state.

A state names the command that is given next, and it is written down before the command is given. A
power cut anywhere therefore leaves a case that says what may have happened, and since every command
may be given twice, picking it up means giving it again.

Whatever follows SUSPENDING passes through a resume, and whatever follows SAVING through a restore:
there is no way through the table that leaves a guest stopped, unless it is gone. An answer of
"refused" is no way out either: the command may have been given before, and its answer lost.

PARKED is not given up. The page stays marked, is watched, and is retired when it is freed.
"""

from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from zlib import crc32

from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PageUse
from agent.contract.status import Rest
from agent.diagnosis.verdict import Verdict
from agent.retirement.ladder import Rung, rungs_for
from agent.retirement.outcome import (
    BackOnline,
    Damaged,
    Done,
    Failed,
    Gone,
    Held,
    NoAnswer,
    NotNow,
    Offlined,
    Outcome,
    Refused,
    TryAgain,
)

ATTEMPTS_MAX = 8  # then "try again" counts as "failed"
ROUNDS_MAX = 8  # how often a page may be found back online before the case is parked


class State(StrEnum):
    OPEN = "open"
    SWAPPING = "swapping"
    SUSPENDING = "suspending"
    EXCHANGING = "exchanging"
    RESUMING = "resuming"
    BACKING_OUT = "backing_out"
    RELEASING = "releasing"
    SAVING = "saving"
    RESTORING = "restoring"
    CONFIRMING = "confirming"
    PARKED = "parked"
    RETIRED = "retired"
    UNRETIRABLE = "unretirable"

    @property
    def is_final(self) -> bool:
        """True when nothing will ever change it."""
        return self in {State.RETIRED, State.UNRETIRABLE}

    @property
    def is_at_rest(self) -> bool:
        """True when nothing is under way: final, or parked and only watched."""
        return self.is_final or self is State.PARKED

    @property
    def stops_guest(self) -> bool:
        """True while the guest may stand still because of us."""
        return self in STOPPING

    @property
    def starts_guest(self) -> bool:
        """True if the command of this state makes the guest run again."""
        return self in STARTING


class Choice(Enum):
    """A target that depends on the ladder: the next rung's first state; after the last, PARKED."""

    NEXT_RUNG = "next_rung"


STOPPING = frozenset(
    {
        State.SUSPENDING,
        State.EXCHANGING,
        State.RESUMING,
        State.BACKING_OUT,
        State.RELEASING,
        State.SAVING,
        State.RESTORING,
    }
)

STARTING = frozenset({State.RESUMING, State.BACKING_OUT, State.RELEASING, State.RESTORING})

FIRST_STATE: dict[Rung, State] = {
    Rung.SWAP: State.SWAPPING,
    Rung.EXCHANGE: State.SUSPENDING,
    Rung.SAVE_RESTORE: State.SAVING,
}

Target = State | Choice

# `NoAnswer` has no row: it leaves every state as it is, and the command is given again.
TRANSITIONS: dict[State, dict[type[Outcome], Target]] = {
    State.OPEN: {  # ask the hypervisor to take the page
        Offlined: State.CONFIRMING,
        Held: Choice.NEXT_RUNG,
        NotNow: State.PARKED,
        Refused: State.UNRETIRABLE,
        TryAgain: State.OPEN,
        Failed: State.PARKED,
    },
    State.SWAPPING: {  # have the hypervisor swap the guest's p2m entry
        Offlined: State.CONFIRMING,
        Refused: State.CONFIRMING,
        TryAgain: State.SWAPPING,
        Failed: Choice.NEXT_RUNG,
    },
    State.SUSPENDING: {  # stop the guest as for a checkpoint
        Done: State.EXCHANGING,
        Gone: State.CONFIRMING,
        Refused: State.BACKING_OUT,  # an earlier try, unanswered, may have stopped it
        TryAgain: State.SUSPENDING,
        Failed: State.BACKING_OUT,
        Damaged: State.RELEASING,
    },
    State.EXCHANGING: {  # give it a fresh frame for the bad one
        Done: State.RESUMING,
        Gone: State.CONFIRMING,
        Refused: State.BACKING_OUT,
        TryAgain: State.BACKING_OUT,
        Failed: State.BACKING_OUT,
        Damaged: State.RELEASING,
    },
    State.RESUMING: {  # by the slow path, so that it re-reads its p2m; never given up
        Done: State.CONFIRMING,
        Gone: State.CONFIRMING,
        Refused: State.RESUMING,
        TryAgain: State.RESUMING,
        Failed: State.RESUMING,
        Damaged: State.RESUMING,
    },
    State.BACKING_OUT: {  # resume it: the page is where it was
        Done: Choice.NEXT_RUNG,
        Gone: State.CONFIRMING,
        Refused: State.BACKING_OUT,
        TryAgain: State.BACKING_OUT,
        Failed: State.BACKING_OUT,
        Damaged: State.BACKING_OUT,
    },
    State.RELEASING: {  # resume it: it may be damaged, so nothing more is tried on it
        Done: State.PARKED,
        Gone: State.CONFIRMING,
        Refused: State.RELEASING,
        TryAgain: State.RELEASING,
        Failed: State.RELEASING,
        Damaged: State.RELEASING,
    },
    State.SAVING: {  # write the guest to disk, which frees its pages
        Done: State.RESTORING,
        Gone: State.RESTORING,  # an earlier try, unanswered, may have saved it
        Refused: State.BACKING_OUT,
        TryAgain: State.SAVING,
        Failed: State.BACKING_OUT,
        Damaged: State.RELEASING,
    },
    State.RESTORING: {  # bring it back: it is on disk, so this is never given up
        Done: State.CONFIRMING,
        Gone: State.CONFIRMING,
        Refused: State.RESTORING,
        TryAgain: State.RESTORING,
        Failed: State.RESTORING,
        Damaged: State.RESTORING,
    },
    State.CONFIRMING: {  # read it back: success is never assumed
        Offlined: State.RETIRED,
        Held: Choice.NEXT_RUNG,
        BackOnline: State.OPEN,
        Refused: State.UNRETIRABLE,
    },
    State.PARKED: {  # ask again, now and then
        Offlined: State.CONFIRMING,
        Held: Choice.NEXT_RUNG,  # a new owner may be easier to help; the old one was tried
        NotNow: State.PARKED,
        Refused: State.PARKED,
        TryAgain: State.PARKED,
        Failed: State.PARKED,
    },
    State.RETIRED: {},
    State.UNRETIRABLE: {},
}

REST: dict[State, Rest] = {
    State.RETIRED: Rest.RETIRED,
    State.PARKED: Rest.PARKED,
    State.UNRETIRABLE: Rest.UNRETIRABLE,
}


@dataclass(frozen=True, slots=True)
class Case:
    """A page, where it is in the table, and what is left to try.

    `use` and `owner` are the hypervisor's last word; `rungs` are those not yet tried; `attempts`
    counts how often the present command was given in vain, `rounds` how often the page was found
    back online; times are nanoseconds since 1970 UTC. `boot` is the boot of the host that all of
    this is about.
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
    rung: Rung | None = None
    rungs: tuple[Rung, ...] = field(default=())
    attempts: int = 0
    rounds: int = 0
    reason: str = ""
    boot: str = ""

    @property
    def rest(self) -> Rest:
        return REST.get(self.state, Rest.OPEN)


def reopened(case: Case, boot: str, now_ns: int) -> Case:
    """The case after the host rebooted: it has forgotten every mark, and every guest is another.

    What was retired is asked for again; what was known of owners is forgotten with them. Only a
    guest that may have been on disk may be there still: it is restored first.
    """
    on_disk = case.state in {State.SAVING, State.RESTORING}
    return Case(
        case.id,
        case.mfn,
        case.opened_at_ns,
        now_ns,
        verdict=case.verdict,
        dimm=case.dimm,
        reason="the host rebooted",
        boot=boot,
        state=State.RESTORING if on_disk else State.OPEN,
    )


def open_case(case_id: str, verdict: Verdict, now_ns: int, boot: str = "") -> Case:
    return Case(
        case_id, verdict.mfn, now_ns, now_ns, verdict=verdict.reason, dimm=verdict.dimm, boot=boot
    )


def advance(
    case: Case, outcome: Outcome, now_ns: int, allowed: tuple[Rung, ...] = tuple(Rung)
) -> Case:
    """The case after `outcome`.

    Raises:
        KeyError: for an outcome that has no row in this state: a broken promise of the driver's.
    """
    if isinstance(outcome, NoAnswer):
        return replace(case, attempts=case.attempts + 1, reason=outcome.reason)
    if isinstance(outcome, TryAgain) and case.attempts >= ATTEMPTS_MAX:
        outcome = Failed(outcome.reason)
    target = TRANSITIONS[case.state][type(outcome)]
    case = _informed(case, outcome, allowed)
    if isinstance(outcome, BackOnline):
        return _at_next_round(case, now_ns)
    return _at_next_rung(case, now_ns) if isinstance(target, Choice) else _at(case, target, now_ns)


def _at_next_round(case: Case, now_ns: int) -> Case:
    """Ask for the page once more, each time after a longer wait, and not for ever."""
    rounds = case.rounds + 1
    if rounds > ROUNDS_MAX:
        parked = replace(case, reason="whenever it is taken, somebody brings it back online")
        return _at(parked, State.PARKED, now_ns)
    return replace(_at(case, State.OPEN, now_ns), rounds=rounds, attempts=rounds)


def _informed(case: Case, outcome: Outcome, allowed: tuple[Rung, ...]) -> Case:
    """What the outcome says of the page and its owner, written into the case."""
    if isinstance(outcome, Held):
        is_new = case.state is State.OPEN or outcome.use is not case.use
        rungs = rungs_for(outcome.use, allowed) if is_new else case.rungs
        return replace(case, use=outcome.use, owner=outcome.owner, rungs=rungs, reason="")
    if isinstance(outcome, Offlined):
        return replace(case, use=case.use or outcome.use, reason="")
    return replace(case, reason=getattr(outcome, "reason", ""))


def _at_next_rung(case: Case, now_ns: int) -> Case:
    if not case.rungs:
        return _at(replace(case, reason=case.reason or _nothing_left(case)), State.PARKED, now_ns)
    rung, *left = case.rungs
    return _at(replace(case, rung=rung, rungs=tuple(left)), FIRST_STATE[rung], now_ns)


def _nothing_left(case: Case) -> str:
    tried = "no rung is left to try" if case.rung else "no rung for this use is allowed"
    return f"{tried}: {case.use or PageUse.UNKNOWN} page"


def _at(case: Case, target: State, now_ns: int) -> Case:
    if target is case.state:
        return replace(case, attempts=case.attempts + 1)
    return replace(case, state=target, moved_at_ns=now_ns, attempts=0)


def retry_delay_seconds(case: Case, first: float, most: float) -> float:
    """How long to wait before the next command: doubling, bounded, and spread by up to a half.

    The spread comes from the case's own name, so that a replay waits exactly as long.
    """
    if case.attempts == 0:
        return 0.0
    spread = 1 + crc32(f"{case.id}/{case.attempts}".encode()) / (1 << 33)
    return min(most, first * 2.0 ** min(case.attempts - 1, 32) * spread)
