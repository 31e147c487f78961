"""How much may be retired at all. Caps stand above the ladder.

A host whose pages go bad by the thousand does not need thousands of holes, it needs a new DIMM:
past the cap the answer is a refusal with a reason, a metric and an alert.
"""

from dataclasses import dataclass

from agent.contract.hypercall import Refusal


@dataclass(frozen=True, slots=True)
class Caps:
    """`pages_max` counts every page that is retired, parked or on its way."""

    pages_max: int

    def refusal(self, pages_taken: int) -> Refusal | None:
        """Why one page more may not be taken, if it may not."""
        return Refusal.RETIRED_MEMORY_CAP if pages_taken >= self.pages_max else None


def pages_of(frames: int, fraction: float) -> int:
    """`fraction` of a host's frames, and at least one."""
    return max(1, int(frames * fraction))
