"""The checkup: who is missing, and whether the host is still the one it was."""

import asyncio
import time
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from agent import checkup as checkup_module
from agent.checkup import Checkup
from agent.contract.errors import Unreachable
from agent.contract.hypercall import HostReply
from agent.contract.toolstack import DomainsReply
from agent.retirement.acts import Acts
from tests.support.cases import BOOT
from tests.support.host import Host


@dataclass(slots=True)
class Link:
    connected: bool = True
    behind_seconds: float = 0.0


@dataclass(slots=True)
class Moody(Host):
    """A host that can be silent, and can reboot."""

    boot_id: UUID = BOOT
    is_silent: bool = False

    async def host(self) -> HostReply:
        if self.is_silent:
            raise Unreachable("hypercall.sock: no answer in 5 s")
        return HostReply(host="h", boot_id=self.boot_id, frames=9, personality="thread")

    async def domains(self) -> DomainsReply:
        if self.is_silent:
            raise Unreachable("toolstack.sock: no answer in 5 s")
        return DomainsReply(domains=())


@dataclass(slots=True)
class Bench:
    host: Moody = field(default_factory=Moody)
    broker: Link = field(default_factory=Link)
    told: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])
    late: list[float] = field(default_factory=list[float])

    def hear(self, ailments: tuple[str, ...], late_seconds: float) -> None:
        self.told.append(ailments)
        self.late.append(late_seconds)

    async def looked(self) -> Checkup:
        """A checkup that has asked everybody once."""
        checkup = Checkup(Acts(self.host, self.host), self.broker, BOOT, self.hear)
        for task in (asyncio.create_task(checkup.look()), asyncio.create_task(checkup.beat())):
            await asyncio.sleep(0.01)
            task.cancel()
        return checkup


async def test_with_everybody_there_nothing_ails_the_agent() -> None:
    bench = Bench()
    checkup = await bench.looked()
    assert bench.told == [()]
    assert not checkup.rebooted.is_set()


async def test_a_broker_that_is_away_is_told() -> None:
    bench = Bench(broker=Link(connected=False))
    await bench.looked()
    assert bench.told == [("no connection to the broker",)]


async def test_an_agent_that_cannot_keep_up_says_so_after_a_while() -> None:
    bench = Bench(broker=Link(behind_seconds=9.0))
    await bench.looked()
    bench.broker.behind_seconds = 11.0
    await bench.looked()
    assert bench.told == [(), ("behind: for 11 s more errors have come than could be taken",)]


async def test_a_host_that_does_not_answer_is_told_with_the_reason() -> None:
    bench = Bench(Moody(is_silent=True))
    await bench.looked()
    assert bench.told == [
        (
            "the hypervisor does not answer: hypercall.sock: no answer in 5 s",
            "the toolstack does not answer: toolstack.sock: no answer in 5 s",
        )
    ]


async def test_another_boot_is_noticed() -> None:
    checkup = await Bench(Moody(boot_id=UUID(int=99))).looked()
    assert checkup.rebooted.is_set()


async def test_a_beat_that_comes_late_says_by_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one is due at once, and the loop is kept busy until then."""
    monkeypatch.setattr(checkup_module, "BEAT_SECONDS", 0.0)
    bench = Bench()
    checkup = Checkup(Acts(bench.host, bench.host), bench.broker, BOOT, bench.hear)
    beating = asyncio.create_task(checkup.beat())
    await asyncio.sleep(0)
    time.sleep(0.05)  # noqa: ASYNC251 - a loop that is stuck is what this is about
    await asyncio.sleep(0)
    beating.cancel()
    assert bench.late[1] >= 0.05
