"""The frame table of a host of 1 TiB: built, a million scattered pages offlined, and asked about.

The floors are the same column of one byte a frame, made, written and read by numpy alone, with the
same frame numbers in the same portions. `table` is the table itself with its free lists; `calls`
is the hypervisor's calls, which judge each page and answer for each.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from agent.contract.columns import I64, U8
from agent.contract.hypercall import PAGES_MAX
from emulator.machine.columns import zeros
from emulator.machine.content import Content
from emulator.xen.frametable import FrameState, FrameTable
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import Layout
from tests.benchmarks.measure import (
    QUICK,
    RUNS,
    Result,
    Stopwatch,
    report,
    resident_bytes,
    result,
)

FRAMES = 1 << 24 if QUICK else 1 << 28
PAGES = 1 << 15 if QUICK else 1_000_000


@dataclass(slots=True)
class Found:
    """Seconds of each run; `memory` is bytes."""

    build: list[float] = field(default_factory=list[float])
    offline: list[float] = field(default_factory=list[float])
    query: list[float] = field(default_factory=list[float])
    memory: list[float] = field(default_factory=list[float])


def main() -> None:
    rng = np.random.default_rng(8412)
    bare, table, calls = Found(), Found(), Found()
    for _ in range(RUNS):
        pages = rng.choice(FRAMES, PAGES, replace=False)
        run_bare(bare, pages)
        run_table(table, pages)
        run_calls(calls, pages)
    report([*results("table", table, bare), *results("calls", calls, bare)])


def run_bare(found: Found, pages: I64) -> None:
    before = resident_bytes()
    watch = Stopwatch()
    column: U8 = zeros(FRAMES, np.uint8)
    found.build.append(watch.seconds())

    def write(mfns: I64) -> None:
        column[mfns] = FrameState.OFFLINED

    found.offline.append(timed(write, pages))
    found.memory.append(resident_bytes() - before)
    found.query.append(timed(column.take, pages))


def run_table(found: Found, pages: I64) -> None:
    before = resident_bytes()
    watch = Stopwatch()
    table = FrameTable(FRAMES)
    found.build.append(watch.seconds())
    found.offline.append(timed(table.offline_all, pages))
    found.memory.append(resident_bytes() - before)
    found.query.append(timed(table.offlined_among, pages))


def run_calls(found: Found, pages: I64) -> None:
    before = resident_bytes()
    watch = Stopwatch()
    host = Hypervisor(Layout(FRAMES, 0, 0), Content(FRAMES))
    found.build.append(watch.seconds())
    found.offline.append(timed(lambda mfns: host.page_offline_pending(mfns.tolist()), pages))
    found.memory.append(resident_bytes() - before)
    found.query.append(timed(lambda mfns: host.page_query(mfns.tolist()), pages))


def timed(call: Callable[[I64], object], pages: I64) -> float:
    """The seconds of as many calls as it takes for all pages."""
    watch = Stopwatch()
    for mfns in portions(pages):
        call(mfns)
    return watch.seconds()


def portions(pages: I64) -> Iterator[I64]:
    return (pages[at : at + PAGES_MAX] for at in range(0, len(pages), PAGES_MAX))


def results(name: str, found: Found, bare: Found) -> list[Result]:
    def named(what: str, unit: str, values: list[float], floors: list[float]) -> Result:
        return result(f"frame_table.{name}.{what}", unit, values, floors)

    return [
        named("build", "seconds", found.build, bare.build),
        named("offline", "frames/s", rates(found.offline), rates(bare.offline)),
        named("query", "frames/s", rates(found.query), rates(bare.query)),
        named("memory", "bytes a frame", per_frame(found.memory), per_frame(bare.memory)),
    ]


def rates(seconds: list[float]) -> list[float]:
    return [PAGES / each for each in seconds]


def per_frame(sizes: list[float]) -> list[float]:
    """Resident bytes for each frame of the host once the pages are offlined."""
    return [size / FRAMES for size in sizes]


if __name__ == "__main__":
    main()
