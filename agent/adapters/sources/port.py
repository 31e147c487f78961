"""What every source of a real host's errors does: hand out pieces, from a place on.

A piece is what there is by now. An empty one says that there is nothing more at the moment, which
is when blocks that wait for their end are concluded. A source is asked for the next piece only when
the last one was dealt with: who does not ask makes it wait.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from agent.adapters.spool import Place
from agent.telemetry.window import Found

Item = TypeVar("Item")

POLL_SECONDS = 0.2  # between two looks at a source that cannot call

Tell = Callable[[str], None]  # what an operator should know of a source


@dataclass(frozen=True, slots=True)
class Piece(Generic[Item]):
    """`breaks` says that what comes from here on does not continue what came before."""

    items: Sequence[Item] = ()
    breaks: bool = False


class Source(Protocol[Item]):
    """Use it once: `begin`, then `pieces` until it ends (it does where it does not follow)."""

    @property
    def name(self) -> str:
        """The same in every life: what is remembered of it lies under this name."""
        ...

    @property
    def forgets(self) -> bool:
        """True if what it handed out cannot be read again, so that it must not be kept waiting."""
        ...

    async def begin(self, mark: str | None) -> bool:
        """Go to the place behind `mark` (None: the beginning). False if that is not there any more.

        Raises:
            AgentError: if it can never be read, with what would help.
        """
        ...

    def pieces(self) -> AsyncIterator[Piece[Item]]: ...


class Reader(Protocol[Item]):
    """Makes outcomes of a source's items, and knows its place. Pure."""

    @property
    def place(self) -> Place:
        """What is to be written down, so that the next life goes on from here."""
        ...

    @property
    def is_settled(self) -> bool:
        """True when to conclude would change nothing."""
        ...

    def feed(self, items: Sequence[Item]) -> list[Found]: ...

    def conclude(self) -> list[Found]:
        """What there is to say because nothing followed."""
        ...
