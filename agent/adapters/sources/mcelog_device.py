"""`--from mcelog-device`: the machine checks that Linux, or Xen's dom0, keeps in /dev/mcelog.

To read it is to empty it. So what was read is written down as it is, before anybody has a look at
it, and decoded from there; and it is read on even where there is no room for more, because the
kernel keeps 32 records and drops the next. It says so, once, by a flag that is told. One moment
cannot be survived: a kill between the device's answer and the commit.

Records without a time of their own (Xen's have none) get that at which they were read.
"""

import asyncio
import errno
import fcntl
import os
import struct
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from agent.adapters.sources.port import Piece, Tell
from agent.adapters.sources.reader import Row
from agent.adapters.spool import Received
from agent.contract.errors import AgentError
from agent.telemetry import mce_struct
from agent.telemetry.prefixes import Unsaid
from agent.telemetry.record import Outcome, Refused
from agent.telemetry.source import Stream

DEVICE = Path("/dev/mcelog")
POLL_SECONDS = 1.0
ROWS_MAX = 256  # in one piece

# _IOR('M', n, int) of <asm/mce.h>
_GET_RECORD_LEN, _GET_LOG_LEN, _GETCLEAR_FLAGS = 0x80044D01, 0x80044D02, 0x80044D03
_OVERFLOW = 1

_WHY_NOT = {
    errno.ENOENT: "this kernel has no such device; on a host without Xen, use --from journal",
    errno.EBUSY: "another program reads it: stop mcelog, whose records would be missing here",
    errno.EACCES: "only root may read it",
    errno.EPERM: "only root may read it",
}


T = TypeVar("T")


class Device(Protocol):
    """The open device; each call may raise `OSError`."""

    def record_bytes(self) -> int: ...

    def log_records(self) -> int: ...

    def overflowed(self) -> bool:
        """Whether records were dropped since this was asked last."""
        ...

    def read(self, size: int) -> bytes:
        """All that there is, if `size` has room for a whole log."""
        ...

    def close(self) -> None: ...


class CharacterDevice:
    """The device at `path`."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def record_bytes(self) -> int:
        return self._ask(_GET_RECORD_LEN)

    def log_records(self) -> int:
        return self._ask(_GET_LOG_LEN)

    def overflowed(self) -> bool:
        return bool(self._ask(_GETCLEAR_FLAGS) & _OVERFLOW)

    def read(self, size: int) -> bytes:
        try:
            return os.read(self._fd, size)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        os.close(self._fd)

    def _ask(self, what: int) -> int:
        (value,) = struct.unpack("i", fcntl.ioctl(self._fd, what, struct.pack("i", 0)))
        return int(value)


class Inbox(Protocol):
    """Where what was read is safe."""

    async def receive(self, source: str, records: Sequence[bytes]) -> None:
        """Return only once they would survive a power cut."""
        ...

    async def received(self, after: int, limit: int) -> list[Received]: ...


class DeviceSource:
    """Records of the device, by way of the inbox."""

    forgets = True

    def __init__(
        self,
        path: Path,
        inbox: Inbox,
        tell: Tell,
        unsaid: Callable[[], Unsaid],
        open_device: Callable[[Path], Device] = CharacterDevice,
    ) -> None:
        self.name = f"mcelog-device:{path}"
        self._path = path
        self._inbox = inbox
        self._tell = tell
        self._unsaid = unsaid
        self._open_device = open_device
        self._device: Device | None = None
        self._length = self._size = 0
        self._after = 0

    async def begin(self, mark: str | None) -> bool:
        self._after = int(mark or 0)
        try:
            device = self._device = self._open_device(self._path)
            self._length = device.record_bytes()
            self._size = self._length * device.log_records()
        except OSError as error:
            why = _WHY_NOT.get(error.errno or 0, error.strerror)
            raise AgentError(f"{self._path}: cannot be read: {why}") from None
        return True

    async def close(self) -> None:
        if self._device is not None:
            self._device.close()

    async def pieces(self) -> AsyncGenerator[Piece[Row], None]:
        while True:
            count = await _whole(self._empty())
            rows = [self._row(each) for each in await self._inbox.received(self._after, ROWS_MAX)]
            if rows:
                self._after = rows[-1].number
            yield Piece(rows, ends=not (rows or count))
            if not (rows or count):
                await asyncio.sleep(POLL_SECONDS)

    async def _empty(self) -> int:
        """Bring what is in the device to safety; how many records that were."""
        device = self._device
        if device is None:
            return 0
        try:
            log = await asyncio.to_thread(device.read, self._size)
            if device.overflowed():
                self._tell(f"{self._path} was full: errors were dropped before they could be read")
        except OSError as error:
            raise AgentError(f"{self._path}: {error.strerror or error}") from None
        records = [log[at : at + self._length] for at in range(0, len(log), self._length)]
        if records:
            await self._inbox.receive(self.name, records)
        return len(records)

    def _row(self, received: Received) -> Row:
        unsaid = replace(self._unsaid(), record_bytes=len(received.record), boot_ns=received.at_ns)
        return Row(_decoded(received.record, unsaid), str(received.id), received.id)


async def _whole(work: Coroutine[Any, Any, T]) -> T:
    """What `work` comes to. Told to stop meanwhile, finish first: what was read is nowhere else."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


def _decoded(record: bytes, unsaid: Unsaid) -> Outcome:
    if len(record) < mce_struct.RECORD_BYTES_MIN:
        return Refused(1, f"{len(record)} bytes, too few for a record")
    return next(mce_struct.decode(Stream(record), unsaid))
