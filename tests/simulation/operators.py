"""Operators: they ask the agent for pages, and ask again, under the same id, until it answers.

What they asked for is kept here, as they remember it: the judges compare it with what the agent
says, and with what is so.
"""

import asyncio
from dataclasses import dataclass
from random import Random

from agent.app import Agent
from agent.contract.requests import Ask, Wish
from agent.retirement.request import Request, RequestRefused
from tests.simulation.agent import Keeper
from tests.simulation.host import Host
from tests.simulation.trace import Trace

AGAIN_SECONDS = 2.0
EVACUATED_MAX = 400  # pages; more take long to live through, and show nothing else
RANGES = (1, 1, 1, 4)  # how many pages one asks for


@dataclass(slots=True)
class Asked:
    """`pages` are those that it means. `is_taken`: the agent has said so, and must not forget."""

    ask: Ask
    pages: frozenset[int]
    boot: str
    is_taken: bool = False
    refused: str = ""


class Operators:
    """All who may ask this host's agent."""

    def __init__(self, keeper: Keeper, host: Host, rng: Random, trace: Trace) -> None:
        self.asked: list[Asked] = []
        self._keeper = keeper
        self._host = host
        self._rng = rng
        self._trace = trace

    @property
    def wanted(self) -> frozenset[int]:
        """Every page that one of them ever wanted out of use."""
        return self._pages_of(Wish.OFFLINE, Wish.EVACUATE)

    @property
    def given_back(self) -> frozenset[int]:
        return self._pages_of(Wish.ONLINE, Wish.CANCEL)

    @property
    def beyond_cap(self) -> frozenset[int]:
        """What no cap is to count."""
        mine = (a for a in self.asked if a.ask.beyond_cap or a.ask.wish is Wish.EVACUATE)
        return frozenset[int]().union(*(a.pages for a in mine))

    def _pages_of(self, *wishes: Wish) -> frozenset[int]:
        return frozenset[int]().union(*(a.pages for a in self.asked if a.ask.wish in wishes))

    async def want(self, wish: Wish) -> None:
        """One of them has this wish, for some pages, and sees that it is heard."""
        asked = self._thought_of(wish)
        if asked is None:
            return
        self.asked.append(asked)
        self._trace("operator", f"{asked.ask.id} {wish} {_named(asked)}")
        while not (asked.is_taken or asked.refused):
            await self._put(asked)
        self._trace("operator", f"{asked.ask.id} {asked.refused or 'is taken'}")

    async def _put(self, asked: Asked) -> None:
        async def take(agent: Agent) -> Request:
            return await agent.desk.take(asked.ask)

        try:
            answer = await self._keeper.ask(take)
        except RequestRefused as refused:
            asked.refused = str(refused)
            return
        asked.is_taken = answer is not None
        if answer is None:
            await asyncio.sleep(AGAIN_SECONDS)

    def _thought_of(self, wish: Wish) -> Asked | None:
        """None if there is nothing that one could wish for."""
        match wish:
            case Wish.OFFLINE:
                return self._offline()
            case Wish.EVACUATE:
                return self._evacuate()
            case Wish.ONLINE | Wish.CANCEL:
                return self._give_back(wish)

    def _offline(self) -> Asked:
        frames = self._host.nature.layout.frames
        count = self._rng.choice(RANGES)
        known = [case.mfn for case in self._keeper.cases]
        first = self._rng.choice([self._rng.randrange(frames), *known[:1], *known[-1:]])
        last = min(first + count, frames) - 1
        ask = self._ask(Wish.OFFLINE, first=first, last=last, beyond_cap=self._rng.random() < 0.2)
        return self._remembered(ask, range(first, last + 1))

    def _evacuate(self) -> Asked | None:
        labels = self._host.world.firmware.geometry.labels
        if self._host.nature.layout.frames // len(labels) > EVACUATED_MAX:
            return None
        dimm = self._rng.randrange(len(labels))
        pages = range(dimm, self._host.nature.layout.frames, len(labels))
        return self._remembered(self._ask(Wish.EVACUATE, dimm=labels[dimm]), pages)

    def _give_back(self, wish: Wish) -> Asked | None:
        cases = self._keeper.cases
        if not cases:
            return None
        case = self._rng.choice(cases)
        if wish is Wish.CANCEL:
            return self._remembered(self._ask(wish, case=case.id), [case.mfn])
        return self._remembered(self._ask(wish, first=case.mfn, last=case.mfn), [case.mfn])

    def _ask(self, wish: Wish, **what: object) -> Ask:
        return Ask.model_validate({"id": f"r{len(self.asked) + 1}", "wish": wish, **what})

    def _remembered(self, ask: Ask, pages: range | list[int]) -> Asked:
        return Asked(ask, frozenset(pages), str(self._host.boot_id))


def _named(asked: Asked) -> str:
    ask = asked.ask
    beyond = " beyond the cap" if ask.beyond_cap else ""
    return (ask.dimm or ask.case or f"{ask.first:#x} to {ask.last:#x}") + beyond
