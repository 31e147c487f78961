"""A host that reboots while its process goes on: what it keeps, what it loses, what it tells."""

import asyncio
from pathlib import Path

from aiomqtt import Client, ProtocolVersion

from agent.contract import topics
from agent.contract.ereport import Inventory
from agent.contract.hypercall import Call, HostReply
from emulator.edges.truth import ControlCall, HostState, Tally, Truth
from emulator.scenario import FaultSettings, On
from tests.support.emulated import (
    HOST,
    PATIENCE_SECONDS,
    Doors,
    a_config,
    a_script,
    played_agent,
    running,
)
from tests.support.mosquitto import Mosquitto

BUSY = FaultSettings(on=On.DOM0, errors_per_second=500.0)
BRIEF = FaultSettings(on=On.DOM0, errors_per_second=500.0, errors_max=50)


async def rebooted(doors: Doors, do: str = "reboot") -> Truth:
    before = await doors.truth()
    await doors.call("control", ControlCall.HOST, Truth, {"do": do})
    return await doors.back_from(before.boot_id)


async def until_errors(doors: Doors, errors: int) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await doors.truth()).errors < errors:
            await asyncio.sleep(0.01)


async def test_the_truth_is_told_while_the_host_is_down(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        down = await doors.call("control", ControlCall.HOST, Truth, {"do": "crash"})
        back = await doors.back_from(down.boot_id)
    assert (down.state, down.source_done) == (HostState.REBOOTING, False)
    assert (back.state, back.past.ended) == (HostState.UP, "a crash was asked for")


async def test_what_never_left_the_host_is_lost_with_its_boot(tmp_path: Path) -> None:
    """There is no broker."""
    async with running(a_script(a_config(tmp_path), BRIEF)) as doors:
        await until_errors(doors, 50)
        past = (await rebooted(doors)).past
    assert past.made.errors == 50
    assert (past.unsent, past.unheard) == (past.made, Tally())


async def test_what_was_applied_is_not_lost(tmp_path: Path, mosquitto: Mosquitto) -> None:
    script = a_script(a_config(tmp_path, mosquitto.url), BRIEF)
    async with played_agent(mosquitto) as agent, running(script) as doors:
        while sum(agent.seen.values()) < 50:
            await agent.take()
        await agent.apply(len(agent.seen))
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await doors.truth()).outbox:
                await asyncio.sleep(0.01)
        past = (await rebooted(doors)).past
    assert (past.made.errors, past.unsent, past.unheard) == (50, Tally(), Tally())


async def test_what_was_published_and_not_applied_may_have_arrived(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    script = a_script(a_config(tmp_path, mosquitto.url), BRIEF)
    async with played_agent(mosquitto) as agent, running(script) as doors:
        while sum(agent.seen.values()) < 50:
            await agent.take()
        past = (await rebooted(doors)).past
    assert (past.unsent, past.unheard) == (Tally(), past.made)


async def test_the_next_boot_reports_under_its_own_id_from_0(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    script = a_script(a_config(tmp_path, mosquitto.url), BUSY)
    async with played_agent(mosquitto) as agent, running(script) as doors:
        await agent.take()
        boot_id = (await rebooted(doors)).boot_id
        while agent.boot_id != boot_id:
            agent.seen.clear()
            await agent.take()
    assert min(agent.seen) == 0


async def test_the_next_boot_is_announced_on_the_bus(tmp_path: Path, mosquitto: Mosquitto) -> None:
    async with running(a_script(a_config(tmp_path, mosquitto.url))) as doors:
        await doors.hear("is there")
        boot_id = (await rebooted(doors)).boot_id
        await doors.hear("is there", 2)
        async with (
            asyncio.timeout(PATIENCE_SECONDS),
            Client("127.0.0.1", mosquitto.port, protocol=ProtocolVersion.V311) as client,
        ):
            await client.subscribe(topics.inventory(HOST), qos=1)
            message = await anext(aiter(client.messages))
        told = await doors.call("hypercall", Call.HOST, HostReply)
    assert Inventory.model_validate_json(message.payload).boot_id == boot_id == told.boot_id


async def test_a_host_can_reboot_again_and_again(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path), BUSY)) as doors:
        for boots in (1, 2, 3):
            assert (await rebooted(doors, "crash")).past.boots == boots
