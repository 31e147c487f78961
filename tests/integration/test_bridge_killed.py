"""A real process, a real broker, a growing log, and `kill -9` fifty times: the counts are exact."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from datetime import UTC, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

import pytest

from agent.adapters.broker_settings import BrokerSettings
from agent.adapters.this_host import ThisHost
from agent.bridge.run import Setting, run
from agent.bridge.service import Plan
from agent.bridge.wanted import parse
from agent.telemetry.prefixes import Unsaid
from tests.support.books import HOST, an_agent
from tests.support.bridging import BOOT, a_host, address, block, error
from tests.support.mosquitto import Mosquitto

KILLS = 50
ERRORS_A_LIFE = 6
SEED = 8412


def live(folder: Path, url: str) -> None:
    """One life, in a process of its own, until it is told to stop or killed."""
    setting = Setting(
        Plan(HOST, settle_seconds=60),
        parse(f"file:{folder / 'kern.log'}"),
        Unsaid(latest=datetime(2026, 12, 31, tzinfo=UTC)),
        BrokerSettings(url, "bridge", session_expiry_seconds=0, retry_seconds_max=0.5),
        folder / "state",
        log_level="error",
    )
    asyncio.run(run(setting, ThisHost(folder / "root")))


@pytest.fixture
def processes() -> Iterator[multiprocessing.context.ForkServerContext]:
    """New processes at once: what takes seconds to import was imported by their parent."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "agent.bridge.run"])
    yield context
    for child in multiprocessing.active_children():
        child.kill()
        child.join()


class Growing:
    """A log that grows by single lines and by blocks, written in pieces that end anywhere."""

    def __init__(self, folder: Path, random: Random) -> None:
        self._path = folder / "kern.log"
        self._random = random
        self._generation = 0
        self.errors = 0

    async def grow(self) -> None:
        for _ in range(ERRORS_A_LIFE):
            self.errors += 1
            text = self._random.choice((error, block))(self.errors)
            cut = self._random.randrange(len(text))
            for piece in (text[:cut], text[cut:]):
                self._write(piece)
                await asyncio.sleep(self._random.uniform(0, 0.03))

    def rotate(self) -> None:
        self._generation += 1
        self._path.rename(self._path.with_name(f"kern.log-{self._generation:08}"))
        self._write("")

    def _write(self, text: str) -> None:
        with self._path.open("a") as log:
            log.write(text)


async def test_fifty_kills_double_and_lose_nothing(
    mosquitto: Mosquitto,
    tmp_path: Path,
    processes: multiprocessing.context.ForkServerContext,
) -> None:
    random = Random(SEED)
    a_host(tmp_path / "root")
    log = Growing(tmp_path, random)
    async with an_agent(mosquitto.port) as agent:
        for kill in range(KILLS):
            bridge = processes.Process(target=live, args=(tmp_path, mosquitto.url))
            bridge.start()
            await asyncio.sleep(random.uniform(0, 0.15))
            await log.grow()
            if kill % 5 == 0:  # not every life is too short to bring anything over
                await agent.until(sum(agent.addresses.values()) + 1)
            _kill(bridge)
            if kill % 10 == 9:
                log.rotate()
        bridge = processes.Process(target=live, args=(tmp_path, mosquitto.url))
        bridge.start()
        await agent.until(log.errors)
        bridge.terminate()
        await asyncio.to_thread(bridge.join)
    assert bridge.exitcode == 0
    assert agent.addresses == {address(number): 1 for number in range(1, log.errors + 1)}
    assert (agent.boots, agent.admission.missing) == ({BOOT: log.errors}, 0)
    assert log.errors == KILLS * ERRORS_A_LIFE


def _kill(process: BaseProcess) -> None:
    process.kill()
    process.join()
