"""One open log file at a place in it: whole lines out, and is it still what was read?

A place is an offset, and what stood right before it. By that it is found again when the file was
renamed or copied away, and by that it shows when the file was emptied and written anew, even if it
has grown past the place since.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from stat import S_ISREG
from typing import Annotated, Self

from pydantic import Field, ValidationError

from agent.contract.ereport import Wire
from agent.telemetry.lines import LINE_BYTES_MAX
from agent.telemetry.window import Line

CHUNK_BYTES = 64 << 10
CHECK_BYTES = 256  # before a place; a line with its date is shorter

FileId = tuple[int, int]  # device and inode
Natural = Annotated[int, Field(ge=0)]


class FilePlace(Wire):
    """A place as it is written down."""

    device: Natural
    inode: Natural
    offset: Natural
    line: Natural
    check: str

    @classmethod
    def parse(cls, text: str) -> "FilePlace | None":
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            return None


@dataclass(frozen=True, slots=True)
class FileMark:
    """Behind line number `line`; `before` is what stands there."""

    file: FileId
    offset: int
    line: int
    before: bytes

    def __str__(self) -> str:
        device, inode = self.file
        place = {"device": device, "inode": inode, "offset": self.offset, "line": self.line}
        return json.dumps(place | {"check": _check(self.before)})


class LogFile:
    """An open file, read from `offset` on. Close it."""

    def __init__(self, path: Path, offset: int = 0, line: int = 0) -> None:
        # Not to be stopped by a pipe that nobody writes to: it is refused afterwards.
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        stat = os.fstat(self._fd)
        self.is_regular = S_ISREG(stat.st_mode)
        self.id: FileId = (stat.st_dev, stat.st_ino)
        self._offset = offset
        self._line = line
        self._before = self._read_before(offset) if self.is_regular else b""
        # A place within a line is behind the part of it that was too long to keep.
        self._is_in_a_line = bool(self._before) and not self._before.endswith(b"\n")

    @classmethod
    def at(cls, path: Path, place: FilePlace) -> Self | None:
        """`path` at `place`, if what was read is there; by its content, whatever file it is."""
        try:
            file = cls(path, place.offset, place.line)
        except OSError:
            return None
        if file.is_regular and file._is_at(place):
            return file
        file.close()
        return None

    def _is_at(self, place: FilePlace) -> bool:
        if place.offset == 0:  # nothing to tell it by
            return self.id == (place.device, place.inode)
        return self.size >= place.offset and _check(self._before) == place.check

    def close(self) -> None:
        os.close(self._fd)

    @property
    def size(self) -> int:
        return os.fstat(self._fd).st_size

    @property
    def modified_ns(self) -> int:
        return os.fstat(self._fd).st_mtime_ns

    @property
    def changed_ns(self) -> int:
        """When it was written to or renamed last."""
        return os.fstat(self._fd).st_ctime_ns

    @property
    def mark(self) -> FileMark:
        """Where it is read on."""
        return FileMark(self.id, self._offset, self._line, self._before)

    @property
    def is_as_read(self) -> bool:
        """False if it was emptied, or written anew, since it was read."""
        return self.size >= self._offset and self._read_before(self._offset) == self._before

    def _read_before(self, offset: int) -> bytes:
        start = max(offset - CHECK_BYTES, 0)
        return os.pread(self._fd, offset - start, start)

    def read(self) -> list[Line]:
        """The next whole lines; none where there is only the beginning of one."""
        if self._is_in_a_line and not self._skip():
            return []
        chunk = os.pread(self._fd, CHUNK_BYTES, self._offset)
        whole = chunk[: chunk.rfind(b"\n") + 1]
        if not whole and len(chunk) == CHUNK_BYTES:
            return self._too_long(chunk)
        return list(self._lines(whole))

    def rest(self) -> list[Line]:
        """The last line, which has no end and will not get one."""
        chunk = os.pread(self._fd, CHUNK_BYTES, self._offset)
        if not chunk or self._is_in_a_line:
            return []
        return [Line(line.raw + b"\n", line.mark, line.number) for line in self._lines(chunk)]

    def _skip(self) -> bool:
        """Go behind the end of the line; false if it has none yet."""
        while chunk := os.pread(self._fd, CHUNK_BYTES, self._offset):
            end = chunk.find(b"\n") + 1
            self._go_on(chunk[: end or len(chunk)])
            if end:
                self._is_in_a_line = False
                return True
        return False

    def _too_long(self, chunk: bytes) -> list[Line]:
        """A line that fills a chunk: its beginning, which decoders see to be cut."""
        (line,) = self._lines(chunk)
        self._is_in_a_line = True
        return [Line(line.raw[: 2 * LINE_BYTES_MAX] + b"\n", line.mark, line.number)]

    def _lines(self, chunk: bytes) -> Iterator[Line]:
        for raw in _split(chunk):
            self._line += 1
            self._go_on(raw)
            mark = FileMark(self.id, self._offset, self._line, self._before)
            yield Line(raw, mark, self._line)

    def _go_on(self, read: bytes) -> None:
        self._offset += len(read)
        self._before = (self._before + read[-CHECK_BYTES:])[-CHECK_BYTES:]


def _split(chunk: bytes) -> list[bytes]:
    """The lines, their ends included: `splitlines` would end some at a lone CR too."""
    *whole, rest = chunk.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])


def _check(before: bytes) -> str:
    return blake2b(before, digest_size=16).hexdigest()
