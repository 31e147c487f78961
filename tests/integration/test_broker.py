"""Our connection to a real Mosquitto: what is not acknowledged comes again, whatever breaks."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from agent.adapters import link
from agent.adapters.broker import BrokerSettings
from agent.adapters.link import Link
from agent.events import BrokerConnected, BrokerLost
from tests.support.listener import (
    TOPIC,
    Agent,
    Particular,
    an_agent,
    freeze,
    send,
    settings_for,
)
from tests.support.mosquitto import Mosquitto


@pytest.fixture(params=["5", "3.1.1"])
def settings(request: pytest.FixtureRequest, mosquitto: Mosquitto) -> BrokerSettings:
    return settings_for(mosquitto, protocol=request.param)


@pytest.fixture
def lasting(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker that writes down what it holds when it is stopped."""
    broker = Particular(tmp_path, more=f"persistence true\npersistence_location {tmp_path}/")
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def strict(mosquitto: Mosquitto, tmp_path: Path) -> Iterator[Mosquitto]:
    """A broker that lets nobody publish."""
    (tmp_path / "acl").write_text("topic read #\n")
    broker = Particular(tmp_path, more=f"acl_file {tmp_path}/acl")
    broker.start()
    yield broker
    broker.kill()


async def test_a_message_arrives_with_its_topic(
    mosquitto: Mosquitto, settings: BrokerSettings
) -> None:
    async with an_agent(settings) as agent:
        await agent.until(connected=True)
        await send(mosquitto, b"one")
        delivery = await agent.take()
        assert (delivery.topic, delivery.payload) == (TOPIC, b"one")


async def test_an_unacknowledged_message_comes_again_in_the_next_life(
    mosquitto: Mosquitto, settings: BrokerSettings
) -> None:
    async with an_agent(settings) as agent:
        await agent.until(connected=True)
        await send(mosquitto, b"one", b"two")
        await agent.take()
    async with an_agent(settings) as agent:
        assert [(await agent.take()).payload] == [b"one"]


async def test_an_acknowledged_message_does_not_come_again(
    mosquitto: Mosquitto, settings: BrokerSettings
) -> None:
    async with an_agent(settings) as agent:
        await agent.until(connected=True)
        await send(mosquitto, b"one", b"two")
        await (await agent.take()).acknowledge()
        assert (await agent.take()).payload == b"two"
    async with an_agent(settings) as agent:
        assert (await agent.take()).payload == b"two"


async def test_messages_sent_while_the_agent_was_away_are_waiting_for_it(
    mosquitto: Mosquitto, settings: BrokerSettings
) -> None:
    async with an_agent(settings) as agent:
        await agent.until(connected=True)
    sent = [str(number).encode() for number in range(20)]
    await send(mosquitto, *sent)
    async with an_agent(settings) as agent:
        assert [await taken(agent) for _ in sent] == sent


async def taken(agent: Agent) -> bytes:
    delivery = await agent.take()
    await delivery.acknowledge()
    return delivery.payload


