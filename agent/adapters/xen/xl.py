"""The program `xl`: run once, with a deadline, and what it said.

A question that is late is ended. A command about a guest is not: cut off in the middle, a save
leaves its guest suspended for good. It goes on, who waited is told `Unreachable`, and who gives the
same command again waits for the same run; another command for that guest waits its turn.

So does one that an agent before us has left running, or an operator has: two saves of one guest at
once would lose it. Who runs is seen in `/proc`, by its arguments.

What it says goes into files and not through pipes: `xl restore` leaves a child behind that watches
the guest, and a pipe would not end before that does.
"""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from agent.contract.errors import PeerError, Unreachable

SAID_BYTES_MAX = 4 << 20
C_LOCALE = {"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


COMMANDS = frozenset({"save", "restore", "migrate", "pci-attach", "pci-detach"})


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


Started = tuple[str, asyncio.Task[Ran]]  # the command's word, and its run


@dataclass(slots=True)
class Xl:
    """`question_seconds` is the deadline of a question, `command_seconds` that of a command."""

    question_seconds: float
    command_seconds: float
    program: Sequence[str] = ("xl",)
    environment: Mapping[str, str] = field(default_factory=lambda: C_LOCALE)
    processes: Path = Path("/proc")
    _under_way: dict[str, Started] = field(default_factory=dict[str, Started])

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

    async def command(self, about: str, *arguments: str) -> Ran:
        """How a command ended that is about a domain's id, or an image's path: one of `arguments`.

        Raises:
            Unreachable: if it is still under way, or another one is.
        """
        if about not in self._under_way and (word := self._run_by_others(about)):
            raise Unreachable(f"xl {word} {about}, of somebody else, is under way")
        word, task = self._under_way.get(about) or self._begin(about, arguments)
        if word == arguments[0]:
            await asyncio.wait({task}, timeout=self.command_seconds)
        if not task.done():
            raise Unreachable(f"xl {word} is still under way")
        del self._under_way[about]
        if word != arguments[0]:  # an earlier one, that has ended since: look again
            raise Unreachable(f"xl {word} has ended meanwhile")
        return task.result()

    def is_busy(self, about: str) -> bool:
        """True while a command about it is under way, whoever gave it."""
        if about in self._under_way:
            return not self._under_way[about][1].done()
        return bool(self._run_by_others(about))

    def _begin(self, about: str, arguments: tuple[str, ...]) -> Started:
        name = f"xl {arguments[0]}"
        task = asyncio.create_task(self._run(arguments, ends_with_us=False), name=name)
        self._under_way[about] = arguments[0], task
        return self._under_way[about]

    def _run_by_others(self, about: str) -> str:
        """The word of a command about it that some process carries out; empty if none does."""
        for path in self.processes.glob("[0-9]*/cmdline"):
            with suppress(OSError):
                program, *arguments = path.read_bytes().decode(errors="replace").split("\0")
                word = arguments[0] if arguments and Path(program).name == "xl" else ""
                if word in COMMANDS and about in arguments[1:]:
                    return word
        return ""

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
