"""An event loop whose clock jumps to the next timer as soon as nobody has anything to do.

    ready?  ──yes──► run it                       no time passes while anybody works
       │no
    timer?  ──yes──► the clock jumps there        a day costs what happens in it, and no more
       │no
    nobody will ever wake: `Asleep`

It owns no socket and no thread. What is given to an executor is done in the loop, a little later.
And it is deterministic: tasks are hashed by the order in which they were made, so that even a set
of them is walked in the same order each time.
"""

# ruff: noqa: ANN401 - the signatures are asyncio's

import asyncio
from asyncio import BaseEventLoop, TimerHandle
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, TypeVar

from tests.simulation.power import PROCESS, PowerCut, Stepped

T = TypeVar("T")

DISK_SECONDS = 0.0005  # what a durable write usually takes


class Asleep(Exception):  # noqa: N818 - it is a state of affairs
    """Everybody waits for somebody, and no timer is set: in a real process, a hang."""


class VirtualTask(asyncio.Task[Any]):
    """A task that is hashed by its number, and so has the same place in a set each time."""

    _made = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        VirtualTask._made += 1
        self._number = VirtualTask._made
        super().__init__(*args, **kwargs)  # puts itself into a set

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(BaseEventLoop):
    """Time is a number here, in seconds; `leap` lets it pass with nobody looking."""

    _scheduled: list[TimerHandle]  # the base class keeps it so, as a heap

    def __init__(self) -> None:
        super().__init__()
        VirtualTask._made = 0
        self._now = 0.0
        self._disk_free_at = 0.0
        self.disk_seconds: Callable[[], float] = lambda: DISK_SECONDS
        self._selector = _Jump(self)
        self.set_task_factory(_numbered)
        self.set_exception_handler(_told_unless_dead)

    def time(self) -> float:
        return self._now

    def leap(self, seconds: float) -> None:
        """`seconds` pass at once, as for a machine that was asleep: each timer is late, once."""
        self._now += seconds

    def jump(self, timeout: float | None) -> None:
        """Nobody is ready, for `timeout` seconds: go to the next timer."""
        if timeout == 0:
            return
        if timeout is None:
            raise Asleep
        self._now = max(self._now, self._scheduled[0].when())

    def run_in_executor(  # type: ignore[override] # wants a thread, and there is none
        self, executor: object, func: Callable[..., T], *args: Any
    ) -> "asyncio.Future[T]":
        """Do it here, after the time of a disk; the executor is not asked. One after another, as in
        the journal's one thread.
        """
        del executor
        answer: asyncio.Future[T] = self.create_future()
        self._disk_free_at = max(self._now, self._disk_free_at) + self.disk_seconds()
        self.call_at(self._disk_free_at, _fulfil, answer, func, args)
        return answer

    def _process_events(self, event_list: object) -> None:
        """There are none: nothing comes from outside."""

    def _write_to_self(self) -> None:
        """Nobody wakes it from another thread."""


class _Jump:
    """Stands where a loop has its selector: asked to wait, it lets the time pass instead."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> tuple[()]:
        self._loop.jump(timeout)
        return ()


def _numbered(
    loop: asyncio.AbstractEventLoop,
    coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
    *,
    context: Context | None = None,
    **named: Any,
) -> VirtualTask:
    """A task of the process that makes it, if a process does."""
    process = PROCESS.get() if context is None else context.get(PROCESS)
    if process is None or not isinstance(coro, Coroutine):
        return VirtualTask(coro, loop=loop, context=context, **named)
    task = VirtualTask(Stepped(coro, process), loop=loop, context=context, **named)
    process.own(task)
    return task


def _told_unless_dead(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What nobody asked after is told, unless it is of a process that has lost its power."""
    if not isinstance(context.get("exception"), asyncio.CancelledError | PowerCut):
        loop.default_exception_handler(context)


def _fulfil(answer: "asyncio.Future[T]", func: Callable[..., T], args: tuple[Any, ...]) -> None:
    if answer.cancelled():
        return
    try:
        answer.set_result(func(*args))
    except PowerCut:
        pass  # the caller is gone with it
    except Exception as error:  # noqa: BLE001 - it is the caller's
        answer.set_exception(error)


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` on a loop of our own, which is closed afterwards."""
    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main)
    finally:
        _cancel_all(loop)
        asyncio.set_event_loop(None)
        loop.close()


def _cancel_all(loop: VirtualLoop) -> None:
    """Also those that others start on their way out."""
    while left := sorted(asyncio.all_tasks(loop), key=hash):
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
