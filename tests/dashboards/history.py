"""A day of an emulated host and its agent, in virtual time, as Prometheus would have scraped it.

    python -m tests.dashboards.history hv-2 day.om
    promtool tsdb create-blocks-from openmetrics day.om blocks

The host is the emulator's, the agent is the real one with its real metrics; only bus, clock and
disk are the simulator's. Each host has a character of its own, so that every panel has something
to show.
"""

import asyncio
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import numpy as np
from prometheus_client.core import Metric

from agent.adapters.metrics import Metrics
from agent.app import Parts
from agent.contract import topics
from agent.contract.frames import PAGE_SHIFT, DomId
from agent.contract.hypercall import Call
from agent.contract.toolstack import ToolOutcome, ToolReply
from agent.events import BrokerConnected, BrokerLost, CallMade, Observer
from emulator.chaos import draw
from emulator.edges.exposition import TABLE
from emulator.edges.truth import CountsTruth, GuestTruth, PastTruth, Truth
from emulator.machine.queue import Fault
from emulator.scenario import Expect, On
from tests.simulation import agent as agent_module
from tests.simulation import host as host_module
from tests.simulation.agent import Keeper, surroundings
from tests.simulation.bus import Bus, Message
from tests.simulation.clock import EPOCH_NS, WallClock
from tests.simulation.host import Host
from tests.simulation.loop import VirtualLoop, run_virtual
from tests.simulation.plan import told_plan
from tests.simulation.power import Process
from tests.simulation.trace import Trace
from tests.simulation.trouble import Kind, Trouble

HOUR = 3600.0
DAY_SECONDS = 24 * HOUR
SCRAPE_SECONDS = 120.0
END = EPOCH_NS / 1e9 + DAY_SECONDS

CALL_OF = {
    "offline": Call.OFFLINE,
    "query": Call.QUERY,
    "online": Call.ONLINE,
    "swap": Call.SWAP,
}

KINDS = (
    *(On.FREE, On.HVM, On.HVM, On.PV, On.PV, On.PV),
    *(On.PAGE_TABLE, On.DEVICE, On.DOM0, On.MAPPED),
)


@dataclass(frozen=True, slots=True)
class Character:
    """What kind of day a host has. `bad_dimm` is where its pages go bad; trouble is by the hour."""

    seed: int
    bad_dimm: int
    errors_per_hour: int
    agent: dict[str, Any]
    hours: dict[int, dict[Kind, float]] = field(default_factory=dict[int, dict[Kind, float]])
    broker_away: tuple[int, ...] = ()
    restarts: tuple[int, ...] = ()
    reboots: tuple[int, ...] = ()
    strangers: tuple[int, ...] = ()


CHARACTERS = {
    "hv-1": Character(
        seed=1,
        bad_dimm=1,
        errors_per_hour=8,
        agent={"pages_per_rank_max": 20, "retired_memory_fraction_max": 0.05},
        hours={3: {Kind.FAIL: 0.4, Kind.REFUSE: 0.2}, 4: {Kind.HANG: 0.8}, 5: {Kind.HANG: 0.8}},
        restarts=(12,),
        reboots=(18,),
    ),
    "hv-2": Character(
        seed=2,
        bad_dimm=3,
        errors_per_hour=1,
        agent={"mode": "observe"},
        strangers=(5, 6),
    ),
    "hv-3": Character(
        seed=3,
        bad_dimm=0,
        errors_per_hour=10,
        agent={
            "retired_memory_fraction_max": 0.01,
            "pauses_per_guest_and_hour_max": 4,
            "mapped_seconds_max": 1800.0,
        },
        hours={2: {Kind.HALF_WAY: 0.9}, 7: {Kind.LOST: 0.4, Kind.DOUBLED: 0.3, Kind.LATE: 0.4}},
        broker_away=(9, 11),
        reboots=(21,),
    ),
}


class Watched:
    """A port whose calls are counted and timed, as the adapters of a real agent do it."""

    def __init__(self, port: object, observe: Observer) -> None:
        self._port = port
        self._observe = observe

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def timed(*arguments: Any) -> Any:  # noqa: ANN401 - any of the calls
            now = asyncio.get_running_loop().time
            began, outcome = now(), "unreachable"
            try:
                reply = await getattr(self._port, name)(*arguments)
                outcome = str(getattr(reply, "outcome", "done"))
            finally:
                call = CALL_OF.get(name, name).rpartition("/")[2]
                self._observe(CallMade(call, outcome, now() - began))
            return reply

        return timed


