"""What a step can come to. Each is a value with its own row in `table.py`.

Nothing here is an error: trouble that is expected is an outcome, and every outcome that moves a
case is written into the journal before the next step begins.
"""

from dataclasses import dataclass

from agent.contract.frames import DomId
from agent.contract.hypercall import PageUse
from agent.retirement.reason import Reason


@dataclass(frozen=True, slots=True)
class Guest:
    """What the toolstack says of a page's owner.

    `name` outlives its domid, `size` is how many pages it has. `is_alive`: neither crashed nor
    dying. `has_room`: the host has a page free that could take the place of one of its own.
    `may_leave`: there is a place configured that it could migrate to, and that place has room.
    """

    name: str = ""
    is_alive: bool = True
    devices: tuple[str, ...] = ()
    may_leave: bool = False
    has_room: bool = True
    size: int = 0


UNLISTED = Guest()  # an owner that the toolstack does not know, or was not asked about


@dataclass(frozen=True, slots=True)
class Offlined:
    """The page is out of use now. `use` is what it was used for, where the hypervisor says so."""

    use: PageUse | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """The page is marked and leaves when its owner, and all who map it, let go of it."""

    use: PageUse
    owner: DomId | None
    mappers: tuple[DomId, ...] = ()
    guest: Guest = UNLISTED


@dataclass(frozen=True, slots=True)
class BackOnline:
    """The page is in use and not marked: somebody cancelled the request, or the host rebooted."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An operator asks for the page, whatever was found of it before. Nothing was asked yet."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """An operator wants the page back in use. Nothing was asked yet."""


@dataclass(frozen=True, slots=True)
class CameLate:
    """A request that nobody had answered has marked the page, after it was given back."""

    detail: str = ""
    reason: Reason = Reason.CAME_LATE


@dataclass(frozen=True, slots=True)
class Returned:
    """The page is in use again, or may be, and is not marked: as was asked for."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The page is out of use and stays so, whoever wants it back."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was done, and asking again will not help."""

    reason: Reason = Reason.REFUSED
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NotNow:
    """Nothing was done; it may be possible one day (dom0 must let go of the page by itself)."""

    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Postponed:
    """Nothing was done: the guest may be stopped, but not at this hour, or not so often."""

    reason: Reason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """The page was looked at, and not asked for. `held` is how it would be held if it were."""

    held: Held


@dataclass(frozen=True, slots=True)
class Done:
    """The command did what it says. `pause_seconds` is there when it ended a guest's pause."""

    pause_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Spared:
    """Nothing was done, and another page of the same call is to blame: ask again without that."""


@dataclass(frozen=True, slots=True)
class Failed:
    """It was tried, and everything is where it was."""

    reason: Reason = Reason.FAILED
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Not at this moment."""

    reason: Reason = Reason.TRY_AGAIN
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Damaged:
    """It failed half-way: nobody knows where the guest's page is."""

    detail: str = ""
    reason: Reason = Reason.MAY_BE_DAMAGED


@dataclass(frozen=True, slots=True)
class Gone:
    """The domain that was asked is not there any more: overtaken by events, so look again."""

    detail: str = ""
    reason: Reason = Reason.GUEST_LEFT


@dataclass(frozen=True, slots=True)
class Ended:
    """The guest is in no domain, and has been in none for so long that it will not come back."""

    detail: str = ""
    reason: Reason = Reason.GUEST_LEFT


@dataclass(frozen=True, slots=True)
class Overtaken:
    """Nothing was asked for this case: a stop for other pages took its guest out of its domain."""

    detail: str = ""
    reason: Reason = Reason.GUEST_LEFT


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nobody knows what happened, so the same command is given again."""

    detail: str = ""
    reason: Reason = Reason.NO_ANSWER


Outcome = (
    Offlined
    | Held
    | BackOnline
    | Asked
    | Recalled
    | CameLate
    | Returned
    | Kept
    | Refused
    | NotNow
    | Postponed
    | Seen
    | Done
    | Spared
    | Failed
    | TryAgain
    | Damaged
    | Gone
    | Ended
    | Overtaken
    | NoAnswer
)
