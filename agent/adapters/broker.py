"""The bus, for as long as the agent runs: connect, take what comes, and connect again.

A broker that is away is nothing to stop for. It is told to the observer and tried again, with a
wait that doubles up to a bound. Each connection is a fresh `Link`: a used client keeps state.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from zlib import crc32

from aiomqtt import MqttError

from agent.adapters.broker_settings import BrokerSettings, tls_context
from agent.adapters.link import Delivery, Link, dial
from agent.contract.errors import AgentError
from agent.events import BrokerConnected, BrokerLost, Observer

__all__ = ["Broker", "BrokerSettings", "Delivery"]


class Broker:
    """At-least-once: what is not acknowledged is delivered again.

    Raises:
        AgentError: at once, for a URL or a TLS file that cannot be right.
    """

    def __init__(
        self, settings: BrokerSettings, topics: tuple[str, ...], observer: Observer
    ) -> None:
        tls_context(settings)
        self._settings = settings
        self._topics = topics
        self._observe = observer
        self._link: Link | None = None

    @property
    def connected(self) -> bool:
        return self._link is not None

    @property
    def behind_seconds(self) -> float:
        """For how long more has come than was taken."""
        return 0.0 if self._link is None else self._link.behind_seconds

    async def deliveries(self) -> AsyncGenerator[Sequence[Delivery], None]:
        """Messages, as many at once as are here, over as many connections as it takes.

        Close it (`contextlib.aclosing`), so that the connection ends when the reader does.
        """
        failures = 0
        while True:
            try:
                async with dial(self._settings, self._topics) as self._link:
                    failures = 0
                    self._observe(BrokerConnected(self._settings.url))
                    while True:
                        yield await self._link.take()
            except (MqttError, AgentError) as error:
                lost = BrokerLost(self._settings.url, _reason(error), self._delay(failures))
            finally:
                self._link = None
            self._observe(lost)
            failures += 1
            await asyncio.sleep(lost.retry_seconds)

    def _delay(self, failures: int) -> float:
        return retry_delay_seconds(self._settings, failures)

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool:
        """True once the broker took it. False, at once, while there is no connection."""
        return self._link is not None and await self._link.publish(topic, payload, retain=retain)


def retry_delay_seconds(settings: BrokerSettings, failures: int) -> float:
    """Doubling from the first to the last, less up to a quarter.

    The part that is less comes from the client id: the agents of a thousand hosts do not all come
    back in the same instant after their broker was restarted.
    """
    full = min(settings.retry_seconds_max, settings.retry_seconds_first * 2.0 ** min(failures, 32))
    return full * (1 - crc32(f"{settings.client_id}/{failures}".encode()) / (1 << 34))


def _reason(error: Exception) -> str:
    """One line. aiomqtt tells only in the cause why a connection ended."""
    text = str(error.__cause__ or error) or type(error).__name__
    return " ".join(text.split())
