"""The truth for Prometheus, beside what the agent says: what happened, over what was noticed of it.

The page is made in a thread of its own, and the world belongs to the loop. So the loop looks once a
second and leaves behind what it saw, which nothing changes any more.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from agent.contract.toolstack import DomainState
from emulator.edges.truth import HostState, Truth
from emulator.errors import EmulatorError

LOOK_SECONDS = 1.0

Look = Callable[[], Awaitable[Truth]]
Value = Callable[[Truth], float]
Values = Callable[[Truth], dict[str, int]]


@dataclass(frozen=True, slots=True)
class Told:
    """A number that the truth holds; a counter if its name ends in `_total`."""

    name: str
    help: str
    value: Value

    def family(self, truth: Truth) -> Metric:
        family = CounterMetricFamily if self.name.endswith("_total") else GaugeMetricFamily
        return family(self.name, self.help, value=self.value(truth))


@dataclass(frozen=True, slots=True)
class ToldByState:
    """A number for each state of something; every state is there, if only with a 0."""

    name: str
    help: str
    values: Values

    def family(self, truth: Truth) -> Metric:
        family = GaugeMetricFamily(self.name, self.help, labels=("state",))
        for state, number in self.values(truth).items():
            family.add_metric((state,), number)
        return family


def _guests(truth: Truth) -> dict[str, int]:
    seen = Counter(guest.state for guest in truth.guests)
    return {state.value: seen[state] for state in DomainState}


TABLE: tuple[Told | ToldByState, ...] = (
    Told(
        "pagewarden_truth_errors_total",
        "Errors that the memory really had, of all boots.",
        lambda truth: truth.errors + truth.past.made.errors,
    ),
    Told(
        "pagewarden_truth_ereports_total",
        "Ereports that the firmware really made, of all boots.",
        lambda truth: truth.ereports + truth.past.made.ereports,
    ),
    Told(
        "pagewarden_truth_outbox_messages",
        "Messages of ereports that the agent has not applied yet.",
        lambda truth: truth.outbox,
    ),
    ToldByState(
        "pagewarden_truth_frames",
        "Frames of the host, by the state that the hypervisor has them in.",
        lambda truth: truth.frames.model_dump(),
    ),
    Told(
        "pagewarden_truth_broken_frames",
        "Frames that had an uncorrected error.",
        lambda truth: len(truth.broken),
    ),
    ToldByState("pagewarden_truth_guests", "Guests of the host, by their state.", _guests),
    Told(
        "pagewarden_truth_guest_harm",
        "How often guests, as far as they are here, read what they had not written.",
        lambda truth: sum(guest.harm for guest in truth.guests),
    ),
    Told(
        "pagewarden_truth_host_up",
        "1 while the host answers.",
        lambda truth: truth.state is HostState.UP,
    ),
    Told(
        "pagewarden_truth_boots_total",
        "How often the host was switched on.",
        lambda truth: truth.past.boots + 1,
    ),
)


class Exposition(Collector):
    """What was seen last; nothing before the first look."""

    def __init__(self) -> None:
        self._seen: Truth | None = None

    def show(self, truth: Truth) -> None:
        self._seen = truth

    def collect(self) -> Iterator[Metric]:
        seen = self._seen  # the loop may swap it meanwhile
        if seen is not None:
            yield from (row.family(seen) for row in TABLE)


@asynccontextmanager
async def exposition(listen: str, look: Look) -> AsyncGenerator[None, None]:
    """`/metrics` at `listen`, HOST:PORT, for as long as the context lasts.

    Raises:
        EmulatorError: if the address cannot be had.
    """
    shown, registry = Exposition(), CollectorRegistry()
    shown.show(await look())
    registry.register(shown)
    host, _, port = listen.rpartition(":")
    try:
        server, thread = start_http_server(int(port), host, registry)
    except OSError as error:
        raise EmulatorError(f"metrics: cannot listen on {listen}: {error.strerror}") from None
    looking = asyncio.create_task(_keep_looking(shown, look), name="exposition")
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        thread.join()


async def _keep_looking(shown: Exposition, look: Look) -> None:
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        shown.show(await look())
