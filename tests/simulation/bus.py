"""A broker in memory, with what a real one promises and what goes wrong with it nevertheless.

    publish ──► taken? ──► lost, doubled, late, out of order … ──► the session of each subscriber
                                                                        │  a few at a time
    redelivered when it connects again  ◄── not acknowledged ◄──────────┴──► acknowledged: forgotten

Like MQTT at QoS 1 with a window of a few messages, acknowledged in their order. A session that is
`kept` outlives its connection; a retained message is told to everybody who subscribes. What goes
wrong is asked of `Weather`, message by message, so that who makes it decides what there is.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from agent.events import BrokerConnected, Observer
from tests.simulation.power import Process

WIRE_SECONDS = 0.002
WINDOW = 4
PUBACK_SECONDS_MAX = 5.0
RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Message:
    topic: str
    payload: bytes


class Weather(Protocol):
    """What becomes of a message: in how many seconds each copy of it arrives; none: it is lost."""

    def arrivals(self) -> tuple[float, ...]: ...
    def answers(self) -> bool:
        """False if the PUBACK of this publish never comes."""
        ...


@dataclass(slots=True, eq=False)
class Session:
    """What a broker keeps for a client: the messages that it has not acknowledged."""

    topics: tuple[str, ...]
    is_kept: bool
    waiting: deque[Message] = field(default_factory=deque[Message])
    link: "Link | None" = None


@dataclass(slots=True, eq=False)
class Link:
    """One connection of a client. Once it `is_down` it stays so."""

    session: Session
    news: asyncio.Event = field(default_factory=asyncio.Event)
    is_down: bool = False
    unanswered: list[Message] = field(default_factory=list[Message])  # delivered to us

    async def take(self) -> Sequence[Message]:
        """What waits, as far as the window allows; nothing when the connection ends."""
        while not self.is_down:
            if messages := list(self.session.waiting)[len(self.unanswered) : WINDOW]:
                self.unanswered += messages
                return messages
            self.news.clear()
            await self.news.wait()
        return ()

    def acknowledge(self, message: Message) -> None:
        """The broker may forget it; dropped if this connection is gone."""
        if self.is_down or message not in self.unanswered:
            return
        self.unanswered.remove(message)
        if self.session.waiting and self.session.waiting[0] is message:
            self.session.waiting.popleft()
        self.news.set()

    def hang_up(self) -> None:
        self.is_down = True
        self.news.set()
        if self.session.link is self:
            self.session.link = None
        if not self.session.is_kept:
            self.session.waiting.clear()


@dataclass(slots=True, eq=False)
class Bus:
    """The broker. It is `there`, or away for a time."""

    weather: Weather
    is_there: bool = True
    sessions: dict[str, Session] = field(default_factory=dict[str, Session])
    retained: dict[str, Message] = field(default_factory=dict[str, Message])
    promised: set[bytes] = field(default_factory=set[bytes])  # in a kept session's hands, or on

    def connect(self, client: str, topics: tuple[str, ...], *, keep: bool) -> Link | None:
        """A connection that is subscribed; None while the broker is away."""
        if not self.is_there:
            return None
        session = self.sessions.get(client)
        if session is None or not keep:
            session = self.sessions[client] = Session(topics, keep)
        if session.link is not None:
            session.link.hang_up()
        for topic in topics:
            if topic in self.retained:
                session.waiting.append(self.retained[topic])
        session.link = Link(session)
        return session.link

    async def publish(self, link: Link, message: Message, *, retain: bool = False) -> bool:
        """True once the broker took it, which says nothing of who gets it."""
        await asyncio.sleep(WIRE_SECONDS)
        if link.is_down or not self.is_there:
            return False
        if retain and message.payload:
            self.retained[message.topic] = message
        elif retain:
            self.retained.pop(message.topic, None)
        arrivals = self.weather.arrivals()
        for seconds in arrivals:
            asyncio.get_running_loop().call_later(seconds, self._deliver, message)
        if not self.weather.answers():
            await asyncio.sleep(PUBACK_SECONDS_MAX)
            return False
        return not link.is_down

    def _deliver(self, message: Message) -> None:
        for session in self.sessions.values():
            if message.topic in session.topics and (session.is_kept or session.link):
                session.waiting.append(message)
                if session.is_kept:
                    self.promised.add(message.payload)
                if session.link:
                    session.link.news.set()

    def go_away(self, *, forget: bool) -> None:
        """Every connection ends. A broker that forgets has lost its backlog, and more."""
        self.is_there = False
        self.break_connections()
        if forget:
            for session in self.sessions.values():
                self.promised -= {message.payload for message in session.waiting}
            self.sessions.clear()
            self.retained.clear()

    def come_back(self) -> None:
        self.is_there = True

    def break_connections(self) -> None:
        for session in self.sessions.values():
            if session.link:
                session.link.hang_up()


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message, as the agent's pipeline takes it."""

    payload: bytes
    _acknowledge: Callable[[], None]
    oversize: bool = False

    async def acknowledge(self) -> None:
        self._acknowledge()


@dataclass(slots=True, eq=False)
class AgentBroker:
    """The agent's end, in the place of `agent.adapters.broker.Broker`; of one process."""

    bus: Bus
    process: Process
    topics: tuple[str, ...]
    client: str
    observe: Observer = lambda _: None
    _link: Link | None = None

    @property
    def connected(self) -> bool:
        return self._link is not None and not self._link.is_down

    @property
    def behind_seconds(self) -> float:
        return 0.0

    async def deliveries(self) -> AsyncGenerator[Sequence[Delivery], None]:
        """Messages, over as many connections as it takes."""
        try:
            while True:
                self.process.heard()
                self._link = self.bus.connect(self.client, self.topics, keep=True)
                if self._link is not None:
                    self.observe(BrokerConnected(self.client))
                while self._link and (messages := await self._link.take()):
                    await asyncio.sleep(WIRE_SECONDS)
                    yield [self._delivery(self._link, message) for message in messages]
                await asyncio.sleep(RETRY_SECONDS)
        finally:
            if self._link is not None:
                self._link.hang_up()
                self._link = None

    def _delivery(self, link: Link, message: Message) -> Delivery:
        def acknowledge() -> None:
            self.process.heard()
            link.acknowledge(message)

        return Delivery(message.payload, acknowledge)

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        self.process.heard()
        if self._link is None:
            return False
        return await self.bus.publish(self._link, Message(topic, payload), retain=retain)
