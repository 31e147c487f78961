"""Recordings: files that machines wrote, and standard input, as chunks of bytes.

The head of every input is read on opening, because an identity follows from it: the same
recordings, decoded twice, are the same ereports. Bytes beyond the head do not count, nor does a
file's name, so that a log which has only grown keeps its identity (once it is longer than a head).
"""

import sys
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from os import fstat
from pathlib import Path
from typing import BinaryIO
from uuid import NAMESPACE_URL, UUID, uuid5

from agent.adapters import database
from agent.contract.errors import AgentError
from agent.telemetry.rasdaemon import MAGIC, Cell

FILES_MAX = 256
HEAD_BYTES = 64 * 1024
STDIN = "-"


class Unopened(AgentError):  # noqa: N818 - read as a state of the file: `except Unopened`
    """A recording that cannot be opened: the command line named something that is not there."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One input. `modified` is when it was last written to; for a pipe, now."""

    name: str
    head: bytes
    modified: datetime
    _stream: BinaryIO

    def chunks(self) -> Iterator[bytes]:
        """All of it, once.

        Raises:
            AgentError: if it cannot be read to its end.
        """
        yield self.head
        while chunk := _read(self._stream, self.name):
            yield chunk


@dataclass(frozen=True, slots=True)
class StoredDatabase(Recording):
    """A file that is a database, and can be asked for rows instead of bytes."""

    def columns(self, table: str) -> Sequence[str]:
        return database.columns(Path(self.name), table)

    def rows(self, table: str, names: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
        return database.rows(Path(self.name), table, names)


@contextmanager
def opened(names: Sequence[str]) -> Generator[tuple[Recording, ...]]:
    """The inputs called `names`, in that order; `-` is standard input.

    Raises:
        Unopened: if one is missing, unreadable or a folder, or if there are too many.
    """
    if len(names) > FILES_MAX:
        raise Unopened(f"at most {FILES_MAX} files at once (got {len(names)})")
    if names.count(STDIN) > 1:
        raise Unopened("standard input (-) can be read only once")
    with ExitStack() as stack:
        yield tuple(_opened(name, stack) for name in names)


def identity(recordings: Sequence[Recording]) -> UUID:
    """A boot id that follows from the heads of the recordings and nothing else."""
    digests = [sha256(recording.head).hexdigest() for recording in recordings]
    return uuid5(NAMESPACE_URL, f"pagewarden:recordings:{':'.join(digests)}")


def _opened(name: str, stack: ExitStack) -> Recording:
    try:
        stream = _stream(name, stack)
        head = stream.read(HEAD_BYTES)
    except OSError as error:
        raise Unopened(f"{name}: {error.strerror or error}") from None
    except ValueError as error:  # a NUL in the name
        raise Unopened(f"{name!r}: {error}") from None
    kind = StoredDatabase if head.startswith(MAGIC) and name != STDIN else Recording
    return kind(name, head, _modified(stream, name), stream)


def _stream(name: str, stack: ExitStack) -> BinaryIO:
    return sys.stdin.buffer if name == STDIN else stack.enter_context(Path(name).open("rb"))


def _modified(stream: BinaryIO, name: str) -> datetime:
    if name == STDIN:
        return datetime.now(UTC)
    return datetime.fromtimestamp(fstat(stream.fileno()).st_mtime, UTC)


def _read(stream: BinaryIO, name: str) -> bytes:
    try:
        return stream.read(HEAD_BYTES)
    except OSError as error:
        raise AgentError(f"{name}: {error.strerror or error}") from None
