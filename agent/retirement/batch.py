"""Which cases share one stop of their guest, and which of them the next command is for.

Standing still is what a guest notices, so it stands still once for all of its bad pages: one
suspend, one exchange, one resume; one image; one detach and one attach around it all.

    in line ──► the stop ──► who is first in ORDER gets the next command, with all who stand there
       ▲                        │
       └── would begin another rung ◄──┴──► does not need the guest any more

The stop goes on for a case while its guest is in our hands. One for which nothing has been done
gets in line anew, and so does one that has come to the beginning of another rung, unless its
guest's device is detached: the same detaching serves that rung too. A page that becomes ready
meanwhile stays in line: it waits for the next stop.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from agent.contract.hypercall import PAGES_MAX
from agent.retirement.advance import advance
from agent.retirement.case import Case
from agent.retirement.ladder import Terms
from agent.retirement.outcome import Done, Gone, Outcome, Overtaken
from agent.retirement.states import FIRST_STATE, PAUSING, State
from agent.retirement.table import TRANSITIONS

Given = tuple[Case, Outcome]  # a case, and what its command came to
Move = tuple[Case, Case]  # a case before, and after

# What stands still comes first; then what helps all pages at once; a device comes back last.
ORDER: tuple[frozenset[State], ...] = (
    frozenset({State.EXCHANGING}),
    frozenset({State.RESUMING, State.BACKING_OUT}),
    frozenset({State.RESTORING}),
    frozenset({State.SAVING}),
    frozenset({State.SUSPENDING}),
    frozenset({State.MIGRATING}),
    frozenset({State.DROPPING_SHADOWS}),
    frozenset({State.DETACHING}),
    frozenset({State.SWAPPING}),
    frozenset({State.ATTACHING}),
)

# Here the guest lacks something because of us.
BRINGING_BACK = frozenset({State.RESUMING, State.BACKING_OUT, State.RESTORING, State.ATTACHING})

ONE_BY_ONE = frozenset({State.SWAPPING})

# What takes the guest out of its domain.
LEAVING = frozenset({State.SAVING, State.MIGRATING})


def key_of(case: Case) -> str:
    """Whose turn it is: the guest's name, which outlives its domid, if the toolstack has one."""
    return case.guest or f"domain {case.owner}"


def sharing(case: Case, held: Iterable[Case]) -> tuple[Case, ...]:
    """`case` and those of `held` that are in line with it, as many as one call may name."""
    others = (other for other in held if other.needs_turn and other.id != case.id)
    return (case, *(other for other in others if _of(other) == _of(case)))[:PAGES_MAX]


def stops(cases: Iterable[Case]) -> tuple[tuple[Case, ...], ...]:
    """Cases that need their guest's turn, those of one guest together, as far as one call goes."""
    return by_guest(case for case in cases if case.needs_turn)


def by_guest(cases: Iterable[Case]) -> tuple[tuple[Case, ...], ...]:
    """Those of one guest together, as far as one call goes."""
    groups = (tuple(group) for _, group in groupby(sorted(cases, key=_of), _of))
    return tuple(call for group in groups for call in calls(group))


def calls(cases: Sequence[Case]) -> tuple[tuple[Case, ...], ...]:
    """The same cases, as many at a time as one call may name."""
    return tuple(tuple(cases[at : at + PAGES_MAX]) for at in range(0, len(cases), PAGES_MAX))


def _of(case: Case) -> tuple[str, int]:
    """Whom its commands are about."""
    return key_of(case), -1 if case.owner is None else case.owner


def due(cases: Sequence[Case]) -> tuple[Case, ...]:
    """Those that the next command is for."""
    standing = next(states for states in ORDER if any(case.state in states for case in cases))
    members = tuple(case for case in cases if case.state in standing)
    members = tuple(case for case in members if case.begun) or members
    return members[:1] if standing <= ONE_BY_ONE else members


def has_moved(move: Move) -> bool:
    before, after = move
    return after.state is not before.state


def would_stop(case: Case) -> bool:
    """True if what is about to begin is a stop of the guest, or the detaching that is for one."""
    begun = case.state
    if begun is State.DETACHING and case.rungs:
        begun = FIRST_STATE[case.rungs[0]]
    return case.is_untouched and begun in PAUSING


def waits_for_device(case: Case) -> bool:
    """True if all that was done for this case is that its guest's device was detached."""
    return case.is_untouched and case.is_in_hand


def begun(cases: Sequence[Case]) -> tuple[Case, ...]:
    """Cases whose command is about to be given: if it saves the guest, with its image's name."""
    known = tuple(replace(case, begun=case.state.begins) for case in cases)
    return named(known) if known[0].state is State.SAVING else known


def named(cases: Sequence[Case]) -> tuple[Case, ...]:
    """Cases about to save their guest, with one name for its image.

    No other save has that name, so that an answer from the past is never taken for this one's.
    """
    first = cases[0]
    fresh = f"{first.id}-{first.boot[:8]}-{first.owner}"
    image = next((case.image for case in cases if case.image), fresh)
    return tuple(replace(case, image=image) for case in cases)


def moves(given: Sequence[Given], now_ns: int, terms: Terms) -> tuple[Move, ...]:
    """What each outcome makes of its case."""
    return tuple((case, advance(case, outcome, now_ns, terms)) for case, outcome in given)


def has_left(given: Iterable[Given]) -> bool:
    """True if the domain that was asked is not there any more.

    An attach asks for a guest, wherever it lives: that it is nowhere yet is no news of its domain.
    """
    return any(
        (isinstance(outcome, Gone) and case.state is not State.ATTACHING)
        or (isinstance(outcome, Done) and case.state in LEAVING)
        for case, outcome in given
    )


def overtaken(given: Sequence[Given], held: Iterable[Case], now_ns: int) -> tuple[Move, ...]:
    """What becomes of the other cases of an owner that has left."""
    members = {case.id for case, _ in given}
    return tuple(
        (case, advance(case, Overtaken(), now_ns))
        for case in held
        if case.id not in members and Overtaken in TRANSITIONS[case.state]
    )


def pauses_of(cases: Iterable[Case]) -> tuple[float, ...]:
    """How long guests stood still for these cases, in seconds and in order: a stop for many pages
    is in the case of each, and is one.
    """
    stops = {(at_ns, key_of(case), seconds) for case in cases for at_ns, seconds in case.pauses}
    return tuple(seconds for _, _, seconds in sorted(stops))
