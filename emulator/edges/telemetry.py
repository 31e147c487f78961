"""Ereports out, over MQTT: at least once here, exactly once together with the agent.

Everything is kept until the agent says that it applied it; a broker that is away, restarts or
forgets costs time and nothing else. When too much is kept, `send` waits: that is the only brake.

What aiomqtt does not do is done here: a fresh client for each connection, subscribing again each
time, a publish in flight is given up at once when its connection is gone (on its own it would wait
for its whole timeout), and a task that is to stop does stop.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import UUID

from aiomqtt import Client, Message, MqttError, ProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import ValidationError

from agent.contract import topics
from agent.contract.codec import decode, one_line
from agent.contract.columns import Batch
from agent.contract.ereport import Applied, Inventory, Range
from agent.contract.outbox import Parcel
from emulator.config import BrokerSettings, TelemetrySettings
from emulator.edges.despatch import Despatch, parcels_of
from emulator.edges.truth import Tally
from emulator.errors import first_of

Answer = TypeVar("Answer")

_PROTOCOLS = {"5": ProtocolVersion.V5, "3.1.1": ProtocolVersion.V311}

# Without it each QoS 1 exchange waits for a delayed TCP acknowledgement: 88 ms against 0.8 ms.
_NO_DELAY = ((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),)

_REFUSED_FROM = 0x80

_QUIET = logging.getLogger("emulator.mqtt")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False  # what matters of it is said once, in one line


class Telemetry:
    """The source's end of the bus for one boot of one host."""

    def __init__(
        self,
        inventory: Inventory,
        broker: BrokerSettings,
        settings: TelemetrySettings,
        say: Callable[[str], None],
    ) -> None:
        self.despatch = Despatch(settings)
        self.connected = False
        self._is_told = False
        self._inventory = inventory
        self._broker = broker
        self._settings = settings
        self._say = say
        self._in_hand: Batch | None = None
        self._more = asyncio.Event()
        self._room = asyncio.Event()

    @property
    def boot_id(self) -> UUID:
        return self._inventory.boot_id

    async def send(self, batch: Batch) -> None:
        """Take `batch` in charge; wait first while there is no room for it."""
        self._in_hand = batch
        for parcel in parcels_of(batch, self._settings.encoding, self._settings.batch_max):
            while self.despatch.outbox.is_full:
                self._room.clear()
                await self._room.wait()
            self.despatch.take(parcel, _now())
            self._in_hand = batch.only(batch.seq > parcel.last)
            self._more.set()

    def left(self) -> tuple[Tally, Tally]:
        """What a boot that ends now leaves behind: sent and unheard of, and never sent."""
        sent, unsent = self.despatch.left()
        return _tally(sent), _tally(unsent) + _tally_of(self._in_hand)

    async def run(self) -> None:
        """Be connected, for ever: one connection after another."""
        retry_seconds = self._broker.retry_seconds_first
        while True:
            reason = await self._connection()
            if self.connected:
                retry_seconds = self._broker.retry_seconds_first
            self._is_away(reason)
            await asyncio.sleep(retry_seconds)
            retry_seconds = min(retry_seconds * 2, self._broker.retry_seconds_max)

    async def _connection(self) -> str:
        """One connection, until it is lost; why it was.

        It gets a task of its own: one that lost a connection may miss a cancellation, or (before
        Python 3.13) look cancelled for ever after, because its task group cancelled it to get out.
        """
        connection = asyncio.create_task(self._connect(), name="connection")
        try:
            await asyncio.wait({connection})
        finally:
            connection.cancel()
            await asyncio.wait({connection})
        return connection.result()

    async def _connect(self) -> str:
        reason = "it closed the connection"
        client = self._client()
        try:
            async with client:
                await self._converse(client)
        except* MqttError as errors:
            first = first_of(errors)
            reason = " ".join(str(first.__cause__ or first).split())
        finally:
            _hang_up(client)
        return reason

    def _client(self) -> Client:
        hostname, port = self._broker.address
        username, password = self._broker.account
        return Client(
            hostname,
            port,
            username=username,
            password=password,
            identifier=f"pagewarden-emulator-{self._inventory.host}-{self.boot_id.hex[:8]}",
            protocol=_PROTOCOLS[self._broker.protocol],
            keepalive=self._broker.keepalive_seconds,
            socket_options=_NO_DELAY,
            logger=_QUIET,
        )

    def _is_back(self) -> None:
        self.connected = True
        self.despatch.reconnected(_now())
        self._say(f"broker {self._broker.url} is there, {len(self.despatch.outbox)} to send")

    def _is_away(self, reason: str) -> None:
        """Said once for each time that it goes away."""
        broker = self._broker
        if self.connected or not self._is_told:
            self._say(
                f"broker {broker.url} is away ({reason}); trying again every "
                f"{broker.retry_seconds_first:g} to {broker.retry_seconds_max:g} s, nothing is lost"
            )
        self._is_told = True
        self.connected = False

    async def _converse(self, client: Client) -> None:
        """One connection, until it breaks."""
        host = self._inventory.host
        for topic in (topics.applied(host), topics.resend(host)):
            await self._subscribe(client, topic)
        inventory = self._inventory.model_dump_json()
        await _whole(client.publish(topics.inventory(host), inventory, qos=1, retain=True))
        self._is_back()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._publish(client), name="publish")
            group.create_task(self._listen(client), name="listen")
            group.create_task(self._nudge(), name="nudge")

    async def _subscribe(self, client: Client, topic: str) -> None:
        granted = await _whole(client.subscribe(topic, qos=1))
        if any(_is_refusal(code) for code in granted):
            raise MqttError(f"the broker refuses a subscription to {topic}")

    async def _publish(self, client: Client) -> None:
        topic = topics.ereports(self._inventory.host)
        while True:
            parcel = self.despatch.next()
            if parcel is None:
                self._more.clear()
                await self._more.wait()
                continue
            self.despatch.sending(parcel)
            await _whole(client.publish(topic, parcel.payload, qos=1))
            self.despatch.published(parcel)

    async def _listen(self, client: Client) -> None:
        async for message in client.messages:
            try:
                self._hear(message)
            except ValidationError as error:
                self._say(f"a message on {message.topic} is not understood: {one_line(error)}")

    def _hear(self, message: Message) -> None:
        """A word from the agent; one about another boot is none of ours."""
        if message.topic.value == topics.applied(self._inventory.host):
            mark = Applied.model_validate_json(message.payload)
            if mark.boot_id == self.boot_id and self.despatch.applied(mark, _now()):
                self._room.set()
        else:
            missing = Range.model_validate_json(message.payload)
            if missing.boot_id == self.boot_id:
                self.despatch.asked_for(missing, _now())
                self._more.set()

    async def _nudge(self) -> None:
        while True:
            await asyncio.sleep(min(1.0, self._settings.patience_seconds / 4))
            if self.despatch.nudge(_now()):
                self._more.set()


def _tally(parcels: Sequence[Parcel]) -> Tally:
    return sum((_tally_of(decode(parcel.payload)) for parcel in parcels), Tally())


def _tally_of(batch: Batch | None) -> Tally:
    if batch is None:
        return Tally()
    return Tally(ereports=len(batch), errors=int(batch.errors.sum()))


async def _whole(call: Awaitable[Answer]) -> Answer:
    """The call's answer, unless we are to stop.

    aiomqtt waits by `asyncio.wait_for`, which before Python 3.12 forgets a cancellation that comes
    at the same moment as the answer; the task would then go on for ever.
    """
    answer = await call
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
    return answer


def _now() -> float:
    return asyncio.get_running_loop().time()


def _is_refusal(code: int | ReasonCode) -> bool:
    return (code if isinstance(code, int) else code.value) >= _REFUSED_FROM


def _hang_up(client: Client) -> None:
    """Leave nothing behind that reaches for the loop, even of a connect that was cancelled."""
    paho = client._client  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - aiomqtt has no such call
    paho._sock_close()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    paho.on_socket_open = None
    paho.on_socket_close = None
    paho.on_socket_register_write = None
    paho.on_socket_unregister_write = None
