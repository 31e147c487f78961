"""An emulated host inside a test, whoever stands before its doors, and an agent played by hand."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import aiohttp
from aiomqtt import Client, ProtocolVersion
from pydantic import BaseModel

from agent.contract import topics
from agent.contract.codec import decode
from agent.contract.ereport import Applied, Range
from emulator.config import EmulatorConfig
from emulator.edges.host import Host, Script
from emulator.edges.truth import ControlCall, Truth
from emulator.scenario import FaultSettings, Scenario
from tests.support.mosquitto import Mosquitto

HOST = "hv-1"
PATIENCE_SECONDS = 10.0
NOWHERE = "mqtt://127.0.0.1:1"

Reply = TypeVar("Reply", bound=BaseModel)


def a_config(sockets: Path, url: str = NOWHERE, **telemetry: object) -> EmulatorConfig:
    """A host of 1 GiB, quick to make and quick to answer."""
    return EmulatorConfig.model_validate(
        {
            "sockets": sockets,
            "host": {
                "name": HOST,
                "memory": "1 GiB",
                "xen_heap": "1 MiB",
                "dom0": "4 MiB",
                "reboot_seconds": 0.2,
            },
            "broker": {"url": url, "retry_seconds_first": 0.05, "retry_seconds_max": 0.1},
            "telemetry": {"interval_seconds": 0.01, "patience_seconds": 0.5} | telemetry,
            "timing": {"save_seconds_per_gib": 0.5, "restore_seconds_per_gib": 0.5},
        }
    )


def a_script(config: EmulatorConfig, *faults: FaultSettings) -> Script:
    return Script(config, Scenario(title="A test.", faults=faults))


@dataclass
class Doors:
    """The host's sockets, and what the host said on stderr."""

    sockets: Path
    said: list[str] = field(default_factory=list)

    async def ask(self, name: str, path: str, body: object = None) -> tuple[int, str]:
        """GET without a body, POST with one (a text is sent as it is); status and text."""
        connector = aiohttp.UnixConnector(str(self.sockets / f"{name}.sock"))
        data = body if isinstance(body, str) or body is None else json.dumps(body)
        method = "GET" if body is None else "POST"
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.request(method, f"http://emulator{path}", data=data) as answer,
        ):
            return answer.status, await answer.text()

    async def call(self, name: str, path: str, reply: type[Reply], body: object = None) -> Reply:
        """The answer, which must be one."""
        status, text = await self.ask(name, path, body)
        assert status == 200, text
        return reply.model_validate_json(text)

    async def truth(self) -> Truth:
        return await self.call("control", ControlCall.TRUTH, Truth)

    async def back_from(self, boot_id: UUID) -> Truth:
        """The truth once the host is up in a boot after that one."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (truth := await self.truth()).boot_id == boot_id:
                await asyncio.sleep(0.01)
        return truth

    async def hear(self, word: str, times: int = 1) -> None:
        """Wait until the host has said it so many times."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while sum(word in line for line in self.said) < times:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def running(script: Script) -> AsyncGenerator[Doors]:
    """The host lives as long as the context lasts."""
    stop, ready = asyncio.Event(), asyncio.Event()
    doors = Doors(script.config.sockets)
    host = Host(script, doors.said.append)
    life = asyncio.create_task(host.run(stop, lambda _: ready.set()), name="host")
    async with asyncio.timeout(PATIENCE_SECONDS):
        await ready.wait()
    try:
        yield doors
    finally:
        stop.set()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await life


@dataclass
class PlayedAgent:
    """Takes ereports in and says how far it has applied them, but only when told to."""

    client: Client
    seen: dict[int, int] = field(default_factory=dict)
    messages: int = 0
    boot_id: UUID | None = None

    async def take(self) -> None:
        """One message; each ereport's count is kept under its number."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            message = await anext(aiter(self.client.messages))
        batch = decode(message.payload)
        self.boot_id = batch.boot_id
        self.messages += 1
        self.seen.update(zip(batch.seq.tolist(), batch.errors.tolist(), strict=True))

    async def apply(self, next_seq: int) -> None:
        assert self.boot_id is not None
        mark = Applied(boot_id=self.boot_id, next_seq=next_seq)
        await self.client.publish(topics.applied(HOST), mark.model_dump_json(), qos=1)

    async def ask_again(self, first: int, last: int) -> None:
        assert self.boot_id is not None
        missing = Range(boot_id=self.boot_id, first=first, last=last)
        await self.client.publish(topics.resend(HOST), missing.model_dump_json(), qos=1)


@asynccontextmanager
async def played_agent(broker: Mosquitto) -> AsyncGenerator[PlayedAgent]:
    async with Client("127.0.0.1", broker.port, protocol=ProtocolVersion.V5) as client:
        await client.subscribe(topics.ereports(HOST), qos=1)
        yield PlayedAgent(client)
