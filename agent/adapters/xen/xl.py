"""The program `xl`: run once, with a deadline, and what it said.

A question that is late is ended. A command about a guest is not: cut off in the middle, a save
leaves its guest suspended for good. It goes on, who waited is told `Unreachable`, and who gives the
same command again waits for the same run; another command for that guest waits its turn.

What it says goes into files and not through pipes: `xl restore` leaves a child behind that watches
the guest, and a pipe would not end before that does.
"""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO

from agent.contract.errors import PeerError, Unreachable
from agent.contract.frames import DomId

SAID_BYTES_MAX = 4 << 20
C_LOCALE = {"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


@dataclass(frozen=True, slots=True)
class Ran:
    """How it ended. `why` is its last line on stderr, or on stdout, for people."""

    code: int
    out: str = ""
    err: str = ""

    @property
    def why(self) -> str:
        said = [line.strip() for line in (self.err or self.out).splitlines() if line.strip()]
        return said[-1][:200] if said else f"exit code {self.code}"


@dataclass(slots=True)
class Xl:
    """`question_seconds` is the deadline of a question, `command_seconds` that of a command."""

    question_seconds: float
    command_seconds: float
    program: Sequence[str] = ("xl",)
    environment: Mapping[str, str] = field(default_factory=lambda: C_LOCALE)
    _under_way: dict[DomId | str, tuple[tuple[str, ...], asyncio.Task[Ran]]] = field(
        default_factory=dict[DomId | str, tuple[tuple[str, ...], asyncio.Task[Ran]]]
    )

    async def ask(self, *arguments: str) -> str:
        """What a question that changes nothing is answered.

        Raises:
            Unreachable: if it is not answered in time.
            PeerError: if it is answered by an error.
        """
        try:
            async with asyncio.timeout(self.question_seconds):
                ran = await self._run(arguments, ends_with_us=True)
        except TimeoutError:
            raise Unreachable(
                f"xl {arguments[0]}: no answer in {self.question_seconds:g} s"
            ) from None
        if ran.code:
            raise PeerError(f"xl {arguments[0]}: {ran.why}")
        return ran.out

    async def command(self, about: DomId | str, *arguments: str) -> Ran:
        """How a command about a domain, or an image, ended. `arguments` may change from one try to
        the next only after the first, which names the command.

        Raises:
            Unreachable: if it is still under way, or another one is.
        """
        given, task = self._under_way.get(about) or self._begin(about, arguments)
        if given[0] == arguments[0]:
            await asyncio.wait({task}, timeout=self.command_seconds)
        if not task.done():
            raise Unreachable(f"xl {given[0]} is still under way")
        del self._under_way[about]
        if given[0] != arguments[0]:  # an earlier one, that has ended since: look again
            raise Unreachable(f"xl {given[0]} has ended meanwhile")
        return task.result()

    def is_busy(self, about: DomId | str) -> bool:
        """True while a command about it is under way."""
        return about in self._under_way and not self._under_way[about][1].done()

    def _begin(
        self, about: DomId | str, arguments: tuple[str, ...]
    ) -> tuple[tuple[str, ...], asyncio.Task[Ran]]:
        task = asyncio.create_task(
            self._run(arguments, ends_with_us=False), name=f"xl {arguments[0]}"
        )
        self._under_way[about] = arguments, task
        return arguments, task

    async def _run(self, arguments: Sequence[str], *, ends_with_us: bool) -> Ran:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = await self._started(arguments, out, err)
            try:
                code = await process.wait()
            finally:
                if ends_with_us and process.returncode is None:
                    process.kill()
                    await process.wait()
            return Ran(code, _said(out), _said(err))

    async def _started(
        self, arguments: Sequence[str], out: IO[bytes], err: IO[bytes]
    ) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *self.program,
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=self.environment,
                start_new_session=True,  # a Ctrl-C that is meant for us ends no save
            )
        except OSError as error:
            raise Unreachable(
                f"{self.program[0]} cannot be run: {error.strerror}: install xen-utils"
            ) from None


def _said(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(SAID_BYTES_MAX).decode(errors="replace")
