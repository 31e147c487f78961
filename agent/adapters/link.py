"""One connection to the broker, from CONNECT to its end. A new connection is a new `Link`.

The only module that reaches through aiomqtt for paho's handle. It does so for what aiomqtt 2 lacks:

    acknowledge by hand   by itself it acknowledges what nobody has read, and a crash loses that
    several at a time     by itself it makes a task and two queues' work of each message
    a bound               by itself it reads on, however much is unread: 771 MB at a slow disk
    the PUBACK's reason   a publish that the broker refused looks like a success
    a publish that ends   with the connection, and not ten seconds after it
    hanging up for good   a CONNECT that is cancelled or times out leaves socket and timer behind

The bound is TCP's own: with `UNREAD_MAX` messages here, or `UNREAD_BYTES_MAX`, the socket is not
read, and what comes waits in the broker. The window that MQTT 5 has for this is asked for too, but
Mosquitto 2.0 lets another whole window go with each acknowledgement.

An acknowledgement belongs to its connection. When that is gone it is dropped: the broker delivers
the message again.
"""

# ruff: noqa: SLF001 - aiomqtt offers none of the above, so its private parts are used, here alone
# pyright: reportPrivateUsage=false

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import aiomqtt
from paho.mqtt.client import MQTT_ERR_SUCCESS, MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.adapters.broker_settings import BrokerSettings, tls_context

# How a connection ends is told once, by whoever called; paho would tell it again.
_SILENCE = logging.getLogger("agent.adapters.link.paho")
_SILENCE.setLevel(logging.CRITICAL)

