"""Is the agent as quick, and as small, after an hour as in the first minutes?

As `latency.py`, for as long as SOAK_SECONDS says (an hour), at SOAK_RATE ereports a second (10,000)
with SOAK_EACH of them in a message (64); the 99th percentile of each twelfth is told. It is no part
of `make bench`: `make bench BENCHES=soak`.

Floors: the same message to a subscriber that does nothing with it; what the agent held when the
first twelfth was over, with its cases: some 4 pages fail each second.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.benchmarks.latency import ENOUGH, Heard, Pace, hear, p99
from tests.benchmarks.measure import QUICK, Result, held_bytes, report, result
from tests.benchmarks.wire import NEVER_FIRES, a_line
from tests.support.mosquitto import PROGRAM

SECONDS = float(os.environ.get("SOAK_SECONDS", "60" if QUICK else "3600"))
RATE = int(os.environ.get("SOAK_RATE", "10000"))
EACH = int(os.environ.get("SOAK_EACH", "64"))
PARTS = 12
FAILING_PER_SECOND = 4


def main() -> None:
    pace = Pace(RATE, EACH, SECONDS, max(1, RATE // EACH // FAILING_PER_SECOND))
    with (
        a_line({**NEVER_FIRES, **ENOUGH}) as line,
        every(SECONDS / PARTS, lambda: held_bytes(line.agent_pid)) as held,
    ):
        heard = hear(line, pace)
    report([*parts(heard), result("soak_rss", "bytes", held[-1:], held[:1])])


def parts(heard: Heard) -> Iterator[Result]:
    """One line for each twelfth."""
    first = heard.probes[0][0]
    for part in range(PARTS):
        of_part = [_within(spans, first, part) for spans in (heard.probes, heard.floors)]
        probes, floors = (p99(spans) for spans in of_part)
        yield result(f"soak_p99_{part + 1:02}", "seconds", [probes], [floors])


def _within(
    spans: Sequence[tuple[float, float]], first: float, part: int
) -> list[tuple[float, float]]:
    return [each for each in spans if int((each[0] - first) / SECONDS * PARTS) == part]


@contextmanager
def every(seconds: float, look: Callable[[], float]) -> Iterator[list[float]]:
    """What is seen, every so many seconds, as long as the context is open."""
    seen, over = list[float](), threading.Event()

    def watch() -> None:
        while not over.wait(seconds):
            seen.append(look())

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield seen
    finally:
        over.set()
        watching.join()


if __name__ == "__main__":
    if PROGRAM is None:
        raise SystemExit("soak: Mosquitto is not installed (apt install mosquitto)")
    main()
