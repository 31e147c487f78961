"""What happens in a bridge, for those who watch: log, metrics, the summary at the end."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class PieceTaken:
    """Part of the source was read and written down. `items` are its lines or records."""

    items: int
    ereports: int = 0
    errors: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class LineRefused:
    """A line, or record, that speaks of a memory error and could not be read."""

    source: str
    number: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class SourceTold:
    """What an operator should know of a source."""

    source: str
    text: str


@dataclass(frozen=True, slots=True)
class ErrorsLost:
    """There was no room for these ereports any more: the agent will miss their numbers."""

    ereports: int


@dataclass(frozen=True, slots=True)
class NumbersTaken:
    """The agent has applied more of a boot than was ever numbered here: another life did that."""

    boot_id: UUID
    applied: int
    numbered: int


@dataclass(frozen=True, slots=True)
class Connected:
    url: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A connection ended, or did not come about; it is tried again."""

    url: str
    reason: str


@dataclass(frozen=True, slots=True)
class Troubled:
    """What the agent said made no sense."""

    reason: str


@dataclass(frozen=True, slots=True)
class Published:
    """The broker took this many ereports, some of them perhaps once more."""

    ereports: int


@dataclass(frozen=True, slots=True)
class AgentApplied:
    """The agent has applied this many more of the ereports that were kept here."""

    ereports: int


@dataclass(frozen=True, slots=True)
class Beat:
    """How things are: said every second. `oldest_ns` is of what is not applied."""

    kept: int
    is_full: bool
    is_connected: bool
    oldest_ns: int | None
    now_ns: int

    @property
    def behind_seconds(self) -> float:
        """How long the oldest ereport that is not applied has been waiting."""
        return 0.0 if self.oldest_ns is None else max(self.now_ns - self.oldest_ns, 0) / 1e9


Event = (
    PieceTaken
    | LineRefused
    | SourceTold
    | ErrorsLost
    | NumbersTaken
    | Connected
    | Disconnected
    | Troubled
    | Published
    | AgentApplied
    | Beat
)
Observer = Callable[[Event], None]
