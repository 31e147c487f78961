"""From bytes to verdicts, with nothing else in the way: decode, admit, count, judge.

Every page has been seen before, so the table has its size, and hardly any fires: each errs again
when its window is long over. `verdicts_firing` is of a storm in which every page fires once.
Seconds are those of the processor.

`verdicts_packed_*` judge pages, whatever the ereports name. `verdicts_rows_*` judge rows and banks
as well, with the default thresholds: `verdicts_rows_10k` where every ereport names the place that
its page lies in, so that most of the rows have failed before long, as they do in a storm;
`verdicts_rows_unnamed` where ereports name no bank; and `verdicts_rows_1m`, the worst there is,
where there are ten times as many rows as the table holds, so that ever others make room.

Floors: a bare numpy pass over the same columns (each read once, none checked) for packed messages,
and the JSON parser without any validation for the others. For a page's bytes: its number and the
N - 1 times that it cannot do without.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from pydantic_core import from_json

from agent.contract.codec import decode
from agent.contract.columns import COLUMNS
from agent.contract.ereport import BATCH_MAX
from agent.diagnosis.admission import Admission
from agent.diagnosis.diagnosis import Diagnosis
from agent.diagnosis.dram import Dram
from agent.diagnosis.engines import SerdSettings
from agent.diagnosis.policy import Policy
from tests.benchmarks.measure import (
    QUICK,
    RUNS,
    Effort,
    Result,
    report,
    resident_bytes,
    result,
)
from tests.benchmarks.storm import HOST, STRIDE, Storm

EREPORTS = 1 << 17 if QUICK else 1 << 20
JSON_EREPORTS = 1 << 14 if QUICK else 1 << 17
JSON_COUNT = BATCH_MAX
MANY = 1 << 17 if QUICK else 1_000_000
SETTINGS = SerdSettings(n=2, window_ns=2, pages_max=1_000_000)
DAY_NS = 86_400 * 10**9
ROW = SerdSettings(n=4, window_ns=DAY_NS, pages_max=100_000)
BANK = SerdSettings(n=16, window_ns=DAY_NS, pages_max=16_384)


def main() -> None:
    report([tracked_page()])  # first, while no memory has been used before
    report([packed("verdicts_packed_10k", 10_000), packed("verdicts_packed_1m", MANY), json()])
    report([firing()])
    report([rows("verdicts_rows_10k", Storm(10_000)), rows("verdicts_rows_1m", Storm(MANY))])
    report([rows("verdicts_rows_unnamed", Storm(10_000, names_banks=False))])


def packed(name: str, pages: int) -> Result:
    return judged(name, Storm(pages), a_diagnosis())


def rows(name: str, storm: Storm) -> Result:
    policy = Policy(SETTINGS, dram=Dram(ROW, BANK))
    return judged(name, storm, Diagnosis(Admission(HOST), policy))


def judged(name: str, storm: Storm, diagnosis: Diagnosis) -> Result:
    """Each page once, to fill the table; then runs of a storm on them."""
    fill(diagnosis, storm, storm.pages)
    rates, floors = list[float](), list[float]()
    for _ in range(RUNS):
        messages = list(storm.packed(EREPORTS // BATCH_MAX, BATCH_MAX))
        rates.append(rate(EREPORTS, messages, taking(diagnosis)))
        floors.append(rate(EREPORTS, messages, pass_over))
    return result(name, "ereports/s", rates, floors)


def json() -> Result:
    storm, diagnosis = Storm(10_000), a_diagnosis()
    fill(diagnosis, storm, 10_000)
    rates, floors = list[float](), list[float]()
    for _ in range(RUNS):
        messages = list(storm.json(JSON_EREPORTS // JSON_COUNT, JSON_COUNT))
        rates.append(rate(JSON_EREPORTS, messages, taking(diagnosis)))
        floors.append(rate(JSON_EREPORTS, messages, from_json))
    return result("verdicts_json", "ereports/s", rates, floors)


def firing() -> Result:
    """Each of a million pages errs twice at once."""
    rates, floors = list[float](), list[float]()
    for _ in range(RUNS):
        storm, diagnosis = Storm(MANY), a_diagnosis()
        messages = list(storm.twice(EREPORTS // BATCH_MAX, BATCH_MAX))
        rates.append(rate(EREPORTS, messages, taking(diagnosis)))
        floors.append(rate(EREPORTS, messages, pass_over))
    return result("verdicts_firing", "ereports/s", rates, floors)


def tracked_page() -> Result:
    """What a page costs in a full table."""
    before = resident_bytes()
    diagnosis = a_diagnosis()
    fill(diagnosis, Storm(SETTINGS.pages_max), SETTINGS.pages_max)
    each = (resident_bytes() - before) / len(diagnosis.policy.serd)
    return result("tracked_page", "bytes", [each], [8 + 8 * (SETTINGS.n - 1)])


def a_diagnosis() -> Diagnosis:
    return Diagnosis(Admission(HOST), Policy(SETTINGS))


def taking(diagnosis: Diagnosis) -> Callable[[bytes], object]:
    return lambda message: diagnosis.take(decode(message))


def fill(diagnosis: Diagnosis, storm: Storm, pages: int) -> None:
    """An error on each page, in no order."""
    mfns = np.random.default_rng(1).permutation(pages) * STRIDE
    for at in range(0, pages, BATCH_MAX):
        diagnosis.take(storm.batch(len(mfns[at : at + BATCH_MAX]), mfns[at : at + BATCH_MAX]))


def rate(ereports: int, messages: Sequence[bytes], work: Callable[[bytes], object]) -> float:
    watch = Effort()
    for message in messages:
        work(message)
    return ereports / watch.seconds()


def pass_over(message: bytes) -> Iterable[object]:
    """Read every column of a full message once."""
    at = len(message) - BATCH_MAX * sum(dtype.itemsize for _, dtype in COLUMNS)
    found: list[object] = []
    for _, dtype in COLUMNS:
        found.append(np.frombuffer(message, dtype, BATCH_MAX, at).max())
        at += BATCH_MAX * dtype.itemsize
    return found


if __name__ == "__main__":
    main()
