"""`--from file:PATH`: a log that is written to, through every rotation.

    renamed away    read to its end, then whatever came after it, up to the new file; but not left
                    while that is empty: who writes it may not know yet
    copied away     (copytruncate) the copy is found by its content, read to its end, then the file
    emptied         what was written since the last look is gone: told, and read from the start
    not there yet   waited for

Only whole lines are read. The last one of a file that was left behind counts as whole when it has
not grown for a while. One thing cannot be seen: that a log of which nothing was read yet was copied
away and emptied while nobody looked.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

from agent.adapters.sources.log_file import FilePlace, LogFile
from agent.adapters.sources.port import MUCH, POLL_SECONDS, Piece, Tell
from agent.adapters.sources.rotation import generations, successor
from agent.contract.errors import AgentError
from agent.telemetry.window import Line

LINGER_SECONDS = 1.0  # after it was renamed: who writes it notices that later


class FileSource:
    """Lines of the log at `path`."""

    forgets = False

    def __init__(self, path: Path, tell: Tell) -> None:
        self.name = f"file:{path.absolute()}"
        self._path = path
        self._tell = tell
        self._told = ""
        self._file: LogFile | None = None

    async def begin(self, mark: str | None) -> bool:
        """Find the file that has the place, under whatever name it is now."""
        self._check_usable()
        if mark is None:
            return True
        place = FilePlace.parse(mark)
        self._file = await asyncio.to_thread(self._holder_of, place) if place else None
        if self._file is None:
            self._say(
                f"{self._path}: what was read last is in no file that is left; "
                "what was written after it until now may be missing"
            )
        return self._file is not None

    async def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _check_usable(self) -> None:
        try:
            file = LogFile(self._path)
        except FileNotFoundError:
            self._say(f"{self._path}: not there yet, waiting for it")
            return
        except OSError as error:
            raise AgentError(f"{self._path}: {error.strerror or error}") from None
        file.close()
        if not file.is_regular:
            raise AgentError(
                f"{self._path}: not a regular file, so that it cannot be read again after a stop; "
                "have it written to one"
            )

    async def pieces(self) -> AsyncGenerator[Piece[Line], None]:
        while True:
            piece = await asyncio.to_thread(self._look)
            yield piece
            if len(piece.items) < MUCH and piece.begins is None:
                await asyncio.sleep(POLL_SECONDS)

    def _look(self) -> Piece[Line]:
        """What there is now, and on to the next file where this one is done with."""
        try:
            return self._read()
        except OSError as error:
            self._say(f"{self._path}: {error.strerror or error}; trying again")
            return Piece()

    def _read(self) -> Piece[Line]:
        if self._file is None:
            return self._open()
        if not self._file.is_as_read:
            return self._replaced(self._file)
        lines = self._file.read()
        if lines:
            return Piece(lines)
        after = successor(self._path, self._file.id, self._file.modified_ns)
        return Piece(ends=True) if after is None else self._leave(self._file, after)

    def _open(self) -> Piece[Line]:
        """The file from its start, if it is there."""
        with suppress(FileNotFoundError):
            self._file = LogFile(self._path)
            self._told = ""
            return Piece(begins=self._file.mark)
        return Piece(ends=True)

    def _leave(self, file: LogFile, after: Path) -> Piece[Line]:
        """Go on to `after`, but not before nobody has written to this one for a while."""
        if after == self._path and after.stat().st_size == 0:
            return Piece(ends=True)
        quiet_ns = time.time_ns() - file.changed_ns
        if 0 <= quiet_ns < LINGER_SECONDS * 1_000_000_000:
            return Piece()
        following = LogFile(after)  # before the rest is taken, which is taken only once
        rest = file.rest()
        self._go_on_with(file, following)
        return Piece(rest) if rest else self._read()

    def _replaced(self, file: LogFile) -> Piece[Line]:
        """It is not what was read any more: go on in a copy, or from the start."""
        place = FilePlace.parse(str(file.mark))
        copy = self._holder_of(place) if place else None
        if copy is None:
            self._say(
                f"{self._path}: emptied or written anew, and no copy of it is left: "
                "what was written to it last may be missing"
            )
        after = copy or LogFile(self._path)
        self._go_on_with(file, after)
        return Piece(begins=None if copy else after.mark)

    def _go_on_with(self, file: LogFile, after: LogFile) -> None:
        self._file = after
        file.close()

    def _holder_of(self, place: FilePlace) -> LogFile | None:
        """The newest file that has what was read up to `place`."""
        candidates = (LogFile.at(path, place) for path, _ in reversed(generations(self._path)))
        return next((file for file in candidates if file is not None), None)

    def _say(self, text: str) -> None:
        if text != self._told:
            self._tell(text)
        self._told = text