ANSWER_SECONDS_MAX = 5.0  # for CONNACK, SUBACK and PUBACK
WINDOW = 16  # messages under way to us
UNREAD_MAX = 256
UNREAD_BYTES_MAX = 2 << 20
PUBLISHES_IN_FLIGHT_MAX = 1024


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message. When `oversize`, the payload is cut to what is allowed."""

    topic: str
    payload: bytes
    oversize: bool
    _acknowledge: Callable[[], None]

    async def acknowledge(self) -> None:
        """Tell the broker that it may forget this message: it is durable here."""
        self._acknowledge()


@asynccontextmanager
async def dial(settings: BrokerSettings, topics: Sequence[str]) -> AsyncGenerator["Link", None]:
    """A connection that is subscribed to `topics`, closed on the way out.

    Raises:
        aiomqtt.MqttError: if the broker cannot be reached, or refuses us or a subscription.
        AgentError: if a TLS file is not there any more.
    """
    link = Link(settings)
    try:
        await link.open(topics)
        yield link
    finally:
        await link.close()


class Link:
    """Use it through `dial`."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._payload_bytes_max = settings.payload_bytes_max
        self._client = _client(settings)
        self._paho = self._client._client
        self._paho.manual_ack_set(on=True)  # before CONNECT, or the first messages are lost to it
        self._paho.on_publish = self._on_puback
        self._paho.on_message = self._on_message
        self._unread: list[MQTTMessage] = []
        self._unread_bytes = 0
        self._news = asyncio.Event()
        self._is_paused = False
        self._busy_since: float | None = None
        self._unanswered: dict[int, asyncio.Future[bool]] = {}
        self._is_open = False

    @property
    def _disconnected(self) -> asyncio.Future[None]:
        return self._client._disconnected

    @property
    def _wire(self) -> socket.socket:
        wire = self._paho.socket()
        if not isinstance(wire, socket.socket):
            raise aiomqtt.MqttError("the connection has ended")
        return wire

    async def open(self, topics: Sequence[str]) -> None:
        await self._client.__aenter__()  # closed by `close`, which must also run when this fails
        self._is_open = True
        self._disconnected.add_done_callback(self._on_disconnected)
        self._resume()
        for topic in topics:
            self._check(topic, await self._client.subscribe(topic, qos=1))

    @staticmethod
    def _check(topic: str, codes: Sequence[ReasonCode | int]) -> None:
        """Raise for a refused subscription: aiomqtt returns it like any other."""
        for code in codes:
            if isinstance(code, ReasonCode) and code.is_failure:
                raise aiomqtt.MqttError(f"the broker refused the subscription to {topic}: {code}")

    @property
    def behind_seconds(self) -> float:
        """For how long there has been a message whenever one was asked for."""
        if self._busy_since is None:
            return 0.0
        return asyncio.get_running_loop().time() - self._busy_since

    async def take(self) -> Sequence[Delivery]:
        """The messages that are here; wait for one, if there is none.

        Raises:
            aiomqtt.MqttError: when the connection ends.
        """
        while not self._unread and not self._disconnected.done():
            self._busy_since = None
            self._news.clear()
            await self._news.wait()
        if self._busy_since is None:
            self._busy_since = asyncio.get_running_loop().time()
        if self._disconnected.done():
            raise aiomqtt.MqttError("the connection ended") from self._disconnected.exception()
        messages, self._unread, self._unread_bytes = self._unread, [], 0
        if self._is_paused:
            self._resume()
        return [self._delivery(message) for message in messages]

    def _on_message(self, _client: object, _data: object, message: MQTTMessage) -> None:
        self._unread.append(message)
        self._unread_bytes += len(message.payload)
        self._news.set()
        if len(self._unread) >= UNREAD_MAX or self._unread_bytes >= UNREAD_BYTES_MAX:
            self._pause()

    def _pause(self) -> None:
        self._is_paused = True
        asyncio.get_running_loop().remove_reader(self._wire)

    def _resume(self) -> None:
        """Read the socket, in the place of aiomqtt, which could not be made to stop."""
        self._is_paused = False
        asyncio.get_running_loop().add_reader(self._wire, self._read)
        if self._decrypted():
            self._read()

    def _read(self) -> None:
        """A message, or what there is of one; as many as TLS holds."""
        try:
            self._paho.loop_read()
            while not self._is_paused and self._decrypted():
                self._paho.loop_read()
        except Exception as error:  # noqa: BLE001 - whatever it is, the connection is broken
            if not self._disconnected.done():
                self._disconnected.set_exception(error)

    def _decrypted(self) -> int:
        """Bytes that TLS has taken off the socket already: the loop will not tell of them."""
        return self._wire.pending() if isinstance(self._wire, ssl.SSLSocket) else 0

    def _delivery(self, message: MQTTMessage) -> Delivery:
        def acknowledge() -> None:
            if not self._disconnected.done():
                self._paho.ack(message.mid, message.qos)

        payload = bytes(message.payload)
        oversize = len(payload) > self._payload_bytes_max
        cut = payload[: self._payload_bytes_max] if oversize else payload
        return Delivery(message.topic, cut, oversize, acknowledge)

    async def publish(self, topic: str, payload: bytes, *, retain: bool) -> bool:
        """True once the broker took it; false if it refused, fell silent, or went away."""
        sent = self._paho.publish(topic, payload, qos=1, retain=retain)
        if sent.rc != MQTT_ERR_SUCCESS or self._disconnected.done():
            return False
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._unanswered[sent.mid] = answer
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                return await answer
        except TimeoutError:
            return False
        finally:
            self._unanswered.pop(sent.mid, None)

    def _on_puback(
        self, _client: object, _data: object, mid: int, code: ReasonCode, _properties: object
    ) -> None:
        self._answer(mid, taken=not code.is_failure)

    def _answer(self, mid: int, *, taken: bool) -> None:
        answer = self._unanswered.get(mid)
        if answer is not None and not answer.done():
            answer.set_result(taken)

    def _on_disconnected(self, disconnected: asyncio.Future[None]) -> None:
        if not disconnected.cancelled():
            disconnected.exception()  # retrieved, or asyncio complains that nobody did
        self._news.set()
        for mid in self._unanswered:
            self._answer(mid, taken=False)

    async def close(self) -> None:
        """End the connection in whatever state it is; nothing of it is left in the loop."""
        if self._is_open:
            with suppress(aiomqtt.MqttError):
                await self._client.__aexit__(None, None, None)
        self._hang_up()

    def _hang_up(self) -> None:
        """Close the socket, which ends the timer, and leave no callback that reaches the loop."""
        self._paho._sock_close()
        self._paho.on_disconnect = None
        self._paho.on_socket_open = None
        self._paho.on_socket_close = None
        self._paho.on_socket_register_write = None
        self._paho.on_socket_unregister_write = None


def _client(settings: BrokerSettings) -> aiomqtt.Client:
    """A client whose session outlives it."""
    is_v5 = settings.protocol == "5"
    session: dict[str, Any] = (
        {"clean_start": False, "properties": _session_properties(settings)}
        if is_v5
        else {"clean_session": False}
    )
    return aiomqtt.Client(
        settings.address.host,
        settings.address.port,
        identifier=settings.client_id,
        protocol=aiomqtt.ProtocolVersion.V5 if is_v5 else aiomqtt.ProtocolVersion.V311,
        username=settings.username,
        password=settings.password,
        keepalive=settings.keepalive_seconds,
        timeout=ANSWER_SECONDS_MAX,
        logger=_SILENCE,
        max_queued_outgoing_messages=PUBLISHES_IN_FLIGHT_MAX,
        tls_context=tls_context(settings),
        # Nagle's algorithm makes a small QoS 1 exchange take 88 ms instead of 0.8.
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        **session,
    )


def _session_properties(settings: BrokerSettings) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho's, untyped
    properties.SessionExpiryInterval = settings.session_expiry_seconds
    properties.ReceiveMaximum = WINDOW
    return properties
