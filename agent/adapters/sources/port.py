"""What every source of a real host's errors does: hand out pieces, from a place on.

A piece is what there is by now. An empty one at the end says that there is nothing more at the
moment, and comes again and again: blocks that wait for their rest are concluded when it came for
long enough. A source is asked for the next piece only when the last one was dealt with: who does
not ask makes it wait.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from agent.adapters.spool import Place
from agent.telemetry.window import Found, Mark

Item = TypeVar("Item")
Fed_contra = TypeVar("Fed_contra", contravariant=True)

POLL_SECONDS = 0.2  # between two looks, unless there was much to see
MUCH = 100  # items in a piece: there may be more already

Tell = Callable[[str], None]  # what an operator should know of a source


@dataclass(frozen=True, slots=True)
class Piece(Generic[Item]):
    """`begins` is set where it does not continue what came before: the place where it starts.

    The last item is always one behind which the source can go on. `ends`: no more is there.
    """

    items: Sequence[Item] = ()
    begins: Mark | None = None
    ends: bool = False


class Source(Protocol[Item]):
    """Use it once: `begin`, then `pieces` for as long as it is read, then `close`."""

    @property
    def name(self) -> str:
        """The same in every life: what is remembered of it lies under this name."""
        ...

    @property
    def forgets(self) -> bool:
        """True if it does not keep for us what we do not read: then it must not wait."""
        ...

    async def begin(self, mark: str | None) -> bool:
        """Go to the place behind `mark` (None: the beginning). False if that is not there any more.

        Raises:
            AgentError: if it can never be read, with what would help.
        """
        ...

    def pieces(self) -> AsyncGenerator[Piece[Item], None]:
        """Piece after piece, an empty one at least every second.

        Raises:
            AgentError: when it cannot be read any more.
        """
        ...

    async def close(self) -> None: ...


class Reader(Protocol[Fed_contra]):
    """Makes outcomes of a source's items, and knows its place. Pure."""

    @property
    def place(self) -> Place:
        """What is to be written down, so that the next life goes on from here."""
        ...

    @property
    def is_settled(self) -> bool:
        """True when to conclude would change nothing."""
        ...

    def begin(self, mark: Mark) -> list[Found]:
        """Conclude, and go on at `mark`, which is not behind what was fed last."""
        ...

    def feed(self, items: Sequence[Fed_contra]) -> list[Found]: ...

    def conclude(self) -> list[Found]:
        """What there is to say because nothing followed."""
        ...
