"""The line to measure: Mosquitto, an emulated host with nothing wrong, and the agent: processes.

What the agent says of itself on the bus is its proof: a mark is published only when all below it is
durable. Two marks and the time between them are a rate, whatever came before the first.

    python -m tests.benchmarks.wire PORT TOPIC CLIENT MESSAGES WINDOW

is the floor beside it: aiomqtt receives so many messages of the client's session, and does nothing
with them. It says how long that took; with a window of 0 it is aiomqtt as it comes.
"""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.contract import topics
from agent.contract.ereport import Applied
from emulator.demo.agent_config import Tables
from tests.benchmarks.storm import HOST
from tests.support.line import Line
from tests.support.mosquitto import Mosquitto

HOST_TOML = '[host]\nmemory = "2 GiB"\n'
SCENARIO = """
title = "Nothing is wrong."
[[guests]]
name = "guest"
memory = "64 MiB"
kind = "pv"
"""

NEVER_FIRES: Tables = {"diagnosis.page": {"n": 2, "window_hours": 1e-10}}
TOPIC = topics.ereports(HOST)
EXPIRY_SECONDS = 3600
PATIENCE_SECONDS = 600.0
TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


@contextmanager
def a_line(keys: Tables, queued_max: int = 100_000) -> Iterator[Line]:
    """All of it running; `keys` are what is to be different in the agent's configuration. The
    broker keeps so many messages for it; 0: all.
    """
    with tempfile.TemporaryDirectory(prefix="pw") as name:
        folder = Path(name)
        (folder / "host.toml").write_text(HOST_TOML)
        (folder / "scenario.toml").write_text(SCENARIO)
        broker = Mosquitto(folder, queued_max=queued_max)
        line = Line(folder, broker, agent_keys=keys)
        broker.start()
        try:
            host = ("--config", str(folder / "host.toml"))
            line.start_emulator(*host, "--scenario", str(folder / "scenario.toml"))
            line.start_agent()
            yield line
        finally:
            line.close()
            broker.kill()


@dataclass(slots=True)
class Source:
    """Publishes, and hears the agent's marks: when each came, and how far it said to be."""

    broker: Mosquitto
    marks: list[tuple[float, Applied]] = field(default_factory=list[tuple[float, Applied]])
    _client: paho.Client = field(
        default_factory=lambda: paho.Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
    )
    _news: threading.Event = field(default_factory=threading.Event)

    def open(self) -> "Source":
        at_once(self._client)
        self._client.on_message = self._heard
        self._client.max_inflight_messages_set(1000)
        self._client.connect("127.0.0.1", self.broker.port)
        self._client.subscribe(topics.applied(HOST), qos=1)
        self._client.loop_start()
        return self

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _heard(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        self.marks.append((time.perf_counter(), Applied.model_validate_json(message.payload)))
        self._news.set()

    def send(self, payloads: Sequence[bytes], topic: str = TOPIC) -> None:
        """Return once the broker has them all."""
        sent = [self._client.publish(topic, payload, qos=1) for payload in payloads]
        for each in sent:
            each.wait_for_publish(PATIENCE_SECONDS)

    def start_sending(self, payload: bytes) -> None:
        self._client.publish(TOPIC, payload, qos=1)

    def forget_marks(self) -> None:
        """Those of an earlier boot among them, or the retained one."""
        self.marks.clear()

    def until_applied(self, next_seq: int) -> None:
        """Wait for the mark that says so."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.marks or self.marks[-1][1].next_seq < next_seq:
            if not self._news.wait(deadline - time.monotonic()):
                raise TimeoutError(f"the agent has not applied {next_seq}")
            self._news.clear()

    def rate(self) -> float:
        """Ereports a second from the first mark to the last."""
        (began, first), (ended, last) = self.marks[0], self.marks[-1]
        return (last.next_seq - first.next_seq) / (ended - began)


def at_once(client: paho.Client) -> None:
    """Send small messages as they come: Nagle's algorithm holds them back for up to 40 ms."""

    def opened(_client: paho.Client, _data: object, wire: object) -> None:
        assert isinstance(wire, socket.socket)
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    client.on_socket_open = opened


def processor_seconds(pid: int) -> float:
    """What the process has used of processors."""
    of_stat = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(of_stat[11]) + int(of_stat[12])) * TICK_SECONDS


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds by the clock, and of the processor in the one process that received."""

    wall: float
    cpu: float


def received_in(broker: Mosquitto, source: Source, payloads: Sequence[bytes], window: int) -> Took:
    """How long aiomqtt alone takes for the payloads, which wait for it at the broker."""
    client, topic = f"floor-{time.monotonic_ns()}", f"floor/{time.monotonic_ns()}"
    ears = ("-m", "tests.benchmarks.wire", str(broker.port), topic, client)
    subprocess.run((sys.executable, *ears, "0", str(window)), check=True, capture_output=True)
    source.send(payloads, topic)
    heard = subprocess.run(
        (sys.executable, *ears, str(len(payloads)), str(window)), check=True, capture_output=True
    )
    wall, cpu = map(float, heard.stdout.split())
    return Took(wall, cpu)


async def receive(port: int, topic: str, client: str, messages: int, window: int) -> Took:
    """From the first message to the last; with none to wait for, subscribe and go."""
    session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's, untyped
    session.SessionExpiryInterval = EXPIRY_SECONDS
    if window:
        session.ReceiveMaximum = window
    async with aiomqtt.Client(
        "127.0.0.1",
        port,
        identifier=client,
        protocol=aiomqtt.ProtocolVersion.V5,
        clean_start=False,
        properties=session,
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
    ) as ears:
        await ears.subscribe(topic, qos=1)
        return await _heard(ears, messages) if messages else Took(0, 0)


async def _heard(ears: aiomqtt.Client, messages: int) -> Took:
    await anext(aiter(ears.messages))
    wall, cpu, heard = time.perf_counter(), time.process_time(), 1
    async for _ in ears.messages:
        heard += 1
        if heard == messages:
            break
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


if __name__ == "__main__":
    port, topic, client, messages, window = sys.argv[1:]
    took = asyncio.run(receive(int(port), topic, client, int(messages), int(window)))
    print(took.wall, took.cpu)  # noqa: T201 - it is read by `received_in`
