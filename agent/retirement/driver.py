"""Drives every case to rest: give the command, advance the case, write it down, wait, again.

    case  ──► acts.give ──► outcome ──► advance ──► log.save ──► next command
                                                                  │
               one case at a time may stop a given guest  ◄───────┘

Deciding is in `case.py`, asking in `acts.py`; here is only the order of things. A case that may
hold a guest stopped is never abandoned: told to stop, the agent first brings the guest back.
"""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from agent.clock import Clock
from agent.contract.frames import DomId
from agent.events import CaseMoved, GuestPaused, Observer
from agent.retirement.acts import Acts
from agent.retirement.case import Case, advance, retry_delay_seconds
from agent.retirement.docket import Docket
from agent.retirement.ladder import Rung
from agent.retirement.outcome import Done
from agent.retirement.ports import CaseLog
from agent.waiting import set_within


@dataclass(frozen=True, slots=True)
class Manners:
    """How hard to press: seconds, and how many cases at once."""

    retry_seconds_first: float = 0.5
    retry_seconds_max: float = 300.0
    stopped_retry_seconds_max: float = 5.0
    watch_seconds: float = 60.0
    cases_in_flight_max: int = 8
    rungs: tuple[Rung, ...] = tuple(Rung)


@dataclass(slots=True)
class Driver:
    acts: Acts
    log: CaseLog
    docket: Docket
    observe: Observer
    clock: Clock
    manners: Manners
    _queue: asyncio.Queue[Case | None] = field(default_factory=asyncio.Queue[Case | None])
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _turns: WeakValueDictionary[DomId, asyncio.Lock] = field(
        default_factory=WeakValueDictionary[DomId, asyncio.Lock]
    )
    _commands: asyncio.Semaphore = field(init=False)
    _stops: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        # Two bounds, so that guests whose toolstack is silent never keep a free page waiting.
        self._commands = asyncio.Semaphore(self.manners.cases_in_flight_max)
        self._stops = asyncio.Semaphore(self.manners.cases_in_flight_max)

    def submit(self, case: Case) -> None:
        """Have `case` driven to rest; it is on the docket and in the log already."""
        self._queue.put_nowait(case)

    def stop(self) -> None:
        """Take no new step, except to bring a guest back."""
        self._stopping.set()
        self._queue.put_nowait(None)

    async def recover(self) -> None:
        """Bring back every guest that an earlier life may have left stopped; queue the rest.

        Returns when all of them run, however long that takes.
        """
        async with asyncio.TaskGroup() as group:
            for case in self.docket.unfinished:
                group.create_task(self._recover(case), name=f"recover {case.id}")

    async def _recover(self, case: Case) -> None:
        async with self._turn(case):
            self.submit(await self._bring_guest_back(case))

    async def run(self) -> None:
        """Return after `stop`, when every step in flight has ended and is written down."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(), name="parked cases")
            while (case := await self._queue.get()) is not None:
                group.create_task(self._drive(case), name=f"case {case.id}")

    async def release(self) -> None:
        """On the way out with the log broken: give each guest that may be stopped one more start.

        Nothing is written down; the next life reads where the case was, and gives it again.
        """
        stopped = [case for case in self.docket.cases if case.state.stops_guest]
        await asyncio.gather(*(self.acts.start_guest(case) for case in stopped))

    async def _drive(self, case: Case) -> None:
        while not (case.state.is_at_rest or self._stopping.is_set()):
            case = await self._stretch(case)
            await self._wait(case)

    async def _stretch(self, case: Case) -> Case:
        """One step, or all of them from where a guest may be stopped to where it surely runs."""
        if not case.state.stops_guest:
            async with self._commands:
                return await self._step(case)
        async with self._stops, self._turn(case):
            if self._stopping.is_set():
                return case  # nothing has been done to the guest yet
            return await self._bring_guest_back(case)

    async def _bring_guest_back(self, case: Case) -> Case:
        """Go on until a command has started the guest again; no step at all if it runs."""
        while case.state.stops_guest:
            before, case = case, await self._step(case)
            if before.state.starts_guest and case.state is not before.state:
                return case
            await self._wait(case)
        return case

    async def _watch(self) -> None:
        """Ask for the parked pages again, now and then: their owners may have let go."""
        while not await set_within(self._stopping, self.manners.watch_seconds):
            for case in self.docket.parked:
                if self._stopping.is_set():
                    return
                after = await self._step(case)
                if not after.state.is_at_rest:
                    self.submit(after)

    def _turn(self, case: Case) -> AbstractAsyncContextManager[None]:
        """Wait until no other case may stop the same guest."""
        if case.owner is None or not case.state.stops_guest:
            return nullcontext()
        return self._turns.setdefault(case.owner, asyncio.Lock())

    async def _step(self, case: Case) -> Case:
        """Give one command and return the case after it, once that would survive a power cut."""
        began = asyncio.get_running_loop().time()
        outcome = await self.acts.give(case)
        after = advance(case, outcome, self.clock(), self.manners.rungs)
        if isinstance(outcome, Done) and outcome.pause_seconds is not None:
            self.observe(GuestPaused(outcome.pause_seconds))
        self.docket.put(after)
        if after.state is not case.state:
            await self.log.save(after)
            took = asyncio.get_running_loop().time() - began
            self.observe(CaseMoved(after, case.state, took))
        return after

    async def _wait(self, case: Case) -> None:
        """Before a command is given again. Being told to stop ends the wait, unless a guest waits
        with us: then it is asked again soon, and again.
        """
        if case.attempts == 0 or case.state.is_at_rest:
            return
        first, most = self.manners.retry_seconds_first, self.manners.retry_seconds_max
        if case.state.stops_guest:
            most = min(most, self.manners.stopped_retry_seconds_max)
            await asyncio.sleep(retry_delay_seconds(case, first, most))
        else:
            await set_within(self._stopping, retry_delay_seconds(case, first, most))
