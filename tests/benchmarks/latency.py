"""From a publish to the first hypercall about its page, while ereports come at a steady rate.

Now and then a message has one record more: two errors at once, on a page that nobody has heard of.
A relay before the hypercall's door sees when the agent first asks about that page. Both are told by
one clock, in this process.

The floor is how long the same message takes to a subscriber that does nothing with it.
"""

import asyncio
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import numpy as np
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from agent.contract.codec import pack
from tests.benchmarks.measure import QUICK, Result, report, result
from tests.benchmarks.storm import STRIDE, Storm
from tests.benchmarks.wire import NEVER_FIRES, TOPIC, Source, a_line, at_once
from tests.support.line import Line
from tests.support.mosquitto import PROGRAM

PATIENCE_SECONDS = 30.0
PAGES = 10_000
FIRST_PROBE = PAGES * STRIDE + 1
ENOUGH = {"retirement": {"retired_memory_fraction_max": 0.1, "pages_per_rank_max": 100_000}}


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast messages of `each` ereports come; every `probe_every`-th has a page that fails."""

    ereports_per_second: int
    each: int
    seconds: float = 3.0 if QUICK else 30.0
    probe_every: int = 8

    @property
    def messages_per_second(self) -> float:
        return self.ereports_per_second / self.each


@dataclass(frozen=True, slots=True)
class Heard:
    """When messages were published, and how long after that they were heard of, in seconds: of each
    probe, that the agent asks about its page; of each message, that a subscriber has it.
    """

    probes: tuple[tuple[float, float], ...]
    floors: tuple[tuple[float, float], ...]


@dataclass(slots=True)
class Relay:
    """Passes on what goes between agent and hypervisor, and notes when a page is first named."""

    path: Path
    behind: Path
    named: dict[int, float] = field(default_factory=dict[int, float])

    async def serve(self, ready: threading.Event) -> None:
        async with await asyncio.start_unix_server(self._pass_on, self.path):
            ready.set()
            await asyncio.Event().wait()

    async def _pass_on(self, ask: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        there, onward = await asyncio.open_unix_connection(self.behind)
        back = asyncio.create_task(self._copy(there, answer))
        with suppress(ConnectionError):  # an end that is killed says no goodbye
            while asked := await ask.read(1 << 16):
                self._note(asked)
                onward.write(asked)
        back.cancel()
        onward.close()

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(1 << 16):
                sink.write(data)
        sink.close()

    def _note(self, asked: bytes) -> None:
        now = time.perf_counter()
        for pages in re.findall(rb'"mfns":\[([0-9,]+)\]', asked):
            for mfn in pages.split(b","):
                self.named.setdefault(int(mfn), now)


@contextmanager
def relaying(relay: Relay) -> Iterator[None]:
    """In a thread of its own, which ends with the process."""
    ready = threading.Event()
    threading.Thread(target=lambda: asyncio.run(relay.serve(ready)), daemon=True).start()
    ready.wait()
    yield


@dataclass(slots=True)
class Bystander:
    """Hears every message, in its order, and notes when."""

    port: int
    heard: list[float] = field(default_factory=list[float])

    def open(self) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2)
        at_once(client)
        client.on_message = lambda *_: self.heard.append(time.perf_counter())
        client.connect("127.0.0.1", self.port)
        client.subscribe(TOPIC, qos=1)
        client.loop_start()
        return client


def main() -> None:
    report([run("latency_10k_p99", Pace(10_000, 64)), run("latency_200k_p99", Pace(200_000, 1024))])


def run(name: str, pace: Pace) -> Result:
    with a_line({**NEVER_FIRES, **ENOUGH}) as line:
        heard = hear(line, pace)
    return result(name, "seconds", [p99(heard.probes)], [p99(heard.floors)])


def hear(line: Line, pace: Pace) -> Heard:
    relay = Relay(line.folder / "relay.sock", line.folder / "hypercall.sock")
    with relaying(relay):
        put_between(line, relay)
        bystander = Bystander(line.broker.port)
        hearing, source = bystander.open(), Source(line.broker).open()
        sent, probes = send(source, Storm(PAGES, 1_000_000), pace)
        wait_for(relay, probes)
        hearing.loop_stop()
        source.close()
    return Heard(
        tuple((at, relay.named[mfn] - at) for mfn, at in probes.items()),
        tuple((at, heard - at) for heard, at in zip(bystander.heard, sent, strict=False)),
    )


def put_between(line: Line, relay: Relay) -> None:
    line.stop_agent()
    line.agent_keys = {**line.agent_keys, "hypervisor": {"hypercall_socket": str(relay.path)}}
    line.start_agent()


def send(source: Source, storm: Storm, pace: Pace) -> tuple[list[float], dict[int, float]]:
    """When each message was published, and each page that must be asked about."""
    sent, probes, mfns = list[float](), dict[int, float](), count(FIRST_PROBE)
    began = time.perf_counter()
    for number in range(round(pace.seconds * pace.messages_per_second)):
        probe = next(mfns) if number % pace.probe_every == 0 else None
        payload = a_message(storm, pace.each, probe)
        due = began + number / pace.messages_per_second
        time.sleep(max(0.0, due - time.perf_counter()))
        sent.append(time.perf_counter())
        source.start_sending(payload)
        if probe is not None:
            probes[probe] = sent[-1]
    return sent, probes


def a_message(storm: Storm, each: int, probe: int | None) -> bytes:
    batch = storm.batch(each)
    if probe is None:
        return pack(batch)
    address, errors = batch.address.copy(), batch.count.copy()
    address[-1], errors[-1] = probe << 12, 2
    return pack(replace(batch, address=address, count=errors))


def wait_for(relay: Relay, probes: dict[int, float]) -> None:
    deadline = time.perf_counter() + PATIENCE_SECONDS
    while not probes.keys() <= relay.named.keys():
        if time.perf_counter() > deadline:
            raise TimeoutError(f"{len(probes.keys() - relay.named.keys())} pages were never named")
        time.sleep(0.05)


def p99(heard: Sequence[tuple[float, float]]) -> float:
    return float(np.quantile([seconds for _, seconds in heard], 0.99))


if __name__ == "__main__":
    if PROGRAM is None:
        raise SystemExit("latency: Mosquitto is not installed (apt install mosquitto)")
    main()
