"""The broker in memory keeps what MQTT promises."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

from tests.simulation.bus import AgentBroker, Bus, Delivery, Link, Message
from tests.simulation.loop import run_virtual
from tests.simulation.power import Process

TOPIC = "errors"


@dataclass(slots=True)
class Forecast:
    """The same for every message."""

    when: tuple[float, ...] = (0.001,)

    def arrivals(self) -> tuple[float, ...]:
        return self.when

    def answers(self) -> bool:
        return True


def a_bus(*when: float) -> Bus:
    return Bus(Forecast(when or (0.001,)))


def an_agent(bus: Bus) -> AgentBroker:
    return AgentBroker(bus, Process(), (TOPIC,), "agent")


def a_source(bus: Bus) -> Link:
    link = bus.connect("source", (), keep=False)
    assert link is not None
    return link


async def heard(agent: AgentBroker, seconds: float = 10, *, acknowledging: bool = True) -> str:
    """What it hears within so many seconds."""
    words: list[str] = []

    async def listen() -> None:
        async with aclosing(agent.deliveries()) as deliveries:
            async for several in deliveries:
                for delivery in several:
                    words.append(delivery.payload.decode())
                    await _answer(delivery, acknowledging)

    task = asyncio.create_task(listen())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.wait([task])
    return " ".join(words)


async def _answer(delivery: Delivery, acknowledging: bool) -> None:
    if acknowledging:
        await delivery.acknowledge()


async def say(bus: Bus, *words: str, retain: bool = False) -> None:
    link = a_source(bus)
    for word in words:
        assert await bus.publish(link, Message(TOPIC, word.encode()), retain=retain)


def test_messages_arrive_in_their_order() -> None:
    async def life() -> str:
        bus = a_bus()
        agent = an_agent(bus)
        listening = asyncio.create_task(heard(agent))
        await asyncio.sleep(1)
        await say(bus, "one", "two", "three")
        return await listening

    assert run_virtual(life()) == "one two three"


def test_a_message_comes_again_until_it_is_acknowledged() -> None:
    async def life() -> tuple[str, str, str]:
        bus = a_bus()
        await heard(an_agent(bus), 1)
        await say(bus, "one", "two")
        deaf = await heard(an_agent(bus), acknowledging=False)
        return deaf, await heard(an_agent(bus)), await heard(an_agent(bus))

    assert run_virtual(life()) == ("one two", "one two", "")


def test_an_acknowledgement_belongs_to_its_connection() -> None:
    async def life() -> str:
        bus = a_bus()
        agent = an_agent(bus)
        await heard(agent, 1)
        await say(bus, "one")
        async with aclosing(agent.deliveries()) as deliveries:
            (delivery,) = await anext(deliveries)
            bus.break_connections()
            await delivery.acknowledge()
        return await heard(agent)

    assert run_virtual(life()) == "one"


def test_a_retained_message_is_told_to_who_comes_later() -> None:
    async def life() -> str:
        bus = a_bus()
        await say(bus, "before", "now", retain=True)
        await asyncio.sleep(1)
        return await heard(an_agent(bus))

    assert run_virtual(life()) == "now"


def test_a_broker_that_forgets_has_lost_what_it_took() -> None:
    async def life() -> str:
        bus = a_bus()
        await heard(an_agent(bus), 1)
        await say(bus, "one")
        await asyncio.sleep(1)
        bus.go_away(forget=True)
        bus.come_back()
        return await heard(an_agent(bus))

    assert run_virtual(life()) == ""


def test_nothing_is_taken_while_the_broker_is_away() -> None:
    async def life() -> bool:
        bus = a_bus()
        link = a_source(bus)
        bus.go_away(forget=False)
        return await bus.publish(link, Message(TOPIC, b"one"))

    assert not run_virtual(life())


def test_the_weather_doubles_and_loses_messages() -> None:
    async def life(*when: float) -> str:
        bus = Bus(Forecast(when))
        await heard(an_agent(bus), 1)
        await say(bus, "one")
        return await heard(an_agent(bus))

    assert run_virtual(life(0.001, 3.0)) == "one one"
    assert run_virtual(life()) == ""
