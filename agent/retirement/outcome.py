"""What a step can come to. Each is a value with its own row in the table of `case.py`.

Nothing here is an error: trouble that is expected is an outcome, and every outcome of every step is
written into the journal before the next step begins.
"""

from dataclasses import dataclass

from agent.contract.frames import DomId
from agent.contract.hypercall import PageUse


@dataclass(frozen=True, slots=True)
class Offlined:
    """The page is out of use now. `use` is what it was used for, where the hypervisor says so."""

    use: PageUse | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """The page is marked and leaves when its owner lets go of it."""

    use: PageUse
    owner: DomId | None


@dataclass(frozen=True, slots=True)
class BackOnline:
    """The page is in use and not marked: somebody cancelled the request, or the host rebooted."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was done, and asking again will not help."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotNow:
    """Nothing was done; it may be possible one day (dom0 must let go of the page by itself)."""

    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """The command did what it says. `pause_seconds` is there when it ended a guest's pause."""

    pause_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """It was tried, and everything is where it was."""

    reason: str


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Not at this moment."""

    reason: str


@dataclass(frozen=True, slots=True)
class Damaged:
    """It failed half-way: nobody knows where the guest's page is."""

    reason: str


@dataclass(frozen=True, slots=True)
class Gone:
    """The domain is not there any more: overtaken by events, so look again."""

    reason: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Nobody knows what happened, so the same command is given again."""

    reason: str


Outcome = (
    Offlined
    | Held
    | BackOnline
    | Refused
    | NotNow
    | Done
    | Failed
    | TryAgain
    | Damaged
    | Gone
    | NoAnswer
)
