"""Errors of simulated memory: how many a second come out of flaws of all modes that storm at once.

The floor is the least that any such stream must do: numpy draws a log-normal gap and a place for
each error and adds the gaps up, in portions of the same size, and that is all.
"""

import numpy as np

from emulator import presets
from emulator.machine.faults import Flaw, Mode, Persistence, Site
from emulator.machine.model import HOUR_NS
from emulator.machine.stream import CHUNK_MAX, stream
from tests.benchmarks.measure import QUICK, RUNS, Stopwatch, report, result

ERRORS = 40_000 if QUICK else 1_000_000  # of each flaw


def a_storm(at: int, mode: Mode) -> Flaw:
    site = Site(at, 0, 1, 1, 1000 * at, 7)
    return Flaw(mode, Persistence.PERMANENT, site, at * HOUR_NS, ERRORS, seed=at)


FLAWS = [a_storm(at, mode) for at, mode in enumerate(Mode)]


def main() -> None:
    rates = [rate_of_stream() for _ in range(RUNS)]
    floors = [rate_of_draws() for _ in range(RUNS)]
    report([result("stream_generate", "ereports/s", rates, floors)])


def rate_of_stream() -> float:
    preset = presets.load("ddr5")
    watch = Stopwatch()
    errors = sum(len(chunk) for chunk in stream(FLAWS, preset.model, preset.host))
    return errors / watch.seconds()


def rate_of_draws() -> float:
    rng = np.random.default_rng(8412)
    watch = Stopwatch()
    total = ERRORS * len(FLAWS)
    for _ in range(0, total, CHUNK_MAX):
        np.cumsum(np.exp(rng.standard_normal(CHUNK_MAX)).astype(np.int64))
        rng.integers(0, 1 << 39, CHUNK_MAX)
    return total / watch.seconds()


if __name__ == "__main__":
    main()
