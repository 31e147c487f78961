"""`pagewarden bridge` over a real Mosquitto, with the test in the part of the agent."""

from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import aiomqtt
import pytest

from agent.adapters.spool import Spool
from agent.bridge.events import (
    AgentApplied,
    Beat,
    Disconnected,
    LineRefused,
    NumbersTaken,
    PieceTaken,
)
from agent.bridge.keeping import FILE
from agent.bridge.wanted import parse
from agent.contract import topics
from agent.contract.ereport import Applied, Inventory
from agent.contract.errors import AgentError, PeerError
from agent.telemetry.boots import past_of
from tests.support.books import HOST, an_agent
from tests.support.bridging import BEGAN, BOOT, Bridging, a_host, address, block, error
from tests.support.mosquitto import Mosquitto


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "kern.log"


@pytest.fixture
def bridging(mosquitto: Mosquitto, tmp_path: Path, log: Path) -> Bridging:
    """Over the file `log`."""
    return Bridging(tmp_path, mosquitto.url, parse(f"file:{log}"), a_host(tmp_path / "root"))


def write(log: Path, *texts: str) -> None:
    with log.open("a") as file:
        file.write("".join(texts))


def once(numbers: range) -> dict[int, int]:
    """Each of these errors, once."""
    return {address(number): 1 for number in numbers}


def was_read(bridging: Bridging, ereports: int) -> bool:
    return sum(event.ereports for event in bridging.seen(PieceTaken)) >= ereports


async def test_errors_arrive_while_the_log_grows(
    bridging: Bridging, log: Path, mosquitto: Mosquitto
) -> None:
    async with an_agent(mosquitto.port) as agent, bridging.life():
        for number in range(1, 6):
            write(log, error(number))
            await agent.until(number)
    assert (agent.addresses, agent.boots) == (once(range(1, 6)), {BOOT: 5})


async def test_once_ends_when_all_is_applied(
    bridging: Bridging, log: Path, mosquitto: Mosquitto
) -> None:
    write(log, *map(error, range(1, 4)))
    bridging.plan = replace(bridging.plan, follows=False)
    async with an_agent(mosquitto.port) as agent:
        await bridging.whole_life()
    assert agent.addresses == once(range(1, 4))
    assert sum(event.ereports for event in bridging.seen(AgentApplied)) == 3


async def test_once_does_not_wait_for_an_agent_for_ever(bridging: Bridging, log: Path) -> None:
    write(log, error(1))
    bridging.plan = replace(bridging.plan, follows=False, patience_seconds=0.3)
    with pytest.raises(PeerError, match="1 ereports are kept for the next time"):
        await bridging.whole_life()


async def test_an_agent_that_comes_later_gets_all_of_it(
    bridging: Bridging, log: Path, mosquitto: Mosquitto
) -> None:
    write(log, error(1))
    async with bridging.life():
        await bridging.until(lambda: any(e.kept for e in bridging.seen(Beat)))
    write(log, error(2))
    async with an_agent(mosquitto.port) as agent, bridging.life():
        await agent.until(2)
    assert agent.addresses == once(range(1, 3))


async def test_a_broker_that_is_away_costs_time_and_nothing_else(
    bridging: Bridging, log: Path, mosquitto: Mosquitto
) -> None:
    mosquitto.kill()
    write(log, error(1))
    async with bridging.life():
        await bridging.until(lambda: bool(bridging.seen(Disconnected)))
        mosquitto.start()
        async with an_agent(mosquitto.port) as agent:
            await agent.until(1)
    assert agent.addresses == once(range(1, 2))


async def test_a_block_that_spans_two_lives_is_one_error(
    bridging: Bridging, log: Path, mosquitto: Mosquitto
) -> None:
    text = block(1)
    cut = text.index("ADDR")
    bridging.plan = replace(bridging.plan, settle_seconds=60)
    write(log, text[:cut])
    async with bridging.life():
        await bridging.until(lambda: bool(bridging.seen(PieceTaken)))
    write(log, text[cut:])
    async with an_agent(mosquitto.port) as agent, bridging.life():
        await agent.until(1)
    assert (agent.addresses, bridging.seen(LineRefused)) == (once(range(1, 2)), [])


