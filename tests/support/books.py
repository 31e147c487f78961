"""An agent reduced to its books: it takes ereports off a real bus, each once, and says so."""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import aiomqtt

from agent.contract import topics
from agent.contract.codec import decode
from agent.contract.columns import Batch
from agent.diagnosis.admission import Admission, Admitted

HOST = "hv-1"
PATIENCE_SECONDS = 30.0


class Books:
    """`batches` hold what was new, `duplicates` counts what came again."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client
        self.admission = Admission(HOST)
        self.batches: list[Batch] = []
        self.duplicates = 0
        self.is_applying = True

    async def run(self) -> None:
        async for message in self._client.messages:
            found = self.admission.admit(decode(bytes(message.payload)))
            assert isinstance(found, Admitted), found
            self.duplicates += found.duplicates
            if len(found.batch):
                self.batches.append(found.batch)
            await self.tell()

    async def tell(self) -> None:
        """Say how far each boot is applied, and ask for what is missing."""
        if not self.is_applying:
            return
        for mark in self.admission.applied():
            payload = mark.model_dump_json()
            await self._client.publish(topics.applied(HOST), payload, 1, retain=True)
        for ask in self.admission.due(asyncio.get_running_loop().time()).ranges:
            await self._client.publish(topics.resend(HOST), ask.model_dump_json(), 1)

    @property
    def addresses(self) -> Counter[int]:
        """How often each address was reported."""
        return Counter(address for batch in self.batches for address in batch.address.tolist())

    @property
    def boots(self) -> dict[UUID, int]:
        """How many ereports came of each boot."""
        found: Counter[UUID] = Counter()
        for batch in self.batches:
            found[batch.boot_id] += len(batch)
        return dict(found)

    async def until(self, ereports: int) -> None:
        """Return when so many have come."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while sum(map(len, self.batches)) < ereports:
                await asyncio.sleep(0.01)


@asynccontextmanager
async def an_agent(port: int) -> AsyncIterator[Books]:
    nodelay = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    async with aiomqtt.Client("127.0.0.1", port, socket_options=nodelay) as client:
        await client.subscribe(topics.ereports(HOST), qos=1)
        books = Books(client)
        reading = asyncio.create_task(books.run(), name="books")
        try:
            yield books
        finally:
            # Python 3.11's wait_for, in which aiomqtt waits, can lose a cancellation.
            while not reading.done():
                reading.cancel()
                await asyncio.wait({reading}, timeout=0.1)
            await asyncio.gather(reading, return_exceptions=True)
