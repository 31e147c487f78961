"""A process whose power can go off at any line: at an await, or on either side of a commit.

Every task of the process runs through `Stepped`, which counts its steps, and every commit is
counted too. When the count is reached, nothing of the process goes on: whatever was not yet on the
disk, or on the wire, is gone. What Python runs on the way out (`finally` and its kin) a power cut
does not run; here it runs, and reaches nobody: the dead are not heard at any port.
"""

# ruff: noqa: ANN401 - the signatures are those of coroutines and of sqlite3

import asyncio
import sqlite3
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

THROWS_MAX = 1000  # a coroutine that catches so many power cuts never ends


class PowerCut(BaseException):
    """The power has gone off. No `except Exception` may stop it."""


class Closable(Protocol):
    def close(self) -> None: ...


@dataclass(slots=True, eq=False)
class Process:
    """One run of the agent, from its start to its end. `off_at` is the line at which it loses its
    power; None: not by itself.
    """

    number: int = 0
    off_at: int | None = None
    lines: int = 0
    is_alive: bool = True
    where: str = ""
    belongings: list[Closable] = field(default_factory=list[Closable])
    _tasks: list[asyncio.Task[Any]] = field(default_factory=list[asyncio.Task[Any]])

    def line(self, where: str) -> None:
        """One line further.

        Raises:
            PowerCut: if it is the last one, or the power is off already.
        """
        self.lines += 1
        if self.is_alive and self.off_at is not None and self.lines >= self.off_at:
            self.cut(where)
        if not self.is_alive:
            raise PowerCut

    def heard(self) -> None:
        """It says something to the world outside, which hears it while it lives."""
        if not self.is_alive:
            raise PowerCut

    def cut(self, where: str) -> None:
        """Now."""
        self.is_alive = False
        self.where = where
        for task in self._tasks:
            task.cancel()

    def own(self, task: asyncio.Task[Any]) -> None:
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(task)

    def clear_up(self) -> None:
        """What the operating system does for the dead: close their files, and so free the locks."""
        self.is_alive = False
        for thing in self.belongings:
            thing.close()
        self.belongings.clear()


PROCESS: ContextVar[Process | None] = ContextVar("PROCESS", default=None)


class Stepped(Coroutine[Any, Any, Any]):
    """A coroutine of a process, each step of which is a line."""

    def __init__(self, inner: Coroutine[Any, Any, Any], process: Process) -> None:
        self._inner = inner
        self._process = process

    def send(self, value: Any) -> Any:
        self._step()
        return self._inner.send(value)

    def throw(
        self,
        typ: Any,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> Any:
        del val, tb
        self._step()
        return self._inner.throw(typ)

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()

    def _step(self) -> None:
        try:
            self._process.line(f"an await of {_name(self._inner)}")
        except PowerCut:
            self._end()
            raise asyncio.CancelledError from None

    def _end(self) -> None:
        """Run what Python runs on the way out, none of which goes anywhere."""
        for _ in range(THROWS_MAX):
            try:
                self._inner.throw(PowerCut())
            except BaseException:  # noqa: BLE001 - whatever it says, nobody hears it
                return
        raise RuntimeError(f"{_name(self._inner)} does not end")


def _name(coroutine: Coroutine[Any, Any, Any]) -> str:
    return str(getattr(coroutine, "__qualname__", coroutine))


class Connection(sqlite3.Connection):
    """A database of the process that opened it: a commit is two lines, one on either side."""

    process: Process | None = None

    def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
        if self.process is None:
            self.process = PROCESS.get()
        if self.process is None or sql == "ROLLBACK":
            return super().execute(sql, *arguments)
        self.process.heard()
        if sql != "COMMIT":
            return super().execute(sql, *arguments)
        self.process.line("a commit, before it")
        done = super().execute(sql, *arguments)
        self.process.line("a commit, after it")
        return done
