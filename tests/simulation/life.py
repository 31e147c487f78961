"""One seed, one life: from a host's first boot to the last look of the judges.

    episode: events, trouble ─► calm: no trouble, until all is at rest ─► judged ─► hours pass ─► …
                                                     the last time also: stop, and read the journal

Every few seconds the judges look at what must always hold. The first that is found ends the life:
what comes after it is only its consequence.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from agent.contract.frames import PAGE_SHIFT
from emulator.chaos import draw
from emulator.machine.queue import Fault
from tests.simulation.agent import Keeper, surroundings
from tests.simulation.bus import Bus
from tests.simulation.checkers import ALWAYS, AT_REST, AT_THE_END, Checker, Found, Scene, judged
from tests.simulation.clock import WallClock
from tests.simulation.host import Host
from tests.simulation.loop import Asleep, VirtualLoop, run_virtual
from tests.simulation.operators import Operators
from tests.simulation.plan import Asks, Episode, Event, GoesBad, Happens, Plan
from tests.simulation.trace import Trace
from tests.simulation.trouble import Kind, Trouble

LOOK_SECONDS = 4.0  # between two looks of the judges
CALM_SECONDS_MAX = 3600.0  # after trouble has ended everything must be at rest
HALF_AN_HOUR = 1800.0  # of it the agent has while what others broke is broken still
WATCHED_SECONDS = (
    250.0  # in which every parked page is looked at: the watch doubles up to 16 × 15 s
)

MEMORY = Path("/dev/shm")  # a disk that is fast, for a file that nobody needs afterwards


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a life. `lines` are told only if somebody asked for them."""

    name: str
    found: tuple[Found, ...]
    days: float
    calls: int
    starts: int
    cases: int
    lines_to_rest: int
    lines: tuple[str, ...] = ()


class Over(Exception):  # noqa: N818 - it is how a life ends that is not to go on
    """Something was found."""

    def __init__(self, found: Sequence[Found]) -> None:
        super().__init__(str(found[0]))
        self.found = tuple(found)


def live(plan: Plan, *, traced: bool = False, off_at: int | None = None) -> Outcome:
    """The life of this plan, start to end; in its own loop, and on a disk of its own.

    The first run of the agent loses its power at line `off_at`.
    """
    where = MEMORY if MEMORY.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="pagewarden-life-", dir=where))
    try:
        with surroundings():
            return run_virtual(_lived(plan, folder, off_at, traced=traced))
    finally:
        shutil.rmtree(folder)


async def _lived(plan: Plan, folder: Path, off_at: int | None, *, traced: bool) -> Outcome:
    life = Life(plan, folder, off_at, traced=traced)
    try:
        await life.run()
        found: tuple[Found, ...] = ()
    except Over as over:
        found = over.found
    except Asleep:
        found = (Found("somebody_wakes", "everybody waits, and nobody will wake them"),)
    return life.outcome(found)


