"""What follows: from a case and what its command came to, the case after that."""

from dataclasses import replace

from agent.retirement.case import Case
from agent.retirement.hearing import explained, informed, paused
from agent.retirement.ladder import Rung, Terms
from agent.retirement.outcome import BackOnline, Failed, NoAnswer, Outcome, Spared
from agent.retirement.owed import Command, Owed, with_more
from agent.retirement.patience import ROUNDS_MAX, within_patience
from agent.retirement.reason import Reason
from agent.retirement.states import (
    ASKING,
    BETWEEN_DETACH_AND_ATTACH,
    FIRST_STATE,
    MAY_HAVE_IMAGE,
    State,
)
from agent.retirement.table import TRANSITIONS, Choice

# Carried out late, these leave a guest stopped, on disk, or without its device.
MAY_COME_LATE: dict[State, Command] = {
    State.SUSPENDING: Command.SUSPEND,
    State.SAVING: Command.SAVE,
    State.DETACHING: Command.DETACH,
}


def advance(case: Case, outcome: Outcome, now_ns: int, terms: Terms | None = None) -> Case:
    """The case after `outcome`.

    Raises:
        KeyError: for an outcome that has no row in this state: a broken promise of the driver's.
    """
    if isinstance(outcome, NoAnswer) and case.state in ASKING:
        case = replace(case, unheard_ns=now_ns)
    if isinstance(outcome, Spared) or (isinstance(outcome, NoAnswer) and case.state.is_at_rest):
        return case
    terms = terms or Terms()
    outcome = within_patience(case, outcome, now_ns, terms)
    if _is_unanswered(outcome):
        case = owing(case, now_ns)
    if isinstance(outcome, NoAnswer):
        return replace(explained(case, outcome), attempts=case.attempts + 1)
    target = TRANSITIONS[case.state][type(outcome)]
    case = informed(paused(case, outcome, now_ns), outcome, terms)
    if isinstance(outcome, BackOnline) and target is State.OPEN:
        return _at_next_round(case, now_ns)
    if isinstance(target, Choice):
        case, target = _on_next_rung(case)
    return moved_to(case, target, now_ns)


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


def _at_next_round(case: Case, now_ns: int) -> Case:
    """Ask for the page once more, each time after a longer wait, and not for ever."""
    rounds = case.rounds + 1
    if rounds > ROUNDS_MAX:
        parked = replace(case, reason=Reason.COMES_BACK, detail="")
        return moved_to(parked, State.PARKED, now_ns)
    return replace(moved_to(case, State.OPEN, now_ns), rounds=rounds, attempts=rounds)


def _on_next_rung(case: Case) -> tuple[Case, State]:
    if not case.rungs:
        reason = case.hands_off or case.reason or Reason.RUNGS_TRIED
        return replace(case, reason=reason), State.PARKED
    rung, *left = case.rungs
    if case.devices and not case.detached and rung is not Rung.WAIT:
        return replace(case, detached=case.devices), State.DETACHING
    case = replace(case, rung=rung, rungs=tuple(left), tried=(*case.tried, rung))
    return case, FIRST_STATE[rung]


def moved_to(case: Case, target: State, now_ns: int) -> Case:
    """The case in that state, and whatever the move itself means for it."""
    if case.state is State.ATTACHING and target is not State.ATTACHING:
        case = replace(case, detached=())
    if case.detached and target not in BETWEEN_DETACH_AND_ATTACH:
        target = State.ATTACHING
    if target is case.state:
        return replace(case, attempts=case.attempts + 1)
    image = case.image if target in MAY_HAVE_IMAGE else ""
    return replace(case, state=target, image=image, begun=False, moved_at_ns=now_ns, attempts=0)
