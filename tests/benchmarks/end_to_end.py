"""Mosquitto to durable and acknowledged: how many ereports a second the agent takes of a backlog.

The agent is held (SIGSTOP) until the broker has the whole backlog, so that no sender is measured.
No page fires: each is heard of again only when its window is over. What cases cost is measured by
`retirement`. One storm goes on through all runs: one that began anew would be late by a whole run,
and what is late is counted one by one.

The floor is aiomqtt itself in a process of its own, as it comes, with nothing behind it: it
receives the same messages and acknowledges them unread.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from signal import SIGCONT, SIGSTOP

from tests.benchmarks.measure import QUICK, RUNS, Result, report, result
from tests.benchmarks.storm import Storm
from tests.benchmarks.wire import NEVER_FIRES, Source, Took, a_line, processor_seconds, received_in
from tests.support.line import Line
from tests.support.mosquitto import PROGRAM

PAGES = 10_000
STEP_NS = 1_000_000  # a page errs every 10,000 ms on average; its window is 360 ns


@dataclass(frozen=True, slots=True)
class Load:
    name: str
    count: int  # ereports in a message
    messages: int
    is_json: bool = False

    def payloads(self, storm: Storm) -> list[bytes]:
        make = storm.json if self.is_json else storm.packed
        return list(make(self.messages // 8 if QUICK else self.messages, self.count))


LOADS = (
    Load("e2e_packed_1024", 1024, 4000),
    Load("e2e_json_64", 64, 8000, is_json=True),
    Load("e2e_single", 1, 16_000, is_json=True),
)


def main() -> None:
    for load in LOADS:
        report(run(load))


@dataclass(slots=True)
class Found:
    """Of each run: ereports a second, and seconds of the one process for an ereport."""

    rate: list[float] = field(default_factory=list[float])
    cpu: list[float] = field(default_factory=list[float])

    def add(self, took: Took, ereports: int) -> None:
        self.rate.append(ereports / took.wall)
        self.cpu.append(took.cpu / ereports)


def run(load: Load) -> list[Result]:
    found, floor = Found(), Found()
    with a_line(NEVER_FIRES) as line:
        source, storm = Source(line.broker).open(), Storm(PAGES, STEP_NS)
        for _ in range(1 if QUICK else RUNS):
            before, payloads = storm.next_seq, load.payloads(storm)
            ereports = storm.next_seq - before
            floor.add(received_in(line.broker, source, payloads, 0), ereports)
            found.add(taken(line, source, payloads, storm.next_seq, ereports), ereports)
        source.close()
    return [
        result(load.name, "ereports/s", found.rate, floor.rate),
        result(f"{load.name}_cpu", "s an ereport", found.cpu, floor.cpu),
    ]


def taken(
    line: Line, source: Source, payloads: Sequence[bytes], next_seq: int, ereports: int
) -> Took:
    """How long the agent takes for this backlog, as if its rate had been the same throughout."""
    line.signal_agent(SIGSTOP)
    source.send(payloads)
    source.forget_marks()
    before = processor_seconds(line.agent_pid)
    line.signal_agent(SIGCONT)
    source.until_applied(next_seq)
    return Took(ereports / source.rate(), processor_seconds(line.agent_pid) - before)


if __name__ == "__main__":
    if PROGRAM is None:
        raise SystemExit("end_to_end: Mosquitto is not installed (apt install mosquitto)")
    main()
