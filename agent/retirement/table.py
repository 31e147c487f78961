"""The case machine. This table is the whole of it; nothing else changes a state.

Whatever follows SUSPENDING passes through a resume, and whatever follows SAVING through a restore:
there is no way through the table that leaves a guest stopped, unless it is gone. An answer of
"refused" is no way out either: the command may have been given before, and its answer lost.

A guest with a device climbs the same rungs between DETACHING and ATTACHING. While `detached` names
a device, a way that leads out of the rungs leads through ATTACHING first, and then reads the page
back: where the table says PARKED, such a case attaches, looks, and is parked after that.

Only an operator takes a case out of where it rests: a page is *asked* for again, or *recalled*. For
a page that was found marked, errors of its own are a request as well. A recalled page comes back by
way of RETURNING, from any state in which its guest is in nobody's hands; a stop that has begun goes
to its end first, and so does a case that lacks a device.
"""

from enum import Enum

from agent.retirement.outcome import (
    Asked,
    BackOnline,
    CameLate,
    Damaged,
    Done,
    Ended,
    Failed,
    Gone,
    Held,
    Kept,
    NotNow,
    Offlined,
    Outcome,
    Overtaken,
    Postponed,
    Recalled,
    Refused,
    Returned,
    Seen,
    TryAgain,
)
from agent.retirement.states import State


class Choice(Enum):
    """A target that depends on the case: the next rung's first state; after the last, PARKED.

    Before a rung that touches a guest with a device stands DETACHING, and then the rung.
    """

    NEXT_RUNG = "next_rung"


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
    State.FOUND: {  # look whether a page that somebody else marked has left
        Offlined: State.RETIRED,
        Held: State.FOUND,
        BackOnline: State.RETURNED,  # whoever marked it has changed his mind
        NotNow: State.FOUND,
        Refused: State.UNRETIRABLE,
        TryAgain: State.FOUND,
        Failed: State.FOUND,
        Asked: State.OPEN,
        Recalled: State.RETURNING,
    },
    State.RETURNING: {  # bring it back into use, unless it is broken
        Returned: State.RETURNED,
        Kept: State.RETIRED,
        NotNow: State.PARKED,
        Refused: State.UNRETIRABLE,
        TryAgain: State.RETURNING,
        Failed: State.CONFIRMING,
    },
    State.RETIRED: {  # in use again though nobody asked us: ours is asked for once more
        BackOnline: State.OPEN,
        Returned: State.RETURNED,
        Recalled: State.RETURNING,
    },
    State.UNRETIRABLE: {Asked: State.OPEN, Recalled: State.RETURNING},
    # Closed: a page that goes bad again gets a case of its own.
    State.RETURNED: {CameLate: State.RETURNING},
}
