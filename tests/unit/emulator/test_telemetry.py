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
from emulator.edges.truth import Tally

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


async def test_a_boot_that_ends_leaves_what_had_no_room_in_the_outbox_too() -> None:
    """Three ereports of two errors each: one went out, one was kept, one was still in hand."""
    inventory = Inventory(host="hv", boot_id=BOOT, memory_bytes=4096)
    settings = TelemetrySettings(batch_max=1, outbox_parcels_max=2)
    telemetry = Telemetry(inventory, BrokerSettings(), settings, print)
    batch = from_ereports(
        [Ereport(host="hv", boot_id=BOOT, seq=seq, time_ns=0, count=2) for seq in range(3)]
    )
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(telemetry.send(batch), timeout=0.01)
    first = telemetry.despatch.next()
    assert first is not None
    telemetry.despatch.sending(first)
    unheard, unsent = telemetry.left()
    assert (unheard, unsent) == (Tally(ereports=1, errors=2), Tally(ereports=2, errors=4))
