"""What the bus hears of cases: the last word of each, in time, and from the journal."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from agent.contract import topics
from agent.contract.case_event import CaseEvent
from agent.events import BrokerConnected, CaseMoved, CaseOpened
from agent.herald import Herald, event_of
from agent.retirement.case import Case
from agent.retirement.reason import Reason
from agent.retirement.states import State
from tests.support.cases import a_case

TOPIC = topics.case("h", "c1")


@dataclass(slots=True)
class FakeBus:
    """Keeps what it took, and what stays retained of it; takes nothing while it is away."""

    is_away: bool = False
    said: list[tuple[str, bytes, bool]] = field(default_factory=list[tuple[str, bytes, bool]])

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        await asyncio.sleep(0)
        if not self.is_away:
            self.said.append((topic, payload, retain))
        return not self.is_away

    @property
    def retained(self) -> dict[str, bytes]:
        last = {topic: payload for topic, payload, retain in self.said if retain}
        return {topic: payload for topic, payload in last.items() if payload}

    @property
    def states(self) -> list[str]:
        return [CaseEvent.model_validate_json(said).state for _, said, _ in self.said if said]


@dataclass(slots=True)
class Told:
    herald: Herald
    bus: FakeBus
    coalesced: list[None] = field(default_factory=list[None])


@asynccontextmanager
async def a_herald(*cases: Case, is_away: bool = False) -> AsyncIterator[Told]:
    """One that runs, and has told all that is due when the context ends."""
    coalesced = list[None]()
    bus = FakeBus(is_away)
    herald = Herald("h", bus, lambda: coalesced.append(None))
    herald.seed(cases)
    running = asyncio.create_task(herald.run())
    yield Told(herald, bus, coalesced)
    async with asyncio.timeout(5):
        while herald._due and not bus.is_away:
            await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.wait({running})


def moved(state: State) -> CaseMoved:
    return CaseMoved(a_case(state), State.OPEN, 0.0)


async def test_a_case_is_told_from_its_opening_to_its_rest() -> None:
    async with a_herald() as it:
        it.herald.observe(CaseOpened(a_case()))
        await asyncio.sleep(0.01)
        it.herald.observe(moved(State.RETIRED))
    assert it.bus.states == ["open", "retired"]
    assert CaseEvent.model_validate_json(it.bus.retained[TOPIC]).state == "retired"


async def test_of_moves_that_follow_each_other_fast_the_last_is_told() -> None:
    async with a_herald() as it:
        for state in (State.CONFIRMING, State.OPEN, State.PARKED):
            it.herald.observe(moved(state))
    assert it.bus.states == ["parked"]
    assert len(it.coalesced) == 2


async def test_what_an_earlier_life_left_is_told_at_the_start() -> None:
    async with a_herald(a_case(State.PARKED)) as it:
        pass
    assert it.bus.states == ["parked"]


async def test_a_closed_case_is_told_once_and_leaves_the_bus() -> None:
    async with a_herald(a_case(State.PARKED)) as it:
        await asyncio.sleep(0.01)
        it.herald.observe(moved(State.RETURNED))
    assert it.bus.states == ["parked", "returned"]
    assert it.bus.retained == {}


async def test_a_broker_that_comes_back_is_told_of_every_case() -> None:
    """It may have forgotten what it retained."""
    async with a_herald(a_case(State.PARKED)) as it:
        await asyncio.sleep(0.01)
        it.bus.said.clear()
        it.herald.observe(BrokerConnected("mqtt://b"))
    assert TOPIC in it.bus.retained


async def test_nothing_is_forgotten_while_the_broker_is_away() -> None:
    async with a_herald(is_away=True) as it:
        it.herald.observe(moved(State.RETIRED))
        await asyncio.sleep(0.01)
        assert it.bus.said == []
        it.bus.is_away = False
    assert it.bus.states == ["retired"]


def test_programs_get_a_word_and_people_a_sentence() -> None:
    event = event_of("h", a_case(State.PARKED, reason=Reason.DOM0))
    assert event.reason == "dom0"
    assert event.text.startswith("dom0 holds it")


async def test_of_a_quiet_case_the_bus_hears_nothing() -> None:
    """There may be a million of them, and each message would stay retained."""
    async with a_herald(a_case(quiet=True)) as it:
        it.herald.observe(CaseOpened(a_case(quiet=True)))
        it.herald.observe(CaseMoved(a_case(State.PARKED, quiet=True), State.OPEN, 0.0))
    assert it.bus.said == []
