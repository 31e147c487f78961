"""`--from journal`: the kernel's messages out of systemd's journal, which `journalctl` hands out.

    journalctl --output=json --all --follow --no-tail [--cursor=…] _TRANSPORT=kernel

The cursor of an entry is the place behind it, across boots: what was logged last before a reboot is
read after it, in the boot that each entry names. The first time, the boot is read from its start.
Should `journalctl` end, another one goes on behind the last entry.

`--after-cursor` would pass over an entry even where the cursor's own is not there any more (systemd
252 does). So the cursor's entry is asked for too, and passed over here if it is the first.

What it prints is hostile like any log: an entry that is not read is passed over and told.
"""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from shutil import which
from typing import Any, cast
from uuid import UUID

from agent.adapters.sources.port import MUCH, POLL_SECONDS, Piece, Tell
from agent.contract.errors import AgentError
from agent.telemetry.window import Line

PROGRAM = "journalctl"
BOOT = "boot:"  # before the boot whose start is the place: there is no cursor yet
CHUNK_BYTES = 64 << 10
ENTRY_BYTES_MAX = 1 << 20
RESTART_SECONDS = 5.0
TEXT_BYTES_MAX = 200  # of what the program said for itself last

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class JournalSource:
    """Lines of the kernel, each with its time and its boot. `follows`: wait for more at the end."""

    name = "journal"
    forgets = False

    def __init__(self, boot_id: UUID, tell: Tell, *, follows: bool = True) -> None:
        self._current = self._boot_id = boot_id
        self._tell = tell
        self._follows = follows
        self._cursor: str | None = None
        self._read_last: str | None = None
        self._number = 0
        self._process: Process | None = None
        self._said: asyncio.Task[bytes] | None = None

    async def begin(self, mark: str | None) -> bool:
        if which(PROGRAM) is None:
            raise AgentError(
                f"there is no {PROGRAM} here: systemd's journal cannot be read; "
                "use --from file:PATH with the kernel's log"
            )
        if mark is not None and mark.startswith(BOOT):
            self._boot_id = UUID(mark.removeprefix(BOOT))
        else:
            self._cursor = mark
        return mark is not None

    async def close(self) -> None:
        """Return once the program has ended, and what it said is thrown away.

        Python 3.11 does not tell of an end while a pipe is full of what nobody reads.
        """
        if self._process is not None and self._said is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            self._said.cancel()
            await asyncio.wait({self._said})
            await self._process.communicate()

    async def pieces(self) -> AsyncGenerator[Piece[Line], None]:
        if self._cursor is None:
            yield Piece(begins=f"{BOOT}{self._boot_id.hex}")
        if self._boot_id != self._current:
            async for piece in self._of_one_process(follows=False):
                yield piece
            self._boot_id = self._current
        while True:
            async for piece in self._of_one_process(follows=self._follows):
                yield piece
            while not self._follows:
                yield Piece(ends=True)
                await asyncio.sleep(POLL_SECONDS)
            await asyncio.sleep(RESTART_SECONDS)

    async def _of_one_process(self, *, follows: bool) -> AsyncGenerator[Piece[Line], None]:
        process = self._process = await asyncio.create_subprocess_exec(
            PROGRAM,
            *self._arguments(follows=follows),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
        )
        assert process.stdout is not None  # noqa: S101 - it is PIPE
        assert process.stderr is not None  # noqa: S101 - as above
        reading = _end_of(process.stderr)
        said = self._said = asyncio.create_task(reading, name="journalctl's complaints")
        try:
            rest, self._read_last = b"", self._cursor
            while (chunk := await _chunk(process.stdout)) != b"":
                *entries, rest = (rest + (chunk or b"")).split(b"\n")
                piece = Piece(self._lines(entries), ends=follows and chunk is None)
                yield piece
                if 0 < len(piece.items) < MUCH:
                    await asyncio.sleep(POLL_SECONDS)
                if len(rest) > ENTRY_BYTES_MAX:
                    rest = b""
                    self._tell(f"an entry of more than {ENTRY_BYTES_MAX} bytes is passed over")
            await process.wait()
            self._explain(process.returncode, await said, follows=follows)
        finally:
            said.cancel()

    def _arguments(self, *, follows: bool) -> Sequence[str]:
        where = (
            f"_BOOT_ID={self._boot_id.hex}" if self._cursor is None else f"--cursor={self._cursor}"
        )
        follow = ("--follow", "--no-tail") if follows else ()
        options = ("--output=json", "--all", "--quiet", "--no-pager")
        return (*options, *follow, where, "_TRANSPORT=kernel")

    def _explain(self, status: int | None, said: bytes, *, follows: bool) -> None:
        """Tell why it ended, unless it was to end.

        Raises:
            AgentError: if it ended so because it cannot read the journal at all.
        """
        text = " ".join(said.decode(errors="replace").split())
        if status or follows:
            if self._number == 0 and status:
                raise AgentError(f"{PROGRAM} cannot read the journal: {text or status}")
            self._tell(f"{PROGRAM} ended ({text or status}); going on behind its last")

    def _lines(self, entries: Sequence[bytes]) -> list[Line]:
        return [line for entry in entries if entry for line in self._lines_of(entry)]

    def _lines_of(self, entry: bytes) -> list[Line]:
        """The lines of one message: only the last one has the place behind it."""
        self._number += 1
        try:
            fields = _fields(entry)
            cursor, boot_id = str(fields["__CURSOR"]), UUID(str(fields["_BOOT_ID"]))
            texts = _message(fields.get("MESSAGE")).rstrip("\n").split("\n")
            prefix = f"{_time(fields)} {_host(fields)}kernel: "
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            self._tell(f"entry {self._number} is not one of {PROGRAM}'s: {error!r:.80}")
            return []
        if self._is_read(cursor):
            return []
        self._cursor = cursor
        raws = [f"{prefix}{text}\n".encode(errors="replace") for text in texts]
        return [
            *(Line(raw, None, self._number, boot_id) for raw in raws[:-1]),
            Line(raws[-1], cursor, self._number, boot_id),
        ]

    def _is_read(self, cursor: str) -> bool:
        """True for the entry at which we stopped; it is the first, unless it is gone."""
        expected, self._read_last = self._read_last, None
        if expected is not None and cursor != expected:
            self._tell("the entry that was read last is gone; what followed it may be missing")
        return cursor == expected


