"""Tells the bus where each case is. It tells what the journal holds, and holds nobody up.

    CaseOpened, CaseMoved ──► due: the newest of each case ──► one retained message ──► told
    BrokerConnected       ──► every case is due again

An event comes after its commit, so nothing is told that a power cut could undo. What a power cut,
or a broker that forgot, left untold is told when the next connection is made. At most one message a
case waits; a newer one takes its place, and that is counted. Of quiet cases nothing is told: there
may be a million of them, and whoever made them follows his request.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import Protocol

from agent.contract import topics
from agent.contract.case_event import CaseEvent
from agent.events import BrokerConnected, CaseMoved, CaseOpened, Event
from agent.retirement.case import Case
from agent.retirement.states import State

NS = 1_000_000_000
AGAIN_SECONDS = 1.0  # after a message that the broker did not take


class Bus(Protocol):
    """`publish` answers false, and has done nothing, while the broker is away."""

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> bool: ...


@dataclass(slots=True)
class Herald:
    """An observer; `seed` it with the cases of an earlier life before the first event.

    `count` is called for each move that is not told, because a newer one of that case is.
    """

    host: str
    bus: Bus
    count: Callable[[], None] = lambda: None
    _known: dict[str, Case] = field(default_factory=dict[str, Case])
    _due: dict[str, Case] = field(default_factory=dict[str, Case])
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    def seed(self, cases: Iterable[Case]) -> None:
        """Have these told, closed ones too: the bus may not have heard of their end."""
        self._known.update((case.id, case) for case in cases if not case.quiet)
        self._tell_all()

    def _tell_all(self) -> None:
        self._due = {**self._known}
        self._more.set()

    @singledispatchmethod
    def observe(self, event: Event) -> None:
        """Most events are about no case."""

    @observe.register
    def _(self, event: CaseOpened) -> None:
        self._put(event.case)

    @observe.register
    def _(self, event: CaseMoved) -> None:
        self._put(event.case)

    @observe.register
    def _(self, _: BrokerConnected) -> None:
        self._tell_all()

    def _put(self, case: Case) -> None:
        if case.quiet:
            return
        if case.id in self._due:
            self.count()
        self._known[case.id] = self._due[case.id] = case
        self._more.set()

    async def run(self) -> None:
        """Tell what is due, the longest waiting first, whenever there is a broker."""
        while True:
            await self._more.wait()
            if self._due and not await self._tell(next(iter(self._due.values()))):
                await asyncio.sleep(AGAIN_SECONDS)
            elif not self._due:
                self._more.clear()

    async def _tell(self, case: Case) -> bool:
        """True once the broker took it; what came meanwhile is due still."""
        topic = topics.case(self.host, case.id)
        is_closed = case.state is State.RETURNED
        payload = event_of(self.host, case).model_dump_json(exclude_none=True).encode()
        taken = await self.bus.publish(topic, payload, retain=not is_closed)
        if taken and is_closed:
            taken = await self.bus.publish(topic, b"", retain=True)
        if taken and self._due.get(case.id) is case:
            del self._due[case.id]
        if taken and is_closed and self._known.get(case.id) is case:
            del self._known[case.id]
        return taken


def event_of(host: str, case: Case) -> CaseEvent:
    return CaseEvent(
        host=host,
        boot=case.boot,
        case=case.id,
        mfn=case.mfn,
        dimm=case.dimm,
        rank_of_dimm=case.rank,
        origin=case.origin,
        state=case.state,
        rest=case.rest,
        use=case.use,
        owner=case.owner,
        rung=case.rung,
        reason=case.reason,
        text=case.why or case.verdict,
        opened_at=case.opened_at_ns / NS,
        moved_at=case.moved_at_ns / NS,
    )
