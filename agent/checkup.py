"""Is everybody there on whom the agent depends? Asked now and then, and shown on the health board.

It also sees what no call would tell: that the host has rebooted. Then nothing that was known of
its pages and guests is so any more, and this life of the agent is over; `app.py` begins the next.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from agent.contract.errors import PeerError
from agent.retirement.acts import Acts

BEAT_SECONDS = 1.0
LOOK_SECONDS = 5.0
AWAY_LOOK_SECONDS = 0.5  # a host that is away may be rebooting: its bad pages are in use then
BEHIND_SECONDS = 10.0  # so long without a pause, and it is no burst


class Connection(Protocol):
    @property
    def connected(self) -> bool: ...
    @property
    def behind_seconds(self) -> float: ...


@dataclass(slots=True)
class Checkup:
    """`renew` takes what ails the agent, a line each, and by how many seconds it hears of it late;
    it must hear something every few seconds.
    """

    acts: Acts
    broker: Connection
    boot_id: UUID
    renew: Callable[[tuple[str, ...], float], None]
    rebooted: asyncio.Event = field(default_factory=asyncio.Event)
    _silent: dict[str, str] = field(default_factory=dict[str, str])

    async def beat(self) -> None:
        """Tell the board, from the loop, that the loop runs."""
        now = asyncio.get_running_loop().time
        due = now()
        while True:
            self.renew(self.ailments, now() - due)
            due = now() + BEAT_SECONDS
            await asyncio.sleep(BEAT_SECONDS)

    @property
    def ailments(self) -> tuple[str, ...]:
        away = () if self.broker.connected else ("no connection to the broker",)
        return (*away, *self._behind, *self._silent.values())

    @property
    def _behind(self) -> tuple[str, ...]:
        seconds = self.broker.behind_seconds
        if seconds < BEHIND_SECONDS:
            return ()
        return (f"behind: for {seconds:.0f} s more errors have come than could be taken",)

    async def look(self) -> None:
        """Ask the peers, again and again; a task of its own, for they may take their time."""
        while True:
            await self._ask("hypervisor", self._boot)
            await self._ask("toolstack", self.acts.toolstack.domains)
            await asyncio.sleep(AWAY_LOOK_SECONDS if self._silent else LOOK_SECONDS)

    async def _boot(self) -> None:
        host = await self.acts.hypervisor.host()
        if host.boot_id != self.boot_id:
            self.rebooted.set()

    async def _ask(self, peer: str, question: Callable[[], Awaitable[object]]) -> None:
        try:
            await question()
        except PeerError as error:
            self._silent[peer] = f"the {peer} does not answer: {error}"
        else:
            self._silent.pop(peer, None)
