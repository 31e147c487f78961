"""What a benchmark found: each number with its spread, and beside the least it could have been.

The floor is measured in the same run, so that a slow machine is not taken for slow code. Nothing
is asserted here: a number is for people, and for the one that comes after it.
"""

import gc
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

QUICK = os.environ.get("BENCH_QUICK") == "1"
RUNS = 3
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
WHERE = Path("bench.json")


@dataclass(frozen=True, slots=True)
class Result:
    """`ratio` is how often the floor fits into the median; for a rate, the other way round."""

    name: str
    unit: str
    median: float
    min: float
    max: float
    floor: float
    ratio: float

    def __str__(self) -> str:
        spread = f"{self.median:14,.4g}  {self.min:10,.4g} to {self.max:<10,.4g}"
        return f"{self.name:<36}{spread} {self.unit:<15}{self.ratio:8.1f} × the floor"


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self._since = clock()

    def seconds(self) -> float:
        return max(self._clock() - self._since, 1e-9)


class Effort(Stopwatch):
    """Seconds of this process at work since it was made, whoever else wants the machine."""

    def __init__(self) -> None:
        super().__init__(process_time)


def result(name: str, unit: str, values: Sequence[float], floors: Sequence[float]) -> Result:
    """One line of what was found; a unit that ends in `/s` is a rate, and more of it is better."""
    middle, floor = median(values), median(floors)
    ratio = floor / middle if unit.endswith("/s") else middle / floor
    return Result(name, unit, middle, min(values), max(values), floor, ratio)


def report(results: Sequence[Result]) -> None:
    """Print the results, and keep them in `bench.json` in place of older ones of the same name."""
    for line in results:
        print(line)  # noqa: T201 - a benchmark is a command, and this is its output
    names = {each.name for each in results}
    others = [each for each in _kept() if each["name"] not in names]
    kept = [*others, *(asdict(each) for each in results)]
    WHERE.write_text(json.dumps({"results": kept}, indent=1) + "\n", encoding="utf-8")


def resident_bytes() -> int:
    """What this process holds, once what nobody uses any more has been given back."""
    gc.collect()
    return held_bytes(os.getpid())


def held_bytes(pid: int) -> int:
    """What a process has of the machine's memory."""
    return int((Path("/proc") / str(pid) / "statm").read_text().split()[1]) * PAGE_BYTES


def _kept() -> list[dict[str, object]]:
    try:
        kept: list[dict[str, object]] = json.loads(WHERE.read_text(encoding="utf-8"))["results"]
    except (OSError, ValueError, KeyError):
        return []
    return kept
