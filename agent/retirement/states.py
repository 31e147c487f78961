"""Where a case can be. A state names the command that is given next.

It is written down before the command is given. A power cut anywhere therefore leaves a case that
says what may have happened, and since every command may be given twice, picking it up means giving
it again. What follows from an answer is in `table.py`.

PARKED is not given up. The page stays marked, is watched, and is retired when it is freed.
POSTPONED is watched too: its guest may be stopped again at another hour. FOUND is a page that
somebody else has marked: it is watched as well, and no guest is touched for it. OBSERVED is where a
page rests that is only looked at.
"""

from enum import StrEnum

from agent.contract.status import Rest
from agent.retirement.ladder import Rung


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
    FOUND = "found"
    RETURNING = "returning"
    RETIRED = "retired"
    UNRETIRABLE = "unretirable"
    RETURNED = "returned"

    @property
    def is_final(self) -> bool:
        """True when nothing follows of itself: only an operator, or others, will change it."""
        return self in {State.RETIRED, State.UNRETIRABLE, State.RETURNED}

    @property
    def takes_a_page(self) -> bool:
        """True while the page is out of use, or may be before long."""
        return self not in {State.UNRETIRABLE, State.RETURNED}

    @property
    def is_at_rest(self) -> bool:
        """True when nothing is under way: final, or only watched."""
        return self.is_final or self in WATCHED or self is State.OBSERVED

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

# Whose command takes the page itself.
ASKING = frozenset({State.OPEN, State.PARKED})

# At rest, and looked at now and then.
WATCHED = frozenset({State.PARKED, State.POSTPONED, State.FOUND})

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

# Where a guest may be on disk, under the name that was written down before it was saved.
MAY_HAVE_IMAGE = frozenset({State.SAVING, State.BACKING_OUT, State.RESTORING})

# Where a device may be detached. Every way out of here that leaves one detached leads to ATTACHING.
BETWEEN_DETACH_AND_ATTACH = BEGINNING | STOPPING | {State.SWAPPING, State.ATTACHING}

REST: dict[State, Rest] = {
    State.RETIRED: Rest.RETIRED,
    State.PARKED: Rest.PARKED,
    State.FOUND: Rest.PARKED,
    State.UNRETIRABLE: Rest.UNRETIRABLE,
    State.RETURNED: Rest.RETURNED,
    State.OBSERVED: Rest.OBSERVED,
}
