"""How the toolstack misbehaves when it is told to.

An outcome set here is answered without doing anything, even `done`. What fails half-way was really
begun: an exchange trips in the middle, and is undone or cannot be; a save leaves its guest stopped,
and no image.
"""

from dataclasses import dataclass

from agent.contract.toolstack import ResumePath, ToolCall, ToolOutcome
from emulator.xen.moving import Step, Trip

TORN = Trip(Step.RETARGET, is_final=True)


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is to go wrong, until it is set otherwise. None: nothing.

    `exchange` may be GUEST_MAY_BE_DAMAGED: then the guest is torn at the page tables. A `trip` says
    where else. `half_way` are calls that stop in the middle.
    """

    suspend: ToolOutcome | None = None
    exchange: ToolOutcome | None = None
    resume: ToolOutcome | None = None
    save: ToolOutcome | None = None
    restore: ToolOutcome | None = None
    force_resume_path: ResumePath | None = None
    trip: Trip | None = None
    half_way: frozenset[ToolCall] = frozenset()

    @property
    def exchange_trip(self) -> Trip | None:
        return TORN if self.exchange is ToolOutcome.GUEST_MAY_BE_DAMAGED else self.trip
