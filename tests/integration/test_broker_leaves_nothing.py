"""However a connection ends, no task, no timer and no complaint of it is left in the loop."""

import asyncio
import gc

import pytest

from tests.support.listener import an_agent, freeze, send, settings_for
from tests.support.mosquitto import Mosquitto


@pytest.fixture
async def complaints() -> list[str]:
    """What asyncio says about tasks and futures that nobody looked after."""
    heard: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: heard.append(what["message"]))
    return heard


async def nothing_is_left(complaints: list[str]) -> bool:
    await asyncio.sleep(0)
    tasks = asyncio.all_tasks()
    await asyncio.sleep(0.02)
    gc.collect()
    return tasks == {asyncio.current_task()} and not complaints


async def test_nothing_is_left_of_an_agent_that_never_connected(
    mosquitto: Mosquitto, complaints: list[str]
) -> None:
    async with an_agent(settings_for(mosquitto)) as agent:
        agent.listen()
        await asyncio.sleep(0)
    assert await nothing_is_left(complaints)


async def test_nothing_is_left_of_a_connection_that_got_no_answer(
    mosquitto: Mosquitto, complaints: list[str]
) -> None:
    freeze(mosquitto)
    async with an_agent(settings_for(mosquitto)) as agent:
        agent.listen()
        await asyncio.sleep(0.1)
    assert await nothing_is_left(complaints)


async def test_nothing_is_left_of_a_connection_in_use(
    mosquitto: Mosquitto, complaints: list[str]
) -> None:
    async with an_agent(settings_for(mosquitto)) as agent:
        await agent.until(connected=True)
    assert await nothing_is_left(complaints)


async def test_nothing_is_left_of_a_connection_that_ended_while_nobody_read(
    mosquitto: Mosquitto, complaints: list[str]
) -> None:
    """As it does while a batch is being written down."""
    async with an_agent(settings_for(mosquitto)) as agent:
        await agent.until(connected=True)
        await send(mosquitto, b"one")
        await agent.take()
        mosquitto.kill()
        await asyncio.sleep(0.1)
    assert await nothing_is_left(complaints)