async def test_what_nobody_takes_is_left_with_the_broker(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What keeps memory bounded: the socket is not read while so many messages are unread."""
    monkeypatch.setattr(link, "UNREAD_MAX", 4)
    words = [b"%d" % number for number in range(100)]
    async with an_agent(settings_for(mosquitto)) as agent:
        await agent.until(connected=True)
        await send(mosquitto, *words)
        assert [await taken(agent) for _ in range(50)] == words[:50]
        assert len(agent.here) < 4
        assert [await taken(agent) for _ in range(50)] == words[50:]


async def test_a_reader_that_never_has_to_wait_is_behind(mosquitto: Mosquitto) -> None:
    async with an_agent(settings_for(mosquitto)) as agent:
        await agent.until(connected=True)
        assert agent.broker.behind_seconds == 0
        await send(mosquitto, b"one")
        await agent.take()
        await asyncio.sleep(0.01)
        assert agent.broker.behind_seconds > 0
        agent.listen()
        await asyncio.sleep(0.01)
        assert agent.broker.behind_seconds == 0


async def test_what_has_queued_up_is_taken_together(mosquitto: Mosquitto) -> None:
    async with an_agent(settings_for(mosquitto)) as agent:
        await agent.until(connected=True)
        await send(mosquitto, b"one", b"two", b"three")
        assert (await agent.take()).payload == b"one"
        await asyncio.sleep(0.1)
        assert (await agent.take()).payload == b"two"
        assert [each.payload for each in agent.here] == [b"three"]


async def test_a_broker_that_is_restarted_is_found_again(mosquitto: Mosquitto) -> None:
    async with an_agent(settings_for(mosquitto)) as agent:
        await agent.until(connected=True)
        mosquitto.kill()
        await agent.until(connected=False)
        mosquitto.start()
        await agent.until(connected=True)
        await send(mosquitto, b"after")
        assert await taken(agent) == b"after"


async def test_an_acknowledgement_of_a_connection_that_is_gone_is_dropped(
    mosquitto: Mosquitto,
) -> None:
    """Message ids start anew: on the new connection it would acknowledge something else."""
    async with an_agent(settings_for(mosquitto)) as agent:
        await agent.until(connected=True)
        await send(mosquitto, b"before")
        stale = await agent.take()
        mosquitto.kill()
        await agent.until(connected=False)
        mosquitto.start()
        await agent.until(connected=True)
        await send(mosquitto, b"after")
        fresh = await agent.take()
        await stale.acknowledge()
        assert fresh.payload == b"after"
    async with an_agent(settings_for(mosquitto)) as agent:
        assert (await agent.take()).payload == b"after"


async def test_nothing_is_lost_when_the_broker_is_restarted(lasting: Mosquitto) -> None:
    """Neither what waited there nor what was delivered and not acknowledged yet."""
    async with an_agent(settings_for(lasting)) as agent:
        await agent.until(connected=True)
        await send(lasting, b"one", b"two", b"three")
        assert await taken(agent) == b"one"
        assert [(await agent.take()).payload for _ in range(2)] == [b"two", b"three"]
        lasting.stop()
        await agent.until(connected=False)
        lasting.start()
        assert [await taken(agent), await taken(agent)] == [b"two", b"three"]


async def test_a_broker_that_is_away_is_told_and_tried_again(mosquitto: Mosquitto) -> None:
    mosquitto.stop()
    async with an_agent(settings_for(mosquitto)) as agent:
        agent.listen()
        await asyncio.sleep(0.3)
        mosquitto.start()
        await agent.until(connected=True)
        *lost, connected = agent.events
        assert isinstance(connected, BrokerConnected)
        assert len(lost) >= 2
        assert all(isinstance(event, BrokerLost) and "refused" in event.reason for event in lost)


async def test_publishing_without_a_connection_is_false_at_once(mosquitto: Mosquitto) -> None:
    async with an_agent(settings_for(mosquitto)) as agent, asyncio.timeout(0.1):
        assert not await agent.broker.publish("pagewarden/v1/hv-1/applied", b"{}")


async def test_publishing_is_true_once_the_broker_took_it(
    mosquitto: Mosquitto, settings: BrokerSettings
) -> None:
    async with an_agent(settings) as agent:
        await agent.until(connected=True)
        assert await agent.broker.publish(TOPIC, b"to myself")
        assert await taken(agent) == b"to myself"


async def test_publishing_what_the_broker_refuses_is_false(strict: Mosquitto) -> None:
    """The library would return as if all were well."""
    async with an_agent(settings_for(strict)) as agent:
        await agent.until(connected=True)
        assert not await agent.broker.publish(TOPIC, b"forbidden")


async def test_publishing_ends_with_the_connection(mosquitto: Mosquitto) -> None:
    """The library would wait ten seconds more for a broker that is dead."""
    async with an_agent(settings_for(mosquitto)) as agent:
        await agent.until(connected=True)
        freeze(mosquitto)
        publishing = asyncio.create_task(agent.broker.publish(TOPIC, b"into the void"))
        await asyncio.sleep(0.1)
        mosquitto.kill()
        async with asyncio.timeout(1.0):
            assert not await publishing


async def test_a_message_that_is_too_large_is_cut_and_marked(mosquitto: Mosquitto) -> None:
    async with an_agent(settings_for(mosquitto, payload_bytes_max=4)) as agent:
        await agent.until(connected=True)
        await send(mosquitto, b"12345")
        delivery = await agent.take()
        assert (delivery.payload, delivery.oversize) == (b"1234", True)


async def test_a_message_of_qos_0_needs_no_acknowledgement(mosquitto: Mosquitto) -> None:
    async with an_agent(settings_for(mosquitto)) as agent:
        await agent.until(connected=True)
        await send(mosquitto, b"one", qos=0)
        assert await taken(agent) == b"one"


def test_a_refused_subscription_is_an_error() -> None:
    """The library returns it like any other, and not a message would ever come."""
    refused = ReasonCode(PacketTypes.SUBACK, "Not authorized")
    with pytest.raises(aiomqtt.MqttError, match=f"refused the subscription to {TOPIC}"):
        Link._check(TOPIC, [refused])


async def test_a_reader_that_closes_the_deliveries_ends_the_connection(
    mosquitto: Mosquitto,
) -> None:
    agent = Agent(settings_for(mosquitto))
    async with aclosing(agent.deliveries):
        await agent.until(connected=True)
        await send(mosquitto, b"one")
        await agent.take()
    assert not agent.broker.connected
