"""Who makes ereports of its own for `pagewarden feed --scenario`, and how it is found.

A package that has scenarios names a function in the entry-point group `pagewarden.sources`: it is
handed a `Wanted` and answers with a `Source`. So the agent's command feeds what it knows nothing
of, and an install without such a package is whole.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from agent.contract.columns import Batch
from agent.contract.ereport import Inventory

GROUP = "pagewarden.sources"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which scenario, drawn from which seed, and whose ereports they are to be."""

    scenario: str
    seed: int
    host: str
    boot_id: UUID


class Source(Protocol):
    """One scenario, ready to be fed. The same `Wanted` makes the same ereports, byte for byte."""

    @property
    def inventory(self) -> Inventory:
        """The memory that these ereports are about."""
        ...

    def batches(self, at_most: int) -> Iterator[Batch]:
        """All ereports, numbered from 0, at most so many in one batch."""
        ...


# Raises AgentError, in one line with the fix, where there is no such scenario.
Provider = Callable[[Wanted], Source]
