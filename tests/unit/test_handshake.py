"""The agent's half of exactly-once: what it says to the source, and when."""

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

from agent.contract import topics
from agent.contract.ereport import Applied, Range
from agent.diagnosis.admission import Admission
from agent.events import BatchTaken, BrokerConnected, EreportsLost, Event
from agent.handshake import Handshake
from tests.support.batches import a_batch

A_BATCH = BatchTaken(
    accepted=2,
    duplicates=0,
    late=0,
    missing=0,
    errors=2,
    unlocated=0,
    out_of_range=0,
    uncorrected=0,
    misplaced=0,
    dimm_errors=(),
    bank_errors=(),
    dimm_uncorrected=(),
    newest_time_ns=1,
    delay_seconds=0.0,
    commit_seconds=0.0,
)


@dataclass(slots=True)
class FakeBus:
    """A broker that takes everything, or is away."""

    is_away: bool = False

    @property
    def connected(self) -> bool:
        return not self.is_away

    said: list[tuple[str, bytes, bool]] = field(default_factory=list[tuple[str, bytes, bool]])

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        if not self.is_away:
            self.said.append((topic, payload, retain))
        return not self.is_away

    def on(self, topic: str) -> list[bytes]:
        return [payload for to, payload, _ in self.said if to == topic]


def a_handshake(bus: FakeBus, *seqs: int) -> Handshake:
    admission = Admission("h")
    admission.admit(a_batch(seqs, host="h"))
    return Handshake("h", admission, bus, lambda _: None)


def marks(bus: FakeBus) -> list[int]:
    return [Applied.model_validate_json(said).next_seq for said in bus.on(topics.applied("h"))]


async def test_what_is_applied_is_said_once_and_retained() -> None:
    bus = FakeBus()
    handshake = a_handshake(bus, 0, 1, 2)
    for now in (0.0, 0.2, 0.4):
        await handshake.once(now)
    assert marks(bus) == [3]
    assert bus.said[0][2]


async def test_what_is_applied_is_said_again_now_and_then() -> None:
    """A broker that was restarted without persistence has forgotten what it retained."""
    bus = FakeBus()
    handshake = a_handshake(bus, 0)
    for now in (0.0, handshake.repeat_seconds):
        await handshake.once(now)
    assert marks(bus) == [1, 1]


async def test_what_the_broker_did_not_take_is_said_when_it_is_back() -> None:
    bus = FakeBus(is_away=True)
    handshake = a_handshake(bus, 0)
    await handshake.once(0.0)
    bus.is_away = False
    await handshake.once(0.2)
    assert marks(bus) == [1]


async def test_nothing_is_said_before_there_is_anything_to_say() -> None:
    bus = FakeBus()
    await Handshake("h", Admission("h"), bus, lambda _: None).once(0.0)
    assert bus.said == []


async def test_what_is_missing_is_asked_for() -> None:
    bus = FakeBus()
    await a_handshake(bus, 0, 5).once(0.0)
    (asked,) = bus.on(topics.resend("h"))
    missing = Range.model_validate_json(asked)
    assert (missing.first, missing.last) == (1, 4)


async def test_what_nobody_sends_again_is_given_up_and_told() -> None:
    bus = FakeBus()
    told: list[Event] = []
    handshake = a_handshake(bus, 5)
    handshake.observe = told.append
    for now in range(0, 2000, 10):
        await handshake.once(float(now))
    assert told == [EreportsLost(5, missing=0)]
    assert marks(bus)[-1] == 6


async def test_nothing_is_said_while_a_message_is_in_hand() -> None:
    """What is counted by then may not be durable yet: the source must not forget it."""
    bus = FakeBus()
    handshake = a_handshake(bus, 0)
    async with handshake.hand:
        saying = asyncio.create_task(handshake.once(0.0))
        await asyncio.sleep(0.01)
        assert bus.said == []
    await saying
    assert marks(bus) == [1]


async def test_while_the_broker_is_away_nothing_is_asked_and_nothing_given_up() -> None:
    bus = FakeBus(is_away=True)
    handshake = a_handshake(bus, 5)
    handshake.admission.asks_max, handshake.every_seconds = 1, 0.001
    handshake.admission.ask_seconds = 0.001
    running = asyncio.create_task(handshake.run())
    await asyncio.sleep(0.05)
    running.cancel()
    assert handshake.admission.missing == 5


async def test_two_boots_are_each_told_how_far_they_are() -> None:
    """Somebody feeds a log beside the live machine: neither may wait for ever."""
    bus = FakeBus()
    handshake = a_handshake(bus, 0)
    handshake.admission.admit(a_batch((0, 1), host="h", boot_id=UUID(int=2)))
    await handshake.once(0.0)
    said = [Applied.model_validate_json(payload) for payload in bus.on(topics.applied("h"))]
    assert [(mark.boot_id.int, mark.next_seq) for mark in said] == [(1, 1), (2, 2)]


async def said(bus: FakeBus, next_seqs: list[int]) -> None:
    async with asyncio.timeout(10.0):
        while marks(bus) != next_seqs:
            await asyncio.sleep(0.001)


async def test_what_was_taken_is_said_soon_though_it_hardly_looks_by_itself() -> None:
    bus = FakeBus()
    handshake = Handshake("h", Admission("h"), bus, lambda _: None)
    handshake.every_seconds, handshake.idle_seconds = 0.001, 600.0
    running = asyncio.create_task(handshake.run())
    await asyncio.sleep(0.01)
    handshake.admission.admit(a_batch((0, 1), host="h"))
    handshake.hear(A_BATCH)
    await said(bus, [2])
    running.cancel()


async def test_what_the_broker_missed_is_said_soon_after_it_is_back() -> None:
    bus = FakeBus(is_away=True)
    handshake = a_handshake(bus, 0)
    handshake.every_seconds, handshake.idle_seconds = 0.001, 600.0
    running = asyncio.create_task(handshake.run())
    handshake.hear(A_BATCH)
    await asyncio.sleep(0.01)
    bus.is_away = False
    handshake.hear(BrokerConnected("mqtt://broker"))
    await said(bus, [1])
    running.cancel()
