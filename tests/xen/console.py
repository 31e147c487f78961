"""A shell at the other end of a serial line, with a deadline on everything that is asked of it.

The shell prints its prompt when it is ready. A command is sent together with an `echo` of its exit
code behind a mark, and the mark is put together by the shell, so that an echo of what was typed can
never be taken for it.
"""

import re
import select
import socket
import time
from pathlib import Path
from typing import NamedTuple

from tests.xen.trouble import LabError

PROMPT = b"LAB-READY> "
_PIECE_BYTES = 256  # a serial line has no room for more at once, and loses what it has no room for


class Answer(NamedTuple):
    code: int
    text: str


class Console:
    """All that the other side printed goes to `log`."""

    def __init__(self, path: Path, log: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._log = log.open("wb")
        self._seen = b""
        self._number = 0

    def wait_for_prompt(self, seconds: float) -> None:
        self._until(re.compile(re.escape(PROMPT)), seconds, "the first prompt")

    def run(self, command: str, seconds: float = 60.0) -> Answer:
        """Its output, both streams, and its exit code.

        Raises:
            LabError: if it does not end in time; then nothing more can be asked.
        """
        self._number += 1
        mark = f"END-{self._number}"
        self._send(f"{command}\necho E''ND-{self._number}:$?:\n".encode())
        found = self._until(re.compile(f"{mark}:(\\d+):\r*\n".encode()), seconds, command)
        text = found.string[: found.start()].replace(PROMPT, b"").replace(b"\r", b"")
        return Answer(int(found[1]), text.decode(errors="replace").strip("\n"))

    def close(self) -> None:
        self._socket.close()
        self._log.close()

    def _send(self, data: bytes) -> None:
        for begin in range(0, len(data), _PIECE_BYTES):
            self._socket.sendall(data[begin : begin + _PIECE_BYTES])

    def _until(self, wanted: re.Pattern[bytes], seconds: float, what: str) -> re.Match[bytes]:
        deadline = time.monotonic() + seconds
        while (found := wanted.search(self._seen)) is None:
            self._seen += self._more(deadline, what)
        self._seen = self._seen[found.end() :]
        return found

    def _more(self, deadline: float, what: str) -> bytes:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self._socket], [], [], left)[0]:
            raise LabError(
                f"no end of {what!r} in time; the last it printed: {self._seen[-500:]!r}"
            )
        data = self._socket.recv(65536)
        if not data:
            raise LabError(f"the machine ended while {what!r} was under way")
        self._log.write(data)
        self._log.flush()
        return data
