"""The host: the emulator's own world, whose calls take time and go wrong, and which reboots.

    asked ──► down, or hangs: silence
      │
      ├─► refused, failed, try again: nothing is done
      │
      └─► (somebody does something) ─► done ─► (somebody does something) ─► answer, or it is lost

What a caller asked for is carried out whether or not he lives to hear of it. Commands about one
guest are carried out one after another, in the order in which they were asked for, as behind the
lock that a toolstack holds. What stops a guest happens when a call begins, what lets it go on when
a call ends.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine
from collections.abc import Set as AbstractSet
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, TypeVar
from uuid import UUID

import numpy as np

from agent.contract.columns import Batch
from agent.contract.ereport import Module
from agent.contract.errors import Unreachable
from agent.contract.frames import PAGE_SHIFT, DomId, Mfn
from agent.contract.hypercall import PageReply, PagesReply, PageStatus, Refusal
from agent.contract.outbox import Parcel
from agent.contract.toolstack import ToolCall, ToolOutcome, ToolReply
from emulator.config import EmulatorConfig, TelemetrySettings, TimingSettings
from emulator.scenario import Scenario
from emulator.timing import span
from emulator.world import World
from emulator.xen.frametable import FrameState
from emulator.xen.layout import Layout
from emulator.xen.moving import Step, Trip
from emulator.xen.trouble import Trouble as Mishap
from tests.simulation.bus import Bus
from tests.simulation.clock import EPOCH_NS, WallClock
from tests.simulation.guests import Guests
from tests.simulation.source import Source
from tests.simulation.trace import Trace
from tests.simulation.trouble import Kind, Trouble

Told = TypeVar("Told")
Reply = TypeVar("Reply", PagesReply, ToolReply)

STEP_SECONDS = 1.0  # between two looks at the memory's faults
WORK_SECONDS = 9.0  # between two stretches of the guests' work
SLOW_SECONDS = (1.0, 8.0, 40.0)

BEGINS_WITH_ITS_ACT = frozenset({ToolCall.SUSPEND, ToolCall.SAVE})

# What a guest notices, one way or the other.
STOPPING = frozenset({ToolCall.SUSPEND, ToolCall.SAVE, ToolCall.MIGRATE})

FOR_GOOD = frozenset({Refusal.XEN_HEAP, Refusal.OUT_OF_RANGE})

TRIPS = tuple(step for step in Step if step is not Step.RELEASE)


@dataclass(frozen=True, slots=True)
class Made:
    """One ereport that the host made: what it says, and when that truly was."""

    boot_id: UUID
    seq: int
    at: float
    time_ns: int
    mfn: Mfn
    errors: int


@dataclass(frozen=True, slots=True)
class Stop:
    """A guest was running, and was stopped or moved: at `at`, when clocks on the wall said so."""

    at: float
    time_ns: int


@dataclass(frozen=True, slots=True)
class Before:
    """Of the boot before: what was out of use at its end, what of that others had marked, and which
    DIMMs there were.
    """

    offlined: frozenset[Mfn] = frozenset()
    marked: frozenset[Mfn] = frozenset()
    modules: tuple[Module, ...] = ()


@dataclass(slots=True)
class Books:
    """What the host really made, of all its boots, and what it may have taken with it.

    `promised` is what the broker has delivered to the agent's session, or still keeps for it.
    """

    promised: AbstractSet[bytes]
    made: list[Made] = field(default_factory=list[Made])
    buried: dict[UUID, tuple[Parcel, ...]] = field(default_factory=dict[UUID, tuple[Parcel, ...]])

    def may_be_lost(self, boot_id: UUID, seq: int) -> bool:
        """True if the host went down before the agent, or the broker for it, surely had it."""
        return any(
            parcel.first <= seq <= parcel.last and parcel.payload not in self.promised
            for parcel in self.buried.get(boot_id, ())
        )


@dataclass(frozen=True, slots=True)
class Nature:
    """What a host is made of."""

    config: EmulatorConfig
    layout: Layout
    telemetry: TelemetrySettings
    scenario: Scenario
    timing: TimingSettings = field(default_factory=TimingSettings)


class Host:
    """One host, through all its boots. Make it inside the loop, and outside of any process."""

    def __init__(
        self, nature: Nature, bus: Bus, clock: WallClock, trouble: Trouble, trace: Trace
    ) -> None:
        self.nature = nature
        self.books = Books(bus.promised)
        self.is_up = True
        self.calls = 0
        self.refused: set[int] = set()  # pages that it said it cannot give, for good
        self.stops: dict[str, list[Stop]] = {}  # by guest, of this boot: when it was stopped for us
        self.before = Before()
        self.excused: dict[str, float] = {}  # by guest: when something last kept it from going on
        self.rng = Random(nature.config.seed)
        self._bus = bus
        self._clock = clock
        self._trouble = trouble
        self._trace = trace
        self._context: Context = copy_context()
        self._loop = asyncio.get_running_loop()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._unwritten: set[str] = set()
        self._homes: dict[str, str] = {}  # the guest of each image
        self.world = World(
            nature.config, nature.scenario, nature.layout, self._fresh_boot_id(), EPOCH_NS
        )
        self._worked_at = 0.0
        self.guests = Guests(self.world, self.rng, trace, self._loop.time)
        self.source = self._source()

    @property
    def boot_id(self) -> UUID:
        return self.world.firmware.boot_id

    def spawn(self, body: Coroutine[Any, Any, None], name: str) -> None:
        """Do it as the host: it goes on whatever becomes of who asked."""
        task = self._loop.create_task(body, name=name, context=self._context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def start(self) -> None:
        self.spawn(self._break_down(), "faults")
        self.spawn(self._work(), "work")

    # What happens by itself

    async def _break_down(self) -> None:
        while True:
            if self.is_up:
                self._report(self.world.step(self._loop.time()))
            await asyncio.sleep(STEP_SECONDS)

    def _report(self, batch: Batch | None) -> None:
        if batch is None:
            return
        batch = replace(batch, time_ns=batch.time_ns + self._clock.offset_ns)
        counts = np.maximum(batch.count, 1)  # not `batch.errors`: that is the agent's reading
        columns = (batch.seq, batch.time_ns, batch.mfn, counts)
        rows = zip(*(column.tolist() for column in columns), strict=True)
        now = self._loop.time()
        made = [Made(self.boot_id, seq, now, ns, Mfn(mfn), errors) for seq, ns, mfn, errors in rows]
        self.books.made += made
        for one in made:
            self._trace("host", f"ereport {one.seq}: {one.errors} at page {one.mfn:#x}")
        self.source.send(batch)

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(WORK_SECONDS)
            self.work()

    def work(self) -> None:
        """Guests use their memory, and so do devices and mappers."""
        if self.is_up:
            self.world.work(self._loop.time())

    # What is asked

    async def tell(self, name: str, what: Callable[[], Told]) -> Told | None:
        """Answer a question about the host; None if there is no answer."""
        if not await self._let_in(name, "", self.nature.timing.hypercall_seconds):
            return None
        if self._trouble.happens(Kind.LOSE_ANSWER):
            raise Unreachable(f"{name}: the connection was reset")
        return what()

    async def pages(
        self, call: str, mfns: tuple[int, ...], act: Callable[[], PagesReply]
    ) -> PagesReply | None:
        """Carry out a hypercall; None if there is no answer.

        Raises:
            Unreachable: if the connection breaks before the answer.
        """
        if not await self._let_in(call, "", self.nature.timing.hypercall_seconds):
            return None
        self._meddle(mfns)
        if call != "query" and self._trouble.happens(Kind.TRY_AGAIN):
            return self._not_now(mfns)
        reply = act()
        self.refused |= {page.mfn for page in reply.pages if page.refusal in FOR_GOOD}
        self._trace("host", f"{call} {_hex(mfns)}: {' '.join(p.status for p in reply.pages)}")
        self._meddle(mfns)
        return await self._answered(call, "", reply)

    def _not_now(self, mfns: tuple[int, ...]) -> PagesReply:
        table = self.world.hypervisor.table
        pages = tuple(
            PageReply(
                mfn=mfn,
                status=PageStatus.FAILED,
                use=table.use_of(Mfn(mfn)),
                refusal=Refusal.NO_FREE_MEMORY,
            )
            for mfn in mfns
        )
        return PagesReply(changed=False, pages=pages)

    async def command(
        self,
        call: ToolCall,
        about: int | str,
        act: Callable[[], ToolReply],
        pages: int = 0,
        image: str = "",
    ) -> ToolReply | None:
        """Carry out a command about a guest (by domid, or by image); as `pages`."""
        guest = self.name_of(about)
        seconds = span(call, self.nature.timing, pages or self.size_of(guest)).seconds
        async with self._locks[guest]:
            if not await self._let_in(call.name, guest, 0.001):
                return None
            self._meddle_with(guest)
            outcome = self._word()
            if outcome is not None:
                self._excuse(guest)
                self._trace("toolstack", f"{call.name} {guest} ({about}): {outcome}, as drawn")
                return ToolReply(outcome=outcome, reason="trouble was drawn")
            reply = await self._act(call, guest, act, seconds, image)
            if reply is None:
                return None
            text = f"{reply.outcome} {reply.reason}"
            self._trace("toolstack", f"{call.name} {guest} ({about}): {text}")
            if reply.outcome is not ToolOutcome.DONE:
                self._excuse(guest)
            self._meddle_with(guest)
            self.work()
        return await self._answered(call.name, guest, reply)

    async def _act(
        self,
        call: ToolCall,
        guest: str,
        act: Callable[[], ToolReply],
        seconds: float,
        image: str = "",
    ) -> ToolReply | None:
        """In its time; None if the host went down meanwhile."""
        boot_id = self.boot_id
        if image:
            self._unwritten.add(image)
        if call in BEGINS_WITH_ITS_ACT:
            reply = self._done(call, guest, act)
            await asyncio.sleep(seconds)
            self._unwritten.discard(image)
            return reply if self.boot_id == boot_id and self.is_up else None
        await asyncio.sleep(seconds)
        if self.boot_id != boot_id or not self.is_up:
            return None
        return self._done(call, guest, act)

    def _done(self, call: ToolCall, guest: str, act: Callable[[], ToolReply]) -> ToolReply:
        domain = self.guests.domain(guest)
        if call in STOPPING and domain is not None and domain.is_running:
            reply = self._carried_out(call, act)
            if reply.outcome is ToolOutcome.DONE:
                stop = Stop(self._loop.time(), self._clock())
                self.stops.setdefault(guest, []).append(stop)
            return reply
        return self._carried_out(call, act)

    def _carried_out(self, call: ToolCall, act: Callable[[], ToolReply]) -> ToolReply:
        toolstack = self.world.toolstack
        if self._trouble.happens(Kind.HALF_WAY):
            trip = Trip(self.rng.choice(TRIPS)) if call is ToolCall.EXCHANGE else None
            toolstack.trouble = Mishap(trip=trip, half_way=frozenset({call}))
        try:
            return act()
        finally:
            toolstack.trouble = Mishap()

    async def _let_in(self, call: str, guest: str, seconds: float) -> bool:
        """Wait as long as the way to the host takes; false if it swallows the call."""
        self.calls += 1
        if self._trouble.happens(Kind.SLOW):
            seconds += self._trouble.rng.choice(SLOW_SECONDS) * self._trouble.rng.random()
            self._excuse(guest)
        boot_id = self.boot_id
        await asyncio.sleep(seconds)
        if self._trouble.happens(Kind.HANG):
            self._excuse(guest)
            self._trace("host", f"{call} {guest}: hangs")
            return False
        return self.is_up and self.boot_id == boot_id

    def _word(self) -> ToolOutcome | None:
        """What a command comes to without anything being done, if it comes to that."""
        words = {
            Kind.REFUSE: ToolOutcome.REFUSED,
            Kind.FAIL: ToolOutcome.FAILED,
            Kind.TRY_AGAIN: ToolOutcome.TRY_AGAIN,
        }
        return next((words[kind] for kind in words if self._trouble.happens(kind)), None)

    async def _answered(self, call: str, guest: str, reply: Reply) -> Reply | None:
        if not self._trouble.happens(Kind.LOSE_ANSWER):
            return reply
        self._excuse(guest)
        self._trace("host", f"{call} {guest}: the answer is lost")
        if self._trouble.rng.random() < 0.5:
            return None
        raise Unreachable(f"{call}: the connection was reset")

    def _excuse(self, guest: str) -> None:
        self.excused[guest] = self._loop.time()

    def name_of(self, about: int | str) -> str:
        """Whom a domid or an image is about."""
        if isinstance(about, str):
            return self._homes.get(about, about)
        hypervisor = self.world.hypervisor
        domain = hypervisor.domains.get(DomId(about)) or hypervisor.dying.get(DomId(about))
        return domain.name if domain else f"domain {about}"

    def size_of(self, name: str) -> int:
        return next((g.pages for g in self.nature.layout.guests if g.name == name), 0)

    def remember_home(self, image: str, domid: int) -> None:
        if DomId(domid) in self.world.hypervisor.domains:
            self._homes.setdefault(image, self.name_of(domid))

    # Who else does something

    def _meddle(self, mfns: tuple[int, ...]) -> None:
        """Somebody does something to the owner of a page, or to the page."""
        table = self.world.hypervisor.table
        for mfn in mfns[:1]:
            if self._trouble.happens(Kind.BACK_ONLINE):
                self.guests.bring_online(Mfn(mfn))
            owner = table.owner_of(Mfn(mfn))
            guest = "" if owner is None else self.name_of(owner)
            if not self._locks[guest].locked():
                self._meddle_with(guest)

    def _meddle_with(self, guest: str) -> None:
        for kind, deed in self.guests.deeds.items():
            if self._trouble.happens(kind):
                deed(guest)
                self._excuse(guest)

    def meddle_at_random(self, kind: Kind) -> None:
        """Somebody does this to some guest that nobody else is at."""
        names = [name for name in self.guests.names if not self._locks[name].locked()]
        if names:
            guest = self.rng.choice(names)
            self.guests.deeds[kind](guest)
            self._excuse(guest)

    # Down and up again

    async def reboot(self, seconds: float) -> None:
        """The host goes down, and is back as another boot; no call under way is heard of again."""
        self.is_up = False
        self._trace("host", f"down for {seconds:.0f} s")
        self.books.buried[self.boot_id] = self.source.left()
        self.source.end()
        self.world.stand_still()
        self.guests.remember_all()
        await asyncio.sleep(seconds)
        self._look_back()
        self.world.reboot(self._fresh_boot_id(), self._loop.time(), self._unwritten)
        self._unwritten.clear()
        self._locks.clear()
        self.source = self._source()
        self.is_up = True
        for name in self.guests.names:
            self._excuse(name)
        self._trace("host", f"up as boot {self.boot_id}")

    def _look_back(self) -> None:
        """Remember of the boot that ends what the next one is judged by."""
        marked = self.world.hypervisor.table.marked()
        others = frozenset(self.guests.marked)
        offlined = (mfn for mfn, state in marked.items() if state is FrameState.OFFLINED)
        self.before = Before(frozenset(offlined), others, self.world.firmware.modules)
        self.stops.clear()
        self.guests.marked.clear()

    def replace_dimm(self, number: float) -> None:
        """Somebody will put another DIMM into one of the slots while the host is down."""
        labels = self.world.firmware.geometry.labels
        label = labels[int(number * len(labels))]
        self._trace("host", f"is to get another DIMM in {label}")
        self.world.replace_dimm(label)

    def is_replaced(self, mfn: int) -> bool:
        """True if the page lies on another DIMM than in the boot before."""
        geometry = self.world.firmware.geometry
        places = geometry.places(np.array([mfn], np.int64) << PAGE_SHIFT)
        slot = geometry.labels[int(geometry.dimm_of(places)[0])]
        of_slot = [m.identity for m in self.before.modules if m.label == slot]
        return of_slot != [m.identity for m in self.world.firmware.modules if m.label == slot]

    def _fresh_boot_id(self) -> UUID:
        return UUID(int=self.rng.getrandbits(128), version=4)

    def _source(self) -> Source:
        settings = self.nature.telemetry
        return Source(
            self._bus, self.nature.config.host.name, self.boot_id, settings, self._context
        )


def _hex(mfns: tuple[int, ...]) -> str:
    return " ".join(f"{mfn:#x}" for mfn in mfns)
