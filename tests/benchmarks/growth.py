"""Does an ereport cost more once there have been very many, on very many pages?

Bytes to durable, in one process: decode, judge, commit, and a snapshot as often as the agent takes
one. The pages are ten times as many as are tracked, so that in the end most ereports make another
page's engine go, and the journal is as large as it may be and forgets.

The floor is the cost of the first million, on an empty journal; seconds are the processor's. The
disk's own are in `growth_100m_wall`.
"""

import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from agent.adapters.journal_store import JournalLimits, Store
from agent.contract.codec import decode, pack
from agent.contract.ereport import BATCH_MAX
from agent.diagnosis.admission import Admission
from agent.diagnosis.diagnosis import Diagnosis, Finding
from agent.diagnosis.engines import SerdSettings
from agent.diagnosis.policy import Policy
from tests.benchmarks.measure import QUICK, Effort, Result, Stopwatch, report, result
from tests.benchmarks.storm import HOST, Storm

EREPORTS = 1 << 21 if QUICK else 100_000_000
PAGES = 200_000 if QUICK else 10_000_000
TRACKED = 20_000 if QUICK else 1_000_000
BYTES_MAX = 32 << 20 if QUICK else 1 << 30
AT_A_TIME = 1 << 18 if QUICK else 1 << 20
TOGETHER = 16  # batches in a commit
SNAPSHOT_EVERY = 1024


@dataclass(slots=True)
class Host:
    """The pipeline without its waiting."""

    store: Store
    storm: Storm = field(default_factory=lambda: Storm(PAGES))
    diagnosis: Diagnosis = field(
        default_factory=lambda: Diagnosis(
            Admission(HOST), Policy(SerdSettings(2, 2, TRACKED), None)
        )
    )
    since_snapshot: int = 0

    def take(self, ereports: int) -> tuple[float, float]:
        """Seconds of the processor and of the clock for one more ereport, on average."""
        cpu = wall = 0.0
        for _ in range(ereports // BATCH_MAX // TOGETHER):
            messages = list(self.storm.packed(TOGETHER, BATCH_MAX))
            effort, watch = Effort(), Stopwatch()
            self._take(messages)
            cpu, wall = cpu + effort.seconds(), wall + watch.seconds()
        return cpu / ereports, wall / ereports

    def _take(self, messages: list[bytes]) -> None:
        found = [self.diagnosis.take(decode(message)) for message in messages]
        blobs = [pack(each.admitted.batch) for each in found if isinstance(each, Finding)]
        self.store.commit(blobs, [], time.time_ns())
        self.since_snapshot += len(blobs)
        if self.since_snapshot >= SNAPSHOT_EVERY:
            self.since_snapshot = 0
            self._snapshot()

    def _snapshot(self) -> None:
        state, covered = self.diagnosis.snapshot(), self.store.last_batch_id
        self.store.begin_snapshot()
        for number, at in enumerate(range(0, len(state), 1 << 20)):
            self.store.write_piece(number, state[at : at + (1 << 20)])
        self.store.end_snapshot(covered, (len(state) + (1 << 20) - 1) >> 20)
        while self.store.forget(covered, time.time_ns()):
            pass


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="pw") as name:
        store = Store(Path(name) / "journal.db", JournalLimits(bytes_max=BYTES_MAX))
        report(grown(Host(store)))
        store.close()


def grown(host: Host) -> list[Result]:
    first = host.take(AT_A_TIME)
    while host.storm.next_seq < EREPORTS - 3 * AT_A_TIME:
        host.take(AT_A_TIME)
    last = [host.take(AT_A_TIME) for _ in range(3)]
    cpu, wall = zip(*last, strict=True)
    return [
        result("growth_100m", "s an ereport", cpu, [first[0]]),
        result("growth_100m_wall", "s an ereport", wall, [first[1]]),
    ]


if __name__ == "__main__":
    main()