class WatchedToolstack(Watched):
    """It also says how long a guest stood still, as a real toolstack does."""

    def __init__(self, port: object, observe: Observer) -> None:
        super().__init__(port, observe)
        self._stopped_at: dict[object, float] = {}

    async def suspend(self, domid: DomId) -> ToolReply:
        self._stopped_at.setdefault(domid, asyncio.get_running_loop().time())
        return await self._told("suspend", domid)

    async def save(self, domid: DomId, image: str) -> ToolReply:
        self._stopped_at.setdefault(image, asyncio.get_running_loop().time())
        return await self._told("save", domid, image)

    async def resume(self, domid: DomId) -> ToolReply:
        return self._timed(await self._told("resume", domid), domid)

    async def restore(self, image: str) -> ToolReply:
        return self._timed(await self._told("restore", image), image)

    async def _told(self, call: str, *arguments: object) -> ToolReply:
        reply: ToolReply = await self.__getattr__(call)(*arguments)
        return reply

    def _timed(self, reply: ToolReply, about: object) -> ToolReply:
        if reply.outcome is not ToolOutcome.DONE or about not in self._stopped_at:
            return reply
        seconds = asyncio.get_running_loop().time() - self._stopped_at.pop(about)
        return reply.model_copy(update={"pause_seconds": seconds})


class Watcher(Keeper):
    """A keeper whose agents have metrics, made anew at each start as the real ones are."""

    metrics: Metrics | None = None
    started_at = 0.0
    was_connected = False

    async def _parts(self, process: Process) -> Parts:
        parts = await super()._parts(process)
        self.metrics = Metrics("0.1.0", parts.board)
        self.started_at = self._clock() / 1e9
        self.was_connected = False
        parts.observe.add(self.metrics.observe)
        hypervisor = Watched(parts.hypervisor, parts.observe)
        toolstack = WatchedToolstack(parts.toolstack, parts.observe)
        return replace(parts, hypervisor=hypervisor, toolstack=toolstack)  # type: ignore[arg-type] # by name

    def look(self) -> None:
        """Tell of the broker what its adapter would have told."""
        if self.agent is None or self.metrics is None:
            return
        connected = self.agent.broker.connected
        if connected and not self.was_connected:
            self.metrics.observe(BrokerConnected("mqtt://broker"))
        elif self.was_connected and not connected:
            self.metrics.observe(BrokerLost("mqtt://broker", "it went away", 1.0))
        self.was_connected = connected


class Chronicle:
    """Samples, family by family, as OpenMetrics wants them."""

    def __init__(self, instance: str) -> None:
        self._where = f'job="pagewarden",instance="{instance}"'
        self._lines: defaultdict[str, list[str]] = defaultdict(list)
        self._types: dict[str, str] = {}

    def add(self, families: Iterable[Metric], at: float) -> None:
        for family in families:
            self._types[family.name] = family.type
            lines = self._lines[family.name]
            for sample in family.samples:
                labels = "".join(f',{key}="{value}"' for key, value in sample.labels.items())
                lines.append(
                    f"{sample.name}{{{self._where}{labels}}} {float(sample.value)!r} {at:.0f}\n"
                )

    def add_gauge(self, name: str, value: float, at: float) -> None:
        self._types[name] = "gauge"
        self._lines[name].append(f"{name}{{{self._where}}} {value!r} {at:.0f}\n")

    def write(self, path: Path) -> None:
        with path.open("w", encoding="utf-8") as out:
            for name, lines in self._lines.items():
                out.write(f"# TYPE {name} {self._types[name]}\n")
                out.writelines(lines)
            out.write("# EOF\n")


