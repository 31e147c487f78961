"""An agent reduced to its ears: our broker adapter, a real Mosquitto, and a source."""

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from getpass import getuser
from signal import SIGSTOP

import aiomqtt

from agent.adapters.broker import Broker, BrokerSettings, Delivery
from agent.events import Event
from tests.support.mosquitto import PROGRAM, Mosquitto

TOPIC = "pagewarden/v1/hv-1/ereports"
PATIENCE_SECONDS = 10.0


def settings_for(mosquitto: Mosquitto, **changes: object) -> BrokerSettings:
    settings = BrokerSettings(
        mosquitto.url, "pagewarden-hv-1", retry_seconds_first=0.02, retry_seconds_max=0.1
    )
    return replace(settings, **changes)  # type: ignore[arg-type] # names of fields


class Agent:
    """A broker adapter with a reader that can be asked for one message at a time."""

    def __init__(self, settings: BrokerSettings) -> None:
        self.events: list[Event] = []
        self.broker = Broker(settings, (TOPIC,), self.events.append)
        self.deliveries = self.broker.deliveries()
        self.here: list[Delivery] = []
        self._next: asyncio.Task[Delivery] | None = None

    def listen(self) -> "asyncio.Task[Delivery]":
        """Connect and wait for a message, in the background."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._one())
        return self._next

    async def _one(self) -> Delivery:
        if not self.here:
            self.here += await anext(self.deliveries)
        return self.here.pop(0)

    async def take(self) -> Delivery:
        delivery = await asyncio.wait_for(self.listen(), PATIENCE_SECONDS)
        self._next = None
        return delivery

    async def until(self, *, connected: bool) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.broker.connected is not connected:
                self.listen()
                await asyncio.sleep(0.005)

    async def close(self) -> None:
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)
        await self.deliveries.aclose()


@asynccontextmanager
async def an_agent(settings: BrokerSettings) -> AsyncIterator[Agent]:
    agent = Agent(settings)
    try:
        yield agent
    finally:
        await agent.close()


def freeze(mosquitto: Mosquitto) -> None:
    """It keeps its connections, takes new ones, and says nothing."""
    process = mosquitto._process
    assert process is not None
    process.send_signal(SIGSTOP)


async def send(mosquitto: Mosquitto, *payloads: bytes, qos: int = 1) -> None:
    """As a source does."""
    async with aiomqtt.Client("127.0.0.1", mosquitto.port) as source:
        for payload in payloads:
            await source.publish(TOPIC, payload, qos=qos)


@dataclass
class Particular(Mosquitto):
    """A Mosquitto with more in its configuration."""

    more: str = ""

    def start(self) -> None:
        config = self.folder / "particular.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nlog_dest none\n"
            f"user {getuser()}\n{self.more}\n"
        )
        self._process = subprocess.Popen([PROGRAM or "mosquitto", "-c", str(config)])
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline, "mosquitto does not listen"
            time.sleep(0.005)
