"""What a seed stands for: a host, its guests, what goes bad when, and what else goes wrong.

A life is a row of episodes of a few minutes, with hours or days between them in which nothing
happens. In the first ones there is trouble; then there is none any more, but pages go on going bad.
All of it is drawn before the life begins, but for what is drawn call by call and message by message
(`trouble.py`), each from a stream of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from agent.contract.requests import Wish
from agent.contract.toolstack import GuestKind, Paging
from emulator.config import (
    EmulatorConfig,
    HostSettings,
    MemorySettings,
    TelemetrySettings,
    WorkloadSettings,
)
from emulator.scenario import On, PeerSettings, Scenario
from emulator.xen.layout import GuestSpec, Layout
from tests.simulation.host import Nature
from tests.simulation.trouble import Kind, drawn

HOST = "hv-1"
FRAMES = 4096
HALF_A_DAY = {"begin": "06:00", "end": "18:00"}

BREAKABLE = (
    On.FREE,
    On.FREE,
    On.HVM,
    On.HVM,
    On.PV,
    On.PV,
    On.PAGE_TABLE,
    On.MAPPED,
    On.DEVICE,
    On.DEVICE,
    On.SHADOW,
    On.HVM_STATE,
    On.SHARED,
    On.DOM0,
    On.XEN_HEAP,
)

WISHES = (*[Wish.OFFLINE] * 6, *[Wish.ONLINE] * 3, *[Wish.CANCEL] * 3, Wish.EVACUATE)

# How many of each there are in an episode that has them at all.
TIMES: dict[Kind, int] = {
    Kind.BROKEN_LINK: 3,
    Kind.BROKER_AWAY: 1,
    Kind.BROKER_FORGETS: 1,
    Kind.GUEST_CRASHES: 1,
    Kind.GUEST_REBOOTS: 1,
    Kind.GUEST_LEAVES: 1,
    Kind.MAPPER: 2,
    Kind.KEEPS_DEVICE: 2,
    Kind.MARKS: 2,
    Kind.HOST_REBOOTS: 1,
    Kind.POWER_CUT: 3,
    Kind.RESTART: 1,
    Kind.CLOCK_STEP: 1,
}


@dataclass(frozen=True, slots=True)
class GoesBad:
    """A page of this kind yields `errors`, so many seconds into the episode."""

    at: float
    on: On
    errors: int
    errors_per_second: float


@dataclass(frozen=True, slots=True)
class Happens:
    """`number` is how long, how far or how soon, as `kind` has it. A host that reboots may take the
    agent with it, which then lives on that host, and get another DIMM: from 0 to 1, which.
    """

    at: float
    kind: Kind
    number: float = 0.0
    takes_agent: bool = False
    dimm: float | None = None


@dataclass(frozen=True, slots=True)
class Asks:
    """An operator wants something."""

    at: float
    wish: Wish


Event = GoesBad | Happens | Asks


@dataclass(frozen=True, slots=True)
class Episode:
    """`after` is how many seconds nothing happened before it."""

    after: float
    seconds: float
    is_troubled: bool
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """One life. `agent` are keys of its configuration, table by table."""

    name: str
    seed: int
    nature: Nature
    agent: dict[str, dict[str, Any]]
    often: dict[Kind, float]
    episodes: tuple[Episode, ...]

    @property
    def n(self) -> int:
        """How many errors make a page bad."""
        return int(self.agent["diagnosis"]["page"]["n"])


def plan_of(seed: int) -> Plan:
    rng = Random(f"plan {seed}")
    often = drawn(rng)
    n = rng.choice((2, 2, 3))
    return Plan(
        f"seed {seed}",
        seed,
        _nature(seed, rng),
        _agent(rng, n),
        often,
        tuple(_episodes(rng, often, n)),
    )


def told_plan(name: str, *episodes: Episode) -> Plan:
    """A life that is not drawn: these episodes, on a host with guests of every kind."""
    rng = Random("a told life")
    nature = _nature(0, rng)
    layout = replace(nature.layout, guests=tuple(_guests(rng)))
    nature = replace(nature, layout=layout)
    return Plan(name, 0, nature, _agent(rng, n=2), {}, episodes)


def _nature(seed: int, rng: Random) -> Nature:
    config = EmulatorConfig(
        seed=seed,
        host=HostSettings(name=HOST),
        memory=MemorySettings(channels=rng.choice((2, 4, 4, 12))),
        workload=WorkloadSettings(accesses_per_second=25),
    )
    telemetry = TelemetrySettings(
        encoding=rng.choice(("packed", "packed", "json")), batch_max=rng.choice((1, 2, 8))
    )
    peers = (PeerSettings(name="peer-1", memory=rng.choice((1 << 20, 16 << 20))),)
    scenario = Scenario(title="A life.", peers=peers)
    return Nature(config, _layout(rng), telemetry, scenario)


def _layout(rng: Random) -> Layout:
    guests = [guest for guest in _guests(rng) if rng.random() < 0.85]
    return Layout(FRAMES, 64, 256, tuple(guests))


def _guests(rng: Random) -> Iterator[GuestSpec]:
    """One of each kind that differs to whoever must move a page of it."""
    yield GuestSpec("db", GuestKind.PV, 200, shared_pages=1, ring_pages=rng.choice((0, 2)))
    yield GuestSpec("web", GuestKind.HVM, 192, pool_pages=8, state_pages=1, shared_pages=1)
    yield GuestSpec(
        "mail",
        GuestKind.HVM,
        96,
        paging=Paging.SHADOW,
        pool_pages=8,
        state_pages=1,
        cow_pages=rng.choice((0, 4)),
    )
    yield GuestSpec("edge", GuestKind.PVH, 80, pool_pages=4, pod_pages=rng.choice((0, 8)))
    yield GuestSpec(
        "net",
        GuestKind.HVM,
        64,
        pool_pages=4,
        ring_pages=2,
        devices=("nic",),
        buffer_pages=4,
        keeps_devices=rng.random() < 0.1,
    )
    yield GuestSpec(
        "disk", GuestKind.PV, 64, devices=("hba",) if rng.random() < 0.7 else (), buffer_pages=4
    )


def _agent(rng: Random, n: int) -> dict[str, dict[str, Any]]:
    return {
        "diagnosis": {"page": {"n": n, "window_hours": 24.0}},
        "journal": {"snapshot_every_batches": rng.choice((2, 5, 1024))},
        "retirement": {
            "retired_memory_fraction_max": rng.choice((0.0005, 0.002, 0.01)),
            "pages_per_rank_max": rng.choice((1, 3, 64)),
            "pauses_per_guest_and_hour_max": rng.choice((1, 3, 12)),
            "windows": rng.choice(((), (), (HALF_A_DAY,))),
            "cases_in_flight_max": rng.choice((1, 3, 8)),
            "migrate_to": rng.choice(("", "here", "peer-1")),
            "mapped_seconds_max": 20.0,
            "detach_seconds_max": rng.choice((2.0, 20.0)),
            "retry_seconds_max": 30.0,
            "watch_seconds": 15.0,
        },
        "hypervisor": {"call_seconds_max": 5.0, "guest_seconds_max": 30.0},
    }


def _episodes(rng: Random, often: dict[Kind, float], n: int) -> Iterator[Episode]:
    troubled, is_asked = rng.randint(2, 4), rng.random() < 0.5
    for number in range(troubled + rng.randint(1, 3)):
        after = 0.0 if number == 0 else rng.choice((2.0, 9.0, 30.0, 80.0)) * 3600
        seconds = rng.choice((60.0, 120.0))
        kinds = often if number < troubled else {}
        pages = list(_pages(rng, seconds, n))
        asks = _requests(rng, seconds, pages) if is_asked else ()
        events: list[Event] = [*pages, *_happenings(rng, kinds, seconds, pages), *asks]
        events.sort(key=_at)
        yield Episode(after, seconds, number < troubled, tuple(events))


def _pages(rng: Random, seconds: float, n: int) -> Iterator[GoesBad]:
    for _ in range(rng.randint(1, 5)):
        on = rng.choice(BREAKABLE)
        yield GoesBad(rng.random() * seconds * 0.8, on, rng.choice((n, n + 1, 12)), 2.0)
    for _ in range(rng.randint(0, 2)):  # healthy: this often a cell flips, and no more
        yield GoesBad(rng.random() * seconds * 0.8, rng.choice(BREAKABLE), n - 1, 2.0)


def _happenings(
    rng: Random, kinds: dict[Kind, float], seconds: float, pages: Sequence[GoesBad]
) -> Iterator[Happens]:
    """At any time, but rather when there is something to be disturbed."""
    for kind, most in TIMES.items():
        if kind in kinds:
            for _ in range(rng.randint(0, most)):
                soon = rng.choice(pages).at + 4.0 * rng.random()
                at = rng.choice((soon, rng.random() * seconds))
                takes_agent = rng.random() < 0.5
                is_replaced = Kind.DIMM_REPLACED in kinds and rng.random() < 0.7
                dimm = rng.random() if is_replaced else None
                yield Happens(at, kind, _number(rng, kind), takes_agent, dimm)


def _requests(rng: Random, seconds: float, pages: Sequence[GoesBad]) -> Iterator[Asks]:
    """At any time, but rather when something is under way."""
    for _ in range(rng.randint(0, 3)):
        at = rng.choice((rng.choice(pages).at + 6.0 * rng.random(), rng.random() * seconds))
        yield Asks(at, rng.choice(WISHES))


def _number(rng: Random, kind: Kind) -> float:
    match kind:
        case Kind.BROKER_AWAY | Kind.BROKER_FORGETS | Kind.HOST_REBOOTS:
            return rng.choice((1.0, 15.0, 60.0))
        case Kind.POWER_CUT:
            return float(round(2.0 ** (9 * rng.random())))
        case Kind.CLOCK_STEP:
            return rng.choice((-3600.0, -30.0, 0.7, 1800.0))
        case _:
            return 0.0


def _at(event: Event) -> float:
    return event.at