async def test_a_block_that_stays_alone_is_refused_when_nothing_follows(
    bridging: Bridging, log: Path
) -> None:
    write(log, block(1).partition("EDAC MC1: 3 CE")[0] + "\n")
    async with bridging.life():
        await bridging.until(lambda: bool(bridging.seen(LineRefused)))
    (event,) = bridging.seen(LineRefused)
    assert (event.number, "HANDLING MCE" in event.text) == (1, True)


async def test_every_error_is_of_the_boot_that_it_happened_in(
    bridging: Bridging, log: Path, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    """What was before any boot that we know is one past; numbers begin anew in each."""
    write(log, error(1, "2026-02-01"), error(2, "2026-03-02"))
    async with an_agent(mosquitto.port) as agent:
        async with bridging.life():
            await agent.until(2)
        later = BEGAN + timedelta(days=30)
        bridging.host = a_host(tmp_path / "root", UUID(int=9), later)
        write(log, error(3, "2026-03-03"), error(4, "2026-04-01"))
        async with bridging.life():
            await agent.until(4)
    assert agent.boots == {past_of(BOOT): 1, BOOT: 2, UUID(int=9): 1}
    assert agent.admission.missing == 0


async def test_what_the_last_boot_left_is_sent_in_this_one(
    bridging: Bridging, log: Path, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    write(log, error(1))
    async with bridging.life():
        await bridging.until(lambda: any(e.kept for e in bridging.seen(Beat)))
    bridging.host = a_host(tmp_path / "root", UUID(int=9), BEGAN + timedelta(days=30))
    write(log, error(2, "2026-04-01"))
    async with an_agent(mosquitto.port) as agent, bridging.life():
        await agent.until(2)
    assert agent.boots == {BOOT: 1, UUID(int=9): 1}


async def test_a_full_spool_stops_reading_until_there_is_room(
    bridging: Bridging, log: Path, mosquitto: Mosquitto
) -> None:
    bridging.plan = replace(bridging.plan, keep_max=3)
    async with an_agent(mosquitto.port) as agent:
        agent.is_applying = False
        async with bridging.life():
            for number in range(1, 6):
                write(log, error(number))
                await bridging.until(partial(was_read, bridging, min(number, 3)))
            await bridging.until(lambda: any(e.is_full for e in bridging.seen(Beat)))
            before = was_read(bridging, 4)
            agent.is_applying = True
            await agent.tell()
            await agent.until(5)
    assert (before, agent.addresses) == (False, once(range(1, 6)))


async def test_what_is_applied_is_forgotten(
    bridging: Bridging, log: Path, mosquitto: Mosquitto
) -> None:
    write(log, error(1))
    async with an_agent(mosquitto.port) as agent, bridging.life():
        await agent.until(1)
        await bridging.until(lambda: bool(bridging.seen(AgentApplied)))
    spool = Spool(bridging.folder / "state" / FILE, HOST)
    assert spool.kept == 0
    spool.close()


async def test_numbers_that_another_life_took_are_told(
    bridging: Bridging, log: Path, mosquitto: Mosquitto
) -> None:
    """The state was lost: the agent drops what it takes for the same errors again."""
    mark = Applied(boot_id=BOOT, next_seq=100).model_dump_json()
    async with aiomqtt.Client("127.0.0.1", mosquitto.port) as client:
        await client.publish(topics.applied(HOST), mark, 1, retain=True)
    write(log, error(1))
    async with bridging.life():
        await bridging.until(lambda: bool(bridging.seen(NumbersTaken)))
    assert bridging.seen(NumbersTaken)[0] == NumbersTaken(BOOT, 100, 1)


async def test_the_inventory_is_there_for_who_comes_later(
    bridging: Bridging, mosquitto: Mosquitto
) -> None:
    async with bridging.life():
        await bridging.until(lambda: any(e.is_connected for e in bridging.seen(Beat)))
    async with aiomqtt.Client("127.0.0.1", mosquitto.port) as client:
        await client.subscribe(topics.inventory(HOST))
        message = await anext(client.messages)
    inventory = Inventory.model_validate_json(bytes(message.payload))
    assert (inventory.host, inventory.boot_id, inventory.memory_bytes) == (HOST, BOOT, 4 << 30)


async def test_a_spool_that_cannot_be_written_ends_it_with_the_fix(
    bridging: Bridging, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(log, error(1))
    (bridging.folder / "state").write_text("a file")
    with pytest.raises(AgentError, match="--state"):
        await bridging.whole_life()
