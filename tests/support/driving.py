"""A driver with everything around it faked, and a log that a power cut leaves as it was."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import cast

from agent.contract.frames import DomId, Mfn
from agent.events import Event
from agent.retirement.acts import Acts
from agent.retirement.caps import Caps
from agent.retirement.case import Case
from agent.retirement.docket import Docket
from agent.retirement.driver import Driver
from agent.retirement.ladder import Terms
from agent.retirement.manners import Manners
from agent.retirement.states import State
from tests.support.cases import BOOT, a_case
from tests.support.host import LATE_SECONDS, Host, Power, Twice

PATIENCE_SECONDS = 20.0


def now_ns() -> int:
    return int(asyncio.get_running_loop().time() * 1e9)


def quick(terms: Terms | None = None, mapped_seconds: float = 0.01) -> Manners:
    """Manners of somebody in a hurry."""
    return Manners(
        retry_seconds_first=0.001,
        retry_seconds_max=0.002,
        watch_seconds=0.01,
        late_seconds=3 * LATE_SECONDS,
        audit_seconds=0.01,
        terms=replace(terms or Terms(), mapped_seconds=mapped_seconds),
    )


@dataclass(slots=True)
class ListLog:
    """Remembers what was written down, in order; `commits` keeps what was written together."""

    power: Power = field(default_factory=Power)
    commits: list[tuple[Case, ...]] = field(default_factory=list[tuple[Case, ...]])

    async def save(self, *cases: Case) -> None:
        self.power.line()
        self.commits.append(cases)
        await asyncio.sleep(0)
        self.power.line()

    @property
    def saved(self) -> list[Case]:
        return [case for commit in self.commits for case in commit]

    @property
    def states(self) -> list[State]:
        return [case.state for case in self.saved]

    @property
    def durable(self) -> tuple[Case, ...]:
        """Each case as it was written last."""
        return tuple({case.id: case for case in self.saved}.values())


@dataclass(slots=True)
class Bench:
    """One life of a driver after another, on one host.

    `rests` is where the cases were when all was done: later, parked ones may be looked at again.
    """

    host: Host
    manners: Manners = field(default_factory=quick)
    log: ListLog = field(default_factory=ListLog)
    docket: Docket = field(default_factory=lambda: Docket(Caps(1000), str(BOOT)))
    events: list[Event] = field(default_factory=list[Event])
    clock: Callable[[], int] = now_ns
    twice: bool = False
    rests: set[State] = field(default_factory=set[State])
    _running: Driver | None = None

    def driver(self) -> Driver:
        host = cast("Host", Twice(self.host)) if self.twice else self.host
        to, at_once = self.manners.terms.migrate_to, self.manners.cases_in_flight_max
        acts = Acts(host, host, to, detach_seconds=0.05, calls_at_once=at_once)
        return Driver(acts, self.log, self.docket, self.events.append, self.clock, self.manners)

    async def settle(
        self, *cases: Case, until: Callable[[], bool] | None = None, stop_at: str = ""
    ) -> None:
        """Drive `cases` until all of them rest (or `until` is true), then stop.

        With `stop_at`, the driver is told to stop at that very call.
        """
        self._running = driver = self.driver()
        if stop_at:
            self.host.when[stop_at] = driver.stop
        for case in cases:
            self.add(case)
        await self._run(driver, until or self.all_rest)

    def add(self, case: Case) -> None:
        """One case more, for the driver that runs."""
        assert self._running is not None
        self.docket.put(case)
        self._running.submit(case)

    def recall(self, mfn: Mfn) -> None:
        """An operator wants this page back, while the driver runs."""
        assert self._running is not None
        case = self.docket.recall(mfn)
        if case is not None:
            self._running.recall(case)

    async def live_again(self, *recalled: Mfn, until: Callable[[], bool] | None = None) -> None:
        """What the log holds is picked up by another life, and driven to rest (or `until`)."""
        self.docket = Docket(Caps(1000), str(BOOT))
        self.docket.restore(self.log.durable, self.clock())
        self._running = driver = self.driver()
        await driver.recover()
        for mfn in recalled:
            self.recall(mfn)
        await self._run(driver, until or self.all_rest)

    async def _run(self, driver: Driver, until: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
            running = group.create_task(driver.run())
            while not (running.done() or until()):
                await asyncio.sleep(0.001)
            self.rests = {case.state for case in self.docket.cases}
            driver.stop()

    def all_rest(self) -> bool:
        return not any(self.docket.is_due(case) for case in self.docket.cases)

    def all_settled(self) -> bool:
        """All rest, and nothing can come late any more."""
        may_come = self.docket.owing or self.docket.doubtful or self.host.still_to_come
        return self.all_rest() and not may_come


def cases_of(host: Host) -> tuple[Case, ...]:
    """A verdict on every page of the host."""
    return tuple(a_case(id=f"c{n}", mfn=Mfn(mfn)) for n, mfn in enumerate(host.pages, 1))


def in_line(state: State, domid: int = 7, **changes: object) -> Case:
    return a_case(state, owner=DomId(domid), **changes)
