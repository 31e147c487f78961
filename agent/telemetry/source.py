"""An input, as far as a decoder needs to know it: how it begins, and all of it, once.

Text and binary formats read its bytes in chunks. `lines` makes lines of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Protocol

from agent.telemetry.lines import lines
from agent.telemetry.prefixes import Unsaid

# Enough to get past a banner, little enough to keep.
OPENING_LINES = 100


class Source(Protocol):
    """What formats are told by and read from; a file, a pipe, or what a test made up."""

    @property
    def head(self) -> bytes:
        """The first bytes, or all of them if it is short; looking at them uses nothing up."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """All of it from the first byte on, once."""
        ...


@dataclass(frozen=True, slots=True)
class Opening:
    """How an input begins: its first bytes, and its first lines if it is text."""

    head: bytes
    lines: tuple[str, ...]
    unsaid: Unsaid


@dataclass(frozen=True, slots=True)
class Stream:
    """A source whose first chunk is its head."""

    head: bytes
    rest: Iterable[bytes] = ()

    def chunks(self) -> Iterator[bytes]:
        return chain((self.head,), self.rest)


def opening(source: Source, unsaid: Unsaid) -> Opening:
    """How `source` begins, without using it up."""
    first = islice(lines((source.head,)), OPENING_LINES)
    return Opening(source.head, tuple(first), unsaid)
