"""How long a page takes from the error that decides to `offlined`, and how long its guest stands
still for it: rung by rung, with live migration and save–restore of the same guest beside them.

Broker, emulated host and agent are processes, and every run has its own. The page is `offlined`
when the agent has read that back and written it down.

The floor is the sum of the emulated times of the calls that it takes, and no more: no wire, no
disk, no broker, and none of the time in which the source gathers errors.
"""

import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from agent.contract.frames import PAGE_SHIFT
from agent.contract.status import CasesView, Rest, StatusView, View
from agent.contract.toolstack import ToolCall
from emulator.config import TimingSettings
from emulator.demo.agent_config import Tables
from emulator.demo.asking import ask
from emulator.edges.truth import ControlCall, FaultRequest, Truth
from emulator.scenario import On
from emulator.timing import Span, span
from tests.benchmarks.measure import QUICK, RUNS, Result, report, result
from tests.support.line import Line
from tests.support.mosquitto import PROGRAM, Mosquitto

MANY = 64
GUEST_BYTES = 64 << 20
GUEST_PAGES = GUEST_BYTES >> PAGE_SHIFT
LOOK_SECONDS = 0.02
PATIENCE_SECONDS = 30.0
TIMING = TimingSettings()
STOP = (ToolCall.SUSPEND, ToolCall.EXCHANGE, ToolCall.RESUME)

PV, HVM = 'kind = "pv"', 'kind = "hvm"'

HOST = """
[host]
memory = "2 GiB"
[telemetry]
interval_seconds = 0.005
"""

SCENARIO = """
title = "One guest, whose pages go bad when they are told to."
[[guests]]
name = "guest"
memory = "64 MiB"
{guest}
[[peers]]
name = "hv-2"
memory = "1 GiB"
"""


@dataclass(frozen=True, slots=True)
class Climb:
    """A rung, a guest with pages that are helped by it, and the calls that it takes at least."""

    name: str
    on: On
    guest: str = PV
    pages: int = 1
    calls: Sequence[ToolCall] = ()
    hypercalls: int = 2  # to offline it, and to read that back
    keys: Tables = field(default_factory=dict)

    @property
    def spans(self) -> list[Span]:
        """What each call takes, by the emulator's model."""
        return [span(call, TIMING, self._pages_of(call)) for call in self.calls]

    @property
    def floor(self) -> float:
        hypercalls = TIMING.hypercall_seconds * self.hypercalls
        return hypercalls + sum(each.seconds for each in self.spans)

    @property
    def pause_floor(self) -> float:
        return sum(each.still_seconds for each in self.spans)

    def _pages_of(self, call: ToolCall) -> int:
        return self.pages if call is ToolCall.EXCHANGE else GUEST_PAGES


def only(rung: str, migrate_to: str = "") -> Tables:
    return {"retirement": {"rungs": (rung,), "migrate_to": migrate_to}}


CLIMBS = (
    Climb("free", On.FREE),
    Climb("swap", On.HVM, HVM, hypercalls=3),
    Climb("drop_shadows", On.SHADOW, f'{HVM}\npaging = "shadow"', calls=[ToolCall.DROP_SHADOWS]),
    Climb("exchange_1", On.PV, calls=STOP),
    Climb(f"exchange_{MANY}", On.PV, pages=MANY, calls=STOP),
    Climb(
        "exchange_behind_device",
        On.DEVICE,
        f'{PV}\ndevices = ["nic0"]',
        calls=[ToolCall.DETACH, *STOP, ToolCall.ATTACH],
    ),
    Climb(
        "save_restore",
        On.PV,
        calls=[ToolCall.SAVE, ToolCall.RESTORE],
        keys=only("save_restore"),
    ),
    Climb("migrate_here", On.PV, calls=[ToolCall.MIGRATE], keys=only("migrate", "here")),
    Climb("migrate_peer", On.PV, calls=[ToolCall.MIGRATE], keys=only("migrate", "hv-2")),
)


@dataclass(slots=True)
class Found:
    """Seconds of each run; `pause` is 0 for a guest that did not stand still."""

    offlined: list[float] = field(default_factory=list[float])
    pause: list[float] = field(default_factory=list[float])


def main() -> None:
    found = {climb.name: run_all(climb) for climb in CLIMBS}
    report([line for climb in CLIMBS for line in results(climb, found[climb.name])])
    report([the_rule(found["exchange_1"], found[f"exchange_{MANY}"])])


def run_all(climb: Climb) -> Found:
    found = Found()
    for _ in range(1 if QUICK else RUNS):
        with a_line(climb) as line:
            offlined, pause = asyncio.run(run(climb, line))
        found.offlined.append(offlined)
        found.pause.append(pause)
    return found


@contextmanager
def a_line(climb: Climb) -> Iterator[Line]:
    """All of it running, and nothing wrong yet."""
    with tempfile.TemporaryDirectory(prefix="pw") as name:
        folder = Path(name)
        (folder / "host.toml").write_text(HOST)
        (folder / "scenario.toml").write_text(SCENARIO.format(guest=climb.guest))
        broker = Mosquitto(folder)
        line = Line(folder, broker, agent_keys=climb.keys)
        broker.start()
        try:
            host = ("--config", str(folder / "host.toml"))
            line.start_emulator(*host, "--scenario", str(folder / "scenario.toml"))
            line.start_agent()
            yield line
        finally:
            line.close()
            broker.kill()


async def run(climb: Climb, line: Line) -> tuple[float, float]:
    """Seconds until the last page is offlined, and of the one pause, if there was one."""
    fault = FaultRequest(on=climb.on, errors_per_second=1e5, errors_max=2, pages=climb.pages)
    began = time.time()
    await ask(line.asking.control, ControlCall.FAULTS, Truth, fault)
    retired = await all_retired(climb, line)
    status = await ask(line.asking.agent, View.STATUS, StatusView)
    return retired - began, status.guest_pauses_seconds.max


async def all_retired(climb: Climb, line: Line) -> float:
    """When the last page was, in seconds since 1970."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            cases = (await ask(line.asking.agent, View.CASES, CasesView)).cases
            retired = [case.moved_at for case in cases if case.rest is Rest.RETIRED]
            if len(retired) == climb.pages:
                return max(retired)
            await asyncio.sleep(LOOK_SECONDS)


def results(climb: Climb, found: Found) -> list[Result]:
    name = f"retirement.{climb.name}"
    lines = [result(f"{name}.offlined", "seconds", found.offlined, [climb.floor])]
    if climb.pause_floor:
        lines.append(result(f"{name}.pause", "seconds", found.pause, [climb.pause_floor]))
    return lines


def the_rule(one: Found, many: Found) -> Result:
    """The pause for many pages, and how much of it there may be: a ratio up to 1 is within that."""
    bound = 1.5 * median(one.pause) + MANY * TIMING.exchange_seconds_per_page
    print(  # noqa: T201 - a benchmark is a command, and this is its output
        f"pause for {MANY} pages: {median(many.pause):.4g} s, to be at most "
        f"1.5 × the pause for one + {MANY} × the exchange of one page = {bound:.4g} s"
    )
    return result(f"retirement.exchange_{MANY}.pause_of_bound", "seconds", many.pause, [bound])


if __name__ == "__main__":
    if PROGRAM is None:
        raise SystemExit("retirement: Mosquitto is not installed (apt install mosquitto)")
    main()