class Day:
    """One host's day, and who writes it down."""

    def __init__(self, name: str, folder: Path) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self._loop = loop
        self._is = CHARACTERS[name]
        self._rng = Random(name)
        plan = told_plan(name)
        config = plan.nature.config
        config = config.model_copy(
            update={
                "seed": self._is.seed,
                "host": config.host.model_copy(update={"name": name}),
            }
        )
        nature = replace(plan.nature, config=config)
        trace, self._clock = Trace(loop), WallClock(loop)
        self._trouble = Trouble(Random(f"trouble {name}"), {})
        self._bus = Bus(self._trouble)
        self._host = Host(nature, self._bus, self._clock, self._trouble, trace)
        agent = plan.agent | {"retirement": plan.agent["retirement"] | self._is.agent}
        self._keeper = Watcher(self._host, self._bus, folder, agent, self._clock, trace)
        self._chance = np.random.default_rng(self._is.seed)
        self._bad: set[int] = set()
        self._reboots = 0
        self.chronicle = Chronicle(name)

    async def run(self) -> None:
        self._host.start()
        tasks = [
            self._loop.create_task(body, name="day")
            for body in (self._keeper.keep(), self._break_down(), self._happen(), self._scrape())
        ]
        await asyncio.sleep(DAY_SECONDS)
        for task in tasks:
            task.cancel()
        self._keeper.stop()

    async def _break_down(self) -> None:
        """Pages go bad at random, and most of them on one DIMM."""
        while True:
            await asyncio.sleep(self._rng.expovariate(self._is.errors_per_hour / HOUR))
            if self._host.is_up:
                errors = self._rng.choice((1, 1, 2, 3, 12))
                self._go_bad(self._rng.choice(KINDS), errors)

    def _go_bad(self, on: On, errors: int) -> None:
        world = self._host.world
        geometry = world.firmware.geometry
        for _ in range(40):
            mfn = draw(world.hypervisor, on, self._bad, self._chance)  # type: ignore[arg-type] # frames are numbers
            if mfn is None:
                return
            address = mfn << PAGE_SHIFT
            place = geometry.places(np.array([address], np.int64))
            is_there = int(geometry.dimm_of(place)[0]) == self._is.bad_dimm
            if is_there or self._rng.random() < 0.02:
                self._bad.add(mfn)
                world.add_fault_at(Fault(address, 0.2, errors), self._loop.time())
                return

    async def _happen(self) -> None:
        """What an hour brings, at its beginning."""
        for hour in range(24):
            self._trouble._often = self._is.hours.get(hour, {})
            if hour in self._is.broker_away:
                self._bus.go_away(forget=False)
                self._loop.call_later(900, self._bus.come_back)
            if hour in self._is.restarts:
                self._keeper.stop()
            if hour in self._is.strangers:
                await self._send_nonsense()
            if hour in self._is.reboots:
                self._reboots += 1
                self._loop.create_task(self._host.reboot(240.0), name="reboot")
            await asyncio.sleep(HOUR)

    async def _send_nonsense(self) -> None:
        link = self._bus.connect("stranger", (), keep=False)
        topic = topics.ereports(self._host.nature.config.host.name)
        for _ in range(8):
            if link is not None:
                await self._bus.publish(link, Message(topic, b"nonsense"))

    async def _scrape(self) -> None:
        while True:
            await asyncio.sleep(SCRAPE_SECONDS - self._loop.time() % SCRAPE_SECONDS)
            at, page = EPOCH_NS / 1e9 + self._loop.time(), self.chronicle
            self._keeper.look()
            is_up = self._keeper.is_up and self._keeper.metrics is not None
            page.add_gauge("up", float(is_up), at)
            page.add(filter(None, (row.family(self._truth()) for row in TABLE)), at)
            if is_up and self._keeper.metrics is not None:
                families = self._keeper.metrics.registry.collect()
                page.add((f for f in families if f.name.startswith("pagewarden_")), at)
                page.add_gauge("process_start_time_seconds", self._keeper.started_at, at)
                page.add_gauge("process_resident_memory_bytes", 64e6, at)

    def _truth(self) -> Truth:
        """What the control socket of the emulated host would tell."""
        host, world = self._host, self._host.world
        made = host.books.made
        return Truth(
            host=host.nature.config.host.name,
            boot_id=host.boot_id,
            state="up" if host.is_up else "rebooting",
            past=PastTruth(boots=self._reboots),
            title="A day.",
            expect=Expect(),
            seconds=self._loop.time(),
            ereports=len(made),
            errors=sum(one.errors for one in made),
            next_seq=world.ereports,
            frames=CountsTruth(**asdict(world.hypervisor.host)),
            marked=(),
            domains=(),
            images=(),
            guests=tuple(
                GuestTruth(
                    name=guest.domain.name,
                    kind=guest.domain.kind,
                    domid=guest.domain.domid,
                    state=guest.domain.state,
                    reads=0,
                    writes=0,
                    corruptions=guest.workload.corruptions,
                    faults=guest.workload.faults,
                )
                for guest in world.guests
            ),
            source_done=False,
            is_quiet=False,
            broker_connected=True,
            outbox=len(host.source.despatch.outbox),
            unpublished=0,
        )


async def _lived(name: str, folder: Path) -> Chronicle:
    day = Day(name, folder)
    await day.run()
    return day.chronicle


def write(name: str, path: Path) -> None:
    """The day of host `name`, to the file at `path`."""
    folder = Path(tempfile.mkdtemp(prefix="pagewarden-day-"))
    slower = mock.patch.multiple(host_module, STEP_SECONDS=5.0, WORK_SECONDS=120.0)
    calmer = mock.patch.multiple(agent_module, LOOK_SECONDS=30.0, HANDSHAKE_SECONDS=10.0)
    try:
        with slower, calmer, surroundings():
            run_virtual(_lived(name, folder)).write(path)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]))
