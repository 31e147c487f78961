"""What the telemetry edge does that its MQTT client does not."""

import asyncio
from typing import cast
from uuid import UUID

import pytest
from aiomqtt import Client

from agent.contract.codec import from_ereports
from agent.contract.ereport import Ereport, Inventory
from emulator.config import BrokerSettings, TelemetrySettings
from emulator.edges.telemetry import Telemetry

BOOT = UUID(int=1)


class Forgetful:
    """A client whose calls forget a cancellation, as `asyncio.wait_for` may before Python 3.12."""

    def __init__(self) -> None:
        self.calls = 0
        self.called = asyncio.Event()

    async def publish(self, *_: object, **__: object) -> None:
        self.calls += 1
        self.called.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return


async def test_a_publisher_told_to_stop_stops_though_its_client_forgot() -> None:
    inventory = Inventory(host="hv", boot_id=BOOT, memory_bytes=4096)
    telemetry = Telemetry(inventory, BrokerSettings(), TelemetrySettings(), print)
    await telemetry.send(from_ereports([Ereport(host="hv", boot_id=BOOT, seq=0, time_ns=0)]))
    client = Forgetful()
    publishing = asyncio.create_task(telemetry._publish(cast("Client", client)))
    await client.called.wait()
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(publishing, timeout=1)
    assert client.calls == 1