class Life:
    """Everybody who takes part, and the order of things."""

    def __init__(
        self, plan: Plan, folder: Path, off_at: int | None = None, *, traced: bool = False
    ) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self._loop = loop
        self._plan = plan
        self._trace = Trace(loop, is_wanted=traced)
        self._clock = WallClock(loop)
        self._trouble = Trouble(Random(f"trouble {plan.seed}"), plan.often)
        loop.disk_seconds = self._trouble.disk_seconds
        self._bus = Bus(self._trouble)
        self._host = Host(plan.nature, self._bus, self._clock, self._trouble, self._trace)
        self._keeper = Keeper(self._host, self._bus, folder, plan.agent, self._clock, self._trace)
        rng = Random(f"operators {plan.seed}")
        self._operators = Operators(self._keeper, self._host, rng, self._trace)
        self._scene = Scene(plan, self._host, self._keeper, self._operators, self._bus)
        self._keeper.off_at = off_at
        self._lines_to_rest = 0
        self._chance = np.random.default_rng(plan.seed)
        self._bad: set[int] = set()
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Raises: Over, as soon as a judge has found something."""
        self._host.start()
        keeping = self._loop.create_task(self._keeper.keep(), name="keeper")
        for episode in self._plan.episodes:
            self._pass(episode.after)
            await self._play(episode)
            await self._calm(was_troubled=episode.is_troubled)
        await self._end(keeping)

    def _pass(self, seconds: float) -> None:
        self._host.work()
        self._loop.leap(seconds)
        if seconds:
            self._trace("life", f"{seconds / 3600:.0f} hours have passed")

    async def _play(self, episode: Episode) -> None:
        began = self._loop.time()
        self._trouble.is_paused = not episode.is_troubled
        for event in episode.events:
            await self._look_until(began + event.at)
            self._happen(event)
        await self._look_until(began + episode.seconds)

    async def _calm(self, *, was_troubled: bool) -> None:
        """No trouble any more; return when all is at rest, and was looked at."""
        self._trouble.is_paused = True
        self._trace("life", "calm")
        if self._under_way:
            await asyncio.wait(self._under_way)
        self._bus.come_back()
        deadline = self._loop.time() + CALM_SECONDS_MAX
        await self._look_until(self._loop.time() + 10)
        while self._loop.time() < deadline - HALF_AN_HOUR and not self._is_at_rest():
            await self._look_until(self._loop.time() + LOOK_SECONDS)
        process = self._keeper.process
        self._lines_to_rest = process.lines if process else 0
        self._host.guests.repair()
        await self._look_until(self._loop.time() + WATCHED_SECONDS)
        while self._loop.time() < deadline and not self._is_at_rest():
            await self._look_until(self._loop.time() + LOOK_SECONDS)
        if was_troubled:
            self._scene.troubled = frozenset(case.id for case in self._scene.cases)
        self._judge(AT_REST)

    def _is_at_rest(self) -> bool:
        agent = self._keeper.agent
        return (
            agent is not None
            and self._scene.is_of_this_boot
            and self._host.source.is_idle
            and all(case.state.is_at_rest for case in self._scene.cases)
            and not self._scene.waiting_requests
        )

    async def _end(self, keeping: "asyncio.Task[None]") -> None:
        keeping.cancel()
        self._keeper.stop()
        agent, process = self._keeper.agent, self._keeper.process
        deadline = self._loop.time() + 60
        while process and process.belongings and self._loop.time() < deadline:
            await asyncio.sleep(0.1)
        self._keeper.agent = agent
        self._judge(AT_THE_END)

    async def _look_until(self, then: float) -> None:
        """Let time pass, and look at what must always hold."""
        while self._loop.time() < then:
            await asyncio.sleep(min(LOOK_SECONDS, then - self._loop.time()))
            self._judge(ALWAYS)

    def _judge(self, checkers: tuple[Checker, ...]) -> None:
        self._scene.now = self._loop.time()
        found = judged(self._scene, checkers)
        if found:
            for one in found:
                self._trace("judge", one)
            raise Over(found)

    # What happens

    def _happen(self, event: Event) -> None:
        if isinstance(event, GoesBad):
            self._go_bad(event)
        elif isinstance(event, Asks):
            self._start(self._operators.want(event.wish))
        else:
            self._trace("life", f"{event.kind} {event.number:g}")
            self._happenings(event)

    def _go_bad(self, event: GoesBad) -> None:
        if not self._host.is_up:
            return
        world = self._host.world
        mfn = draw(world.hypervisor, event.on, self._bad, self._chance)  # type: ignore[arg-type] # frames are numbers
        if mfn is None:
            return
        self._bad.add(mfn)
        self._trace("life", f"page {mfn:#x} ({event.on}) gives {event.errors} errors")
        fault = Fault(mfn << PAGE_SHIFT, event.errors_per_second, event.errors)
        world.add_fault_at(fault, self._loop.time())

    def _happenings(self, event: Happens) -> None:
        match event.kind:
            case Kind.BROKEN_LINK:
                self._bus.break_connections()
            case Kind.BROKER_AWAY | Kind.BROKER_FORGETS:
                self._bus.go_away(forget=event.kind is Kind.BROKER_FORGETS)
                self._loop.call_later(event.number, self._bus.come_back)
            case Kind.HOST_REBOOTS if self._host.is_up:
                if event.dimm is not None:
                    self._host.replace_dimm(event.dimm)
                self._start(self._host.reboot(event.number))
                if event.takes_agent:
                    self._keeper.cut()
            case Kind.POWER_CUT:
                self._keeper.cut_within(int(event.number))
            case Kind.RESTART:
                self._keeper.stop()
            case Kind.CLOCK_STEP:
                self._clock.step(event.number)
            case kind if self._host.is_up:
                self._host.meddle_at_random(kind)
            case _:
                pass

    def _start(self, body: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(body, name="happening")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def outcome(self, found: tuple[Found, ...]) -> Outcome:
        return Outcome(
            self._plan.name,
            found,
            self._loop.time() / 86_400,
            self._host.calls,
            self._keeper.starts,
            len(self._scene.cases),
            self._lines_to_rest,
            tuple(self._trace.lines),
        )
