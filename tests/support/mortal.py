"""Bridges that die at any step: a spool that is real, a bus and an agent in memory.

A step is whatever outlives the process, before it and after it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from agent.adapters import courier
from agent.adapters.spool import Spool
from agent.bridge.events import Event
from agent.bridge.keeping import Keeping
from agent.bridge.service import Plan
from agent.bridge.wanted import parse
from tests.support.books import HOST
from tests.support.bridging import Bridging, a_host
from tests.support.memory_bus import DiedError, MemoryBus, Steps

Work = Callable[[Spool], object]
Source = TypeVar("Source")
Look = TypeVar("Look")


class Mortal:
    """A host's bridge from `source`, and what its agent has counted by now."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch, source: str) -> None:
        self.bus = MemoryBus()
        self._bridging = Bridging(folder, "mqtt://nowhere", parse(source), a_host(folder / "root"))
        patch.setattr(courier, "connected", self.bus.connected)
        patch.setattr(Keeping, "do", self._stepping(Keeping.do))

    @property
    def events(self) -> list[Event]:
        return self._bridging.events

    def _stepping(
        self, do: Callable[[Keeping, Work], Awaitable[object]]
    ) -> Callable[[Keeping, Work], Awaitable[object]]:
        async def stepping(keeping: Keeping, work: Work) -> object:
            self.bus.steps.step()
            result = await do(keeping, work)
            self.bus.steps.step()
            return result

        return stepping

    def looking(self, look: Callable[[Source], Look]) -> Callable[[Source], Look]:
        """`look`, as a step: a life that only looks ends too."""

        def looking(source: Source) -> Look:
            self.bus.steps.step()
            return look(source)

        return looking

    def live(self, steps: int, settle_seconds: float = 3600, keep_max: int = 1000) -> None:
        """A life that ends, without a word, at its step numbered `steps`."""
        self.bus.steps = Steps(steps)
        plan = Plan(HOST, settle_seconds=settle_seconds, keep_max=keep_max)
        with pytest.raises(ExceptionGroup) as died:
            asyncio.run(replace(self._bridging, plan=plan).whole_life())
        assert died.group_contains(DiedError)

    def end(self) -> None:
        """A life without trouble, until all is applied."""
        self.bus.steps = Steps(1 << 30)
        self.bus.is_applying = True
        plan = Plan(HOST, follows=False, settle_seconds=0.01)
        asyncio.run(replace(self._bridging, plan=plan).whole_life())
