"""One thread for all calls into Xen, which runs only where it is told to.

A hypercall blocks, so it is not the loop's; one that hangs in Xen never ends, so the thread is a
daemon: the process can still be ended by whoever finds out. Who waits has a deadline of his own.

The thread binds itself to vCPUs before each call, and reads back that it is bound: a process that
was put on others meanwhile (`taskset`, a cgroup's cpuset) calls nothing.
"""

import asyncio
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeVar, cast

from agent.contract.errors import PeerError, Unreachable

Result = TypeVar("Result")
Job = tuple[Callable[[], object], "Future[object]"]


@dataclass(slots=True)
class PinnedThread:
    """A call has `seconds`."""

    seconds: float
    _jobs: queue.SimpleQueue[Job | None] = field(default_factory=queue.SimpleQueue[Job | None])
    _thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._work, name="xen", daemon=True)
        self._thread.start()

    async def run(self, vcpus: frozenset[int], call: Callable[[], Result]) -> Result:
        """What `call` returns or raises, from a thread that runs on these vCPUs alone; none: on
        whatever it ran on before.

        Raises:
            Unreachable: if it does not return in time. It may be carried out yet.
        """

        def on_vcpus() -> object:
            if vcpus:
                bind(vcpus)
            return call()

        done: Future[object] = Future()
        self._jobs.put((on_vcpus, done))
        try:
            async with asyncio.timeout(self.seconds):
                return cast("Result", await asyncio.wrap_future(done))
        except TimeoutError:
            raise Unreachable(
                f"Xen: no answer in {self.seconds:g} s: a call may hang in it"
            ) from None

    def close(self) -> None:
        """Let the thread end after the call that it is in, if that ever does."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            call, done = job
            if not done.set_running_or_notify_cancel():
                continue
            try:
                done.set_result(call())
            except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
                done.set_exception(error)


def bind(vcpus: frozenset[int]) -> None:
    """Have the calling thread run on these alone.

    Raises:
        PeerError: if it does not.
    """
    try:
        os.sched_setaffinity(0, vcpus)
    except OSError as error:
        raise PeerError(f"cannot run on dom0's vCPUs {sorted(vcpus)}: {error.strerror}") from None
    bound = os.sched_getaffinity(0)
    if not bound or not bound <= vcpus:
        raise PeerError(
            f"told to run on dom0's vCPUs {sorted(vcpus)}, this runs on {sorted(bound)}"
        )