async def _chunk(stream: asyncio.StreamReader) -> bytes | None:
    """What there is; None if nothing came for a while, and nothing at all at the end."""
    try:
        async with asyncio.timeout(POLL_SECONDS):
            return await stream.read(CHUNK_BYTES)
    except TimeoutError:
        return None


async def _end_of(stream: asyncio.StreamReader) -> bytes:
    """The last that was said. All of it is read: a full pipe would stop who says it."""
    end = b""
    while chunk := await stream.read(CHUNK_BYTES):
        end = (end + chunk)[-TEXT_BYTES_MAX:]
    return end


def _fields(entry: bytes) -> dict[str, Any]:
    fields = json.loads(entry)
    if not isinstance(fields, dict):
        raise TypeError("not an object")
    return cast("dict[str, Any]", fields)


def _message(value: Any) -> str:  # noqa: ANN401 - whatever JSON holds
    """The text of a message; one that is not UTF-8 comes as a list of bytes."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        parts: list[Any] = list(value)  # pyright: ignore[reportUnknownArgumentType] # of JSON
        if all(isinstance(part, str) for part in parts):  # the field was given more than once
            return "\n".join(parts)
        return bytes(parts).decode(errors="replace")
    raise TypeError("MESSAGE is not text")


def _time(fields: dict[str, Any]) -> str:
    """When the message was written, or else when it was received, as the decoders read it."""
    stamp = fields.get("_SOURCE_REALTIME_TIMESTAMP", fields["__REALTIME_TIMESTAMP"])
    return (_EPOCH + timedelta(microseconds=int(stamp))).isoformat(timespec="microseconds")


def _host(fields: dict[str, Any]) -> str:
    host = fields.get("_HOSTNAME")
    return f"{host} " if isinstance(host, str) and host and " " not in host else ""
