"""Twice what the agent can take, for a minute: what memory it takes, and how it comes out of it.

How fast it is is measured first. Then ereports come at twice that rate, and then no more. It must
say that it is behind while it is, have everything in the end, and say so no more. The broker holds
what is not taken yet: this source sends nothing twice.

`overload_rss` is the most that the agent held, beside what it held before. `overload_catch_up` is
how long it took to have all that had come, beside how long half of that takes at its own pace.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from signal import SIGCONT, SIGSTOP

from agent.adapters.client import fetch
from agent.contract.status import StatusView, View
from tests.benchmarks.measure import QUICK, Result, held_bytes, report, result
from tests.benchmarks.storm import Storm
from tests.benchmarks.wire import NEVER_FIRES, Source, a_line
from tests.support.line import Line
from tests.support.mosquitto import PROGRAM

SECONDS = 12.0 if QUICK else 60.0
EACH = 16  # small messages: it is their number that is too much
WARM_UP = 4000  # messages
LOOK_SECONDS = 0.25


@dataclass(slots=True)
class Watch:
    """Looks at the agent from outside, until told to stop."""

    line: Line
    most: int = 0
    said_behind: bool = False
    done: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        while not self.done.wait(LOOK_SECONDS):
            self.most = max(self.most, held_bytes(self.line.agent_pid))
            self.said_behind |= self.is_behind()

    def is_behind(self) -> bool:
        status = fetch(self.line.asking.agent, View.STATUS, StatusView, deadline_seconds=60.0)
        return any(each.startswith("behind") for each in status.ailments)


@contextmanager
def watching(line: Line) -> Iterator[Watch]:
    watch = Watch(line)
    looking = threading.Thread(target=watch.look)
    looking.start()
    try:
        yield watch
    finally:
        watch.done.set()
        looking.join()


def main() -> None:
    with a_line(NEVER_FIRES, queued_max=0) as line:
        source = Source(line.broker).open()
        report(run(line, source))
        source.close()


def run(line: Line, source: Source) -> list[Result]:
    storm = Storm(10_000, 1_000_000)
    pace = own_pace(line, source, storm)
    before_flood = storm.next_seq
    source.forget_marks()
    with watching(line) as watch:
        before = held_bytes(line.agent_pid)
        flood(source, storm, 2 * pace)
        ended = time.perf_counter()
        source.until_applied(storm.next_seq)
        caught_up = time.perf_counter() - ended
        time.sleep(2.0)
        is_behind = watch.is_behind()
    print(f"said that it is behind: {watch.said_behind}; says so still: {is_behind}")  # noqa: T201
    return [
        result("overload_rss", "bytes", [watch.most], [before]),
        result(
            "overload_catch_up",
            "seconds",
            [caught_up],
            [(storm.next_seq - before_flood) / EACH / pace / 2],
        ),
    ]


def own_pace(line: Line, source: Source, storm: Storm) -> float:
    """Messages a second, of a backlog."""
    line.signal_agent(SIGSTOP)
    source.send(list(storm.packed(WARM_UP, EACH)))
    source.forget_marks()
    line.signal_agent(SIGCONT)
    source.until_applied(storm.next_seq)
    return source.rate() / EACH


def flood(source: Source, storm: Storm, messages_per_second: float) -> None:
    """As many as that, or as many as can be sent."""
    began, sent = time.perf_counter(), 0
    while (now := time.perf_counter() - began) < SECONDS:
        due = round(now * messages_per_second) - sent
        source.send(list(storm.packed(min(max(due, 1), 500), EACH)))
        sent += min(max(due, 1), 500)


if __name__ == "__main__":
    if PROGRAM is None:
        raise SystemExit("overload: Mosquitto is not installed (apt install mosquitto)")
    main()
