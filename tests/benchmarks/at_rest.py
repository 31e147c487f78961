"""What the agent costs while nothing happens, how soon it is ready, and what its journal weighs.

Floors: the libraries alone in a process of their own (`rest_rss`); a tick of the clock by which a
process's time is told (`rest_cpu`); the health page, from the same server (`scrape`); a start with
nothing in the journal (`start_10m`); the bare columns (`journal_bytes`).
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

from agent.adapters.client import fetch
from agent.adapters.journal_store import JournalLimits, Store
from agent.contract.codec import decode
from agent.contract.columns import COLUMNS
from agent.contract.ereport import BATCH_MAX
from agent.contract.errors import AgentError
from agent.contract.status import StatusView, View
from agent.diagnosis.admission import Admission
from agent.diagnosis.diagnosis import Diagnosis
from agent.diagnosis.engines import SerdSettings
from agent.diagnosis.policy import Policy
from tests.benchmarks.measure import (
    PAGE_BYTES,
    QUICK,
    RUNS,
    Result,
    Stopwatch,
    held_bytes,
    report,
    result,
)
from tests.benchmarks.storm import HOST, Storm
from tests.benchmarks.wire import NEVER_FIRES, TICK_SECONDS, a_line, processor_seconds
from tests.support.line import Line
from tests.support.mosquitto import PROGRAM

REST_SECONDS = 2.0 if QUICK else 20.0
SCRAPES = 20 if QUICK else 200
EREPORTS = 1 << 17 if QUICK else 10_000_000
PAGES = 100_000 if QUICK else 1_000_000
TAIL = 1023  # batches: one more, and there would be a new snapshot
TOGETHER = 64  # batches in a commit
PATIENCE_SECONDS = 60.0
LIBRARIES = "aiohttp, aiomqtt, numpy, prometheus_client, pydantic_settings, rich, structlog, typer"


def main() -> None:
    with a_line({}) as line:
        time.sleep(1.0)
        report([resident(line), busy(line), scrape(line)])
    report([start(), journal_bytes()])


def resident(line: Line) -> Result:
    script = f"import {LIBRARIES}; print(open('/proc/self/statm').read().split()[1])"
    alone = subprocess.run((sys.executable, "-c", script), check=True, capture_output=True)
    mine = held_bytes(line.agent_pid)
    return result("rest_rss", "bytes", [mine], [int(alone.stdout) * PAGE_BYTES])


def busy(line: Line) -> Result:
    """The share of one core, in percent."""
    before = processor_seconds(line.agent_pid)
    time.sleep(REST_SECONDS)
    took = processor_seconds(line.agent_pid) - before
    percent = 100 / REST_SECONDS
    return result("rest_cpu", "percent", [took * percent], [TICK_SECONDS * percent])


def scrape(line: Line) -> Result:
    def seconds(page: str) -> float:
        watch = Stopwatch()
        with urlopen(f"http://127.0.0.1:{line.metrics_port}{page}") as answer:
            answer.read()
        return watch.seconds()

    pages = [seconds("/metrics") for _ in range(SCRAPES)]
    return result("scrape", "seconds", pages, [seconds("/healthz") for _ in range(SCRAPES)])


def start() -> Result:
    """Seconds until the agent answers, with a snapshot and the longest tail there may be."""
    found, floors = list[float](), list[float]()
    with tempfile.TemporaryDirectory(prefix="pw") as name, a_line(NEVER_FIRES) as line:
        line.stop_agent()
        full = Path(name) / "full.db"
        fill(full)
        for _ in range(1 if QUICK else RUNS):
            floors.append(started_in(line, Path(name) / "none.db"))
            found.append(started_in(line, full))
    return result("start_10m", "seconds", found, floors)


def fill(path: Path) -> None:
    """A journal of so many ereports, the last of them behind the snapshot."""
    storm, store = Storm(PAGES, 1_000_000), Store(path, JournalLimits())
    diagnosis = Diagnosis(Admission(HOST), Policy(SerdSettings(2, 360, 1_000_000)))
    batches = max(EREPORTS // BATCH_MAX, TAIL + 1)
    for at in range(0, batches, TOGETHER):
        if at <= batches - TAIL < at + TOGETHER:
            keep(store, diagnosis.snapshot())
        blobs = list(storm.packed(min(TOGETHER, batches - at), BATCH_MAX))
        store.commit(blobs, [], time.time_ns())
        if at + TOGETHER <= batches - TAIL:
            for blob in blobs:
                diagnosis.take(decode(blob))
    store.close()


def keep(store: Store, state: bytes) -> None:
    store.begin_snapshot()
    store.write_piece(0, state)
    store.end_snapshot(store.last_batch_id, 1)


def started_in(line: Line, journal: Path) -> float:
    line.agent_keys = {**NEVER_FIRES, "journal": {"path": str(journal)}}
    watch = Stopwatch()
    line.launch_agent()
    while not answers(line):
        if watch.seconds() > PATIENCE_SECONDS:
            raise TimeoutError(line.agent_log)
        time.sleep(0.005)
    seconds = watch.seconds()
    line.stop_agent()
    return seconds


def answers(line: Line) -> bool:
    try:
        return bool(fetch(line.asking.agent, View.STATUS, StatusView).host)
    except AgentError:
        return False


def journal_bytes() -> Result:
    with tempfile.TemporaryDirectory(prefix="pw") as name:
        path, storm = Path(name) / "journal.db", Storm(PAGES)
        store = Store(path, JournalLimits())
        for _ in range(256):
            store.commit(list(storm.packed(1, BATCH_MAX)), [], time.time_ns())
        store.close()
        size = sum(each.stat().st_size for each in Path(name).iterdir())
    bare = sum(dtype.itemsize for _, dtype in COLUMNS)
    return result("journal_bytes", "bytes", [size / storm.next_seq], [bare])


if __name__ == "__main__":
    if PROGRAM is None:
        raise SystemExit("at_rest: Mosquitto is not installed (apt install mosquitto)")
    main()
