"""What an outcome says of the page and its guest, written into the case; no state is changed here.

What was given up in one situation (how the page is used, by whom, who maps it, which devices the
guest has) is worth another try in another one, but not for ever.
"""

from dataclasses import replace

from agent.retirement.caps import within_an_hour
from agent.retirement.case import Case
from agent.retirement.ladder import Terms, beginning, rungs_for, why_none
from agent.retirement.outcome import (
    Asked,
    BackOnline,
    Damaged,
    Done,
    Failed,
    Gone,
    Held,
    NotNow,
    Offlined,
    Outcome,
    Overtaken,
    Postponed,
    Recalled,
    Refused,
    Seen,
)
from agent.retirement.patience import ROUNDS_MAX
from agent.retirement.reason import Reason
from agent.retirement.states import FIRST_STATE, PAUSING, State

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

PAUSES_KEPT = 16  # of one case

# What a command comes to that may have stopped the guest.
MAY_HAVE_STOPPED = (Done, Gone, Refused, Failed, Damaged)


def informed(case: Case, outcome: Outcome, terms: Terms) -> Case:
    """What the outcome says of the page and its guest, written into the case."""
    match outcome:
        case Held() if case.state is State.FOUND:
            case = _held(case, outcome)
        case BackOnline() if case.state is State.FOUND:
            case = replace(case, reason=Reason.NOT_OFFLINE_PENDING, detail="")
        case Held():
            case = _seen(case, outcome, terms)
        case Seen():
            case = _looked_at(case, outcome.held, terms)
        case Offlined():
            case = replace(case, use=case.use or outcome.use, reason=None, detail="")
        case Asked():
            case = replace(case, rounds=0, reason=None, detail="")
        case NotNow() | Postponed() | Overtaken() | Recalled():
            case = _as_if_not_begun(explained(case, outcome), outcome)
        case Done() | BackOnline():
            pass
        case _:
            case = _hands_off(explained(case, outcome), outcome)
    return case


def paused(case: Case, outcome: Outcome, now_ns: int) -> Case:
    """With the pause that the command may have been, if it was to be one; and with how long it was,
    if it is over.
    """
    if isinstance(outcome, Done) and outcome.pause_seconds is not None:
        pauses = (*case.pauses, (now_ns, outcome.pause_seconds))
        case = replace(case, pauses=pauses[-PAUSES_KEPT:])
    if case.state not in PAUSING or not isinstance(outcome, MAY_HAVE_STOPPED):
        return case
    recent = within_an_hour((*case.paused_at_ns, now_ns), now_ns)
    return replace(case, paused_at_ns=tuple(sorted(recent)))


def _looked_at(case: Case, held: Held, terms: Terms) -> Case:
    """With what would be done about the page, if it were not only looked at."""
    rungs = rungs_for(held, terms)
    return replace(
        _held(case, held),
        rung=None,
        rungs=rungs,
        tried=(),
        reason=Reason.OBSERVING,
        detail=f"{held.use}: {beginning(held.use, rungs)}",
    )


def _held(case: Case, held: Held) -> Case:
    """With who holds the page now."""
    return replace(
        case,
        use=held.use,
        owner=held.owner,
        mappers=held.mappers,
        guest=held.guest.name,
        devices=held.guest.devices,
        size=held.guest.size,
    )


def explained(case: Case, outcome: Outcome) -> Case:
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
        _held(case, held),
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
