"""The real agent, on the parts of a simulation, and whoever starts it again when it is gone.

Journal, pipeline, diagnosis, docket, driver and their composition are those of production; only the
bus, the host, the clock and the power are ours.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

from agent import checkup
from agent.adapters import journal as journal_module
from agent.adapters.health import HealthBoard
from agent.adapters.journal import Journal
from agent.adapters.journal_store import JournalLimits, Store
from agent.app import Agent, Observers, Parts
from agent.config import AgentConfig
from agent.contract import topics
from agent.events import BatchTaken, CaseMoved, CaseOpened, EreportsLost, Event
from agent.retirement.case import Case
from agent.retirement.request import RequestRefused
from tests.simulation.bus import AgentBroker, Bus
from tests.simulation.clock import WallClock
from tests.simulation.host import Host
from tests.simulation.ports import SimHypervisor, SimToolstack
from tests.simulation.power import PROCESS, Connection, Process
from tests.simulation.trace import Trace

Told = TypeVar("Told")

LOOK_SECONDS = 10.0  # between two looks of the agent at its peers: often enough for a host's day
HANDSHAKE_SECONDS = 1.0


@contextmanager
def surroundings() -> Iterator[None]:
    """Where an agent may live: its disk counts the commits, and it looks about less often."""
    counted = partial(sqlite3.connect, factory=Connection)
    with ExitStack() as stack:
        for patch in (
            mock.patch("agent.adapters.journal_file.sqlite3.connect", counted),
            mock.patch.object(journal_module, "Store", _owned_store),
            mock.patch.object(checkup, "LOOK_SECONDS", LOOK_SECONDS),
            mock.patch.object(checkup, "BEAT_SECONDS", LOOK_SECONDS),
        ):
            stack.enter_context(patch)
        yield


def _owned_store(path: Path, limits: JournalLimits) -> Store:
    """A store that is closed for its process, if that is cut off before it can."""
    store = Store(path, limits)
    process = PROCESS.get()
    if process is not None:
        process.belongings.append(_Once(store))
    return store


class _Once:
    """Closes a store unless it was closed in good order."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._close = store.close
        store.close = self.close  # type: ignore[method-assign] # so that a second close is none
        self._is_open = True

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._close()


class Keeper:
    """Starts the agent, and starts it again: what systemd and the mains are to it."""

    def __init__(
        self,
        host: Host,
        bus: Bus,
        folder: Path,
        keys: dict[str, dict[str, Any]],
        clock: WallClock,
        trace: Trace,
    ) -> None:
        self.path = folder / "pagewarden.db"
        journal = keys.get("journal", {}) | {"path": self.path}
        table = {"host": host.nature.config.host.name, **keys, "journal": journal}
        self.config = AgentConfig.model_validate(table)
        self.process: Process | None = None
        self.agent: Agent | None = None
        self.crashes: list[str] = []
        self.lost = 0
        self.starts = 0
        self.off_at: int | None = None  # of the next run
        self.up_since = 0.0
        self.life_since = 0.0  # when it asked the host last who it is
        self._inside = copy_context()
        self._stop = asyncio.Event()
        self._host = host
        self._bus = bus
        self._clock = clock
        self._trace = trace
        self._loop = asyncio.get_running_loop()

    @property
    def cases(self) -> tuple[Case, ...]:
        """The agent's, if it runs and knows them yet."""
        return self.agent.driver.docket.cases if self.agent is not None else ()

    async def ask(self, question: Callable[[Agent], Coroutine[Any, Any, Told]]) -> Told | None:
        """What the agent answers; None if it is not there, or not any more.

        Raises:
            RequestRefused: if that is its answer.
        """
        process = self.process
        if self.agent is None or process is None or not process.is_alive:
            return None
        context = self._inside.copy()
        answering = self._loop.create_task(question(self.agent), name="answer", context=context)
        while not answering.done():
            await asyncio.wait([answering], timeout=1.0)
            if not process.is_alive or process is not self.process:
                answering.cancel()  # it has ended in order, and answers nobody any more
        if answering.cancelled():
            return None
        error = answering.exception()
        if isinstance(error, RequestRefused):
            raise error
        return None if error else answering.result()

    @property
    def is_up(self) -> bool:
        return self.process is not None and self.process.is_alive

    async def keep(self, restart_seconds: float = 1.0) -> None:
        """Run one agent after another, for ever."""
        while True:
            await self._one_run()
            await asyncio.sleep(restart_seconds)

    async def _one_run(self) -> None:
        self.starts += 1
        process = self.process = Process(self.starts, self.off_at)
        self.off_at = None
        self._stop = asyncio.Event()
        self.up_since = self._loop.time()
        self._trace("agent", f"starts, run {self.starts}")
        context = self._inside = copy_context()
        context.run(PROCESS.set, process)
        running = self._loop.create_task(self._run(process), name="agent", context=context)
        await asyncio.wait([running])
        self._bury(process, running)

    def _bury(self, process: Process, running: "asyncio.Task[None]") -> None:
        if process.where:
            self._trace("agent", f"power cut at {process.where}, line {process.lines}")
        elif not running.cancelled() and (error := running.exception()) is not None:
            self.crashes.append(_told(error))
            self._trace("agent", f"ends by itself: {_told(error)}")
        else:
            self._trace("agent", "has ended")
        self.agent = None
        process.clear_up()

    async def _run(self, process: Process) -> None:
        """As `agent.app.run`: one life for each boot of the host."""
        stop = self._stop
        while not stop.is_set():
            parts = await self._parts(process)
            try:
                self.life_since = self._loop.time()
                self.agent = await Agent.make(self.config, parts, stop)
                if self.agent is not None:
                    self.agent.handshake.every_seconds = HANDSHAKE_SECONDS
                    await self.agent.run(stop)
            finally:
                await parts.journal.close()

    async def _parts(self, process: Process) -> Parts:
        config, host = self.config, self._host
        observe = Observers(self._observe)
        limits = JournalLimits(config.journal.retention_days * 86_400, config.journal.bytes_max)
        journal = await Journal.open(self.path, limits, self._clock)
        heard, client = (topics.ereports(config.host),), f"pagewarden-{config.host}"
        broker = AgentBroker(self._bus, process, heard, client, observe)
        hypervisor = SimHypervisor(host, process, config.hypervisor.call_seconds_max)
        toolstack = SimToolstack(host, process, config.hypervisor.guest_seconds_max)
        return Parts(broker, hypervisor, toolstack, journal, observe, HealthBoard(), self._clock)

    def _observe(self, event: Event) -> None:
        if isinstance(event, EreportsLost):
            self.lost += event.count
        if self._trace.is_wanted:
            self._trace("agent", _in_short(event))

    def cut_within(self, lines: int) -> None:
        """The power goes off that many lines from now, at the latest."""
        if self.process is not None and self.process.is_alive:
            self.process.off_at = self.process.lines + lines

    def cut(self) -> None:
        if self.process is not None and self.process.is_alive:
            self.process.cut("the mains")

    def stop(self) -> None:
        """As an operator does."""
        self._trace("agent", "is told to stop")
        self._stop.set()


def _in_short(event: Event) -> str:
    match event:
        case CaseOpened(case):
            return f"{case.id} {case.mfn:#x}: opened as {case.state}"
        case CaseMoved(case, before):
            return f"{case.id} {case.mfn:#x}: {before} → {case.state} {case.why}".rstrip()
        case BatchTaken():
            return f"takes {event.accepted} ereports, and {event.duplicates} that it had"
        case _:
            return str(event)


def _told(error: BaseException) -> str:
    """The first thing that is wrong, in one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
