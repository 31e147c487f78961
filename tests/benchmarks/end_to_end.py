"""Mosquitto to durable and acknowledged: how many ereports a second the agent takes of a backlog.

The agent is held (SIGSTOP) until the broker has the whole backlog, so that no sender is measured.
No page fires: each is heard of again only when its window is over. What cases cost is measured by
`retirement`.

The floor is aiomqtt itself in a process of its own, as it comes, with nothing behind it: it
receives the same messages and acknowledges them unread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from signal import SIGCONT, SIGSTOP

from tests.benchmarks.measure import QUICK, RUNS, Result, report, result
from tests.benchmarks.storm import Storm
from tests.benchmarks.wire import NEVER_FIRES, Source, a_line, received_in
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
    report([run(load) for load in LOADS])


def run(load: Load) -> Result:
    rates, floors = list[float](), list[float]()
    with a_line(NEVER_FIRES) as line:
        source = Source(line.broker).open()
        for _ in range(1 if QUICK else RUNS):
            payloads = load.payloads(storm := Storm(PAGES, STEP_NS))
            floors.append(
                len(payloads) * load.count / received_in(line.broker, source, payloads, 0)
            )
            rates.append(taken(line, source, payloads, storm.next_seq))
        source.close()
    return result(load.name, "ereports/s", rates, floors)


def taken(line: Line, source: Source, payloads: Sequence[bytes], next_seq: int) -> float:
    """The rate at which the agent takes this backlog."""
    line.signal_agent(SIGSTOP)
    source.send(payloads)
    source.forget_marks()
    line.signal_agent(SIGCONT)
    source.until_applied(next_seq)
    return source.rate()


if __name__ == "__main__":
    if PROGRAM is None:
        raise SystemExit("end_to_end: Mosquitto is not installed (apt install mosquitto)")
    main()
