"""The source's end of the bus: batches out, the agent's answers in. It decides nothing."""

from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from aiomqtt import MqttError
from pydantic import ValidationError

from agent.adapters.broker_settings import BrokerSettings
from agent.adapters.link import Delivery, Link, dial
from agent.contract import topics
from agent.contract.codec import one_line
from agent.contract.ereport import Applied, Range
from agent.contract.errors import Malformed, Unreachable

Answer = Applied | Range | Malformed


@dataclass(frozen=True, slots=True)
class Publisher:
    """One connection of the source of `host`. Use it through `connected`."""

    _link: Link
    _host: str
    _heard: list[Delivery] = field(default_factory=list[Delivery])

    async def publish(self, payload: bytes) -> None:
        """Return once the broker took it, which says nothing of the agent.

        Raises:
            Unreachable: if it did not.
        """
        with _translated():
            if not await self._link.publish(topics.ereports(self._host), payload, retain=False):
                raise Unreachable("the broker did not take a message")

    async def introduce(self, inventory: bytes) -> None:
        """Tell, retained, what memory the host has.

        Raises:
            Unreachable: if the broker did not take it.
        """
        with _translated():
            if not await self._link.publish(topics.inventory(self._host), inventory, retain=True):
                raise Unreachable("the broker did not take the inventory")

    async def answer(self) -> Answer:
        """Wait for the agent's next word.

        Raises:
            Unreachable: when the connection ends.
        """
        with _translated():
            while not self._heard:
                self._heard.extend(await self._link.take())
            delivery = self._heard.pop(0)
            await delivery.acknowledge()
            return _read(delivery.topic, delivery.payload, self._host)


@asynccontextmanager
async def connected(settings: BrokerSettings, host: str) -> AsyncGenerator[Publisher, None]:
    """A connection that hears the agent's answers for `host`.

    Raises:
        Unreachable: if the broker does not answer, or refuses us.
    """
    with _translated(settings.url):
        async with dial(settings, (topics.applied(host), topics.resend(host))) as link:
            yield Publisher(link, host)


@contextmanager
def _translated(url: str = "") -> Generator[None]:
    """Trouble as the courier knows it; `url` names the broker, where nothing else does yet."""
    try:
        yield
    except MqttError as error:
        # aiomqtt tells only in the cause why a connection ended.
        reason = " ".join(str(error.__cause__ or error).split())
        raise Unreachable(
            f"{' '.join(filter(None, ('broker', url)))}: {reason or 'the connection ended'}"
        ) from None


def _read(topic: str, payload: bytes, host: str) -> Answer:
    model = Applied if topic == topics.applied(host) else Range
    try:
        return model.model_validate_json(payload)
    except ValidationError as error:
        return Malformed(f"{topic}: {one_line(error)}")
