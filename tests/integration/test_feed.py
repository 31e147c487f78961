"""`pagewarden feed` over a real Mosquitto, with the test in the part of the agent."""

import asyncio
import json
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, chdir, suppress
from importlib.metadata import EntryPoint
from pathlib import Path
from time import monotonic
from uuid import UUID

import aiomqtt
import pytest
import typer
from typer.testing import CliRunner, Result

from agent.adapters import courier, providers
from agent.adapters.broker_settings import BrokerSettings
from agent.adapters.feeder import Feeder, Plan
from agent.adapters.pacing import Pacing, recorded
from agent.commands import feed
from agent.contract import topics
from agent.contract.codec import decode
from agent.contract.columns import Batch
from agent.contract.ereport import Applied, Inventory, Range
from agent.contract.errors import AgentError
from agent.contract.sources import GROUP
from agent.telemetry.record import Decoded
from tests.support.logs import HEADER, LINE
from tests.support.mosquitto import Mosquitto

HOST = "hv-1"
ERRORS = 50


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """`ERRORS` errors, each of its own count."""
    path = tmp_path / "kern.log"
    path.write_text("".join(f"{LINE}\n".replace("3 CE", f"{n} CE") for n in range(1, ERRORS + 1)))
    return path


@pytest.fixture
def slow_log(tmp_path: Path) -> Path:
    """Two errors, 100 s apart."""
    path = tmp_path / "slow.log"
    path.write_text(f"{LINE}\n{LINE.replace('100.25', '200.25')}\n")
    return path


class Agent:
    """What an agent does, by hand: take batches, and say what is applied or missing."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.batches: list[Batch] = []

    async def take(self, ereports: int, patience_seconds: float = 20) -> list[int]:
        """The numbers of the next ereports, once there are so many."""
        taken: list[int] = []
        async with asyncio.timeout(patience_seconds):
            while len(taken) < ereports:
                message = await anext(self.client.messages)
                batch = decode(bytes(message.payload))
                self.batches.append(batch)
                taken += batch.seq.tolist()
        return taken

    @property
    def boot_id(self) -> UUID:
        return self.batches[-1].boot_id

    async def apply(self, next_seq: int, boot_id: UUID | None = None) -> None:
        mark = Applied(boot_id=boot_id or self.boot_id, next_seq=next_seq)
        await self.client.publish(topics.applied(HOST), mark.model_dump_json(), 1, retain=True)

    async def ask_for(self, first: int, last: int) -> None:
        missing = Range(boot_id=self.boot_id, first=first, last=last)
        await self.client.publish(topics.resend(HOST), missing.model_dump_json(), 1)


@asynccontextmanager
async def an_agent(broker: Mosquitto) -> AsyncIterator[Agent]:
    nodelay = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    async with aiomqtt.Client("127.0.0.1", broker.port, socket_options=nodelay) as client:
        await client.subscribe(topics.ereports(HOST), qos=1)
        yield Agent(client)


def start(broker: Mosquitto, *arguments: str | Path) -> asyncio.Task[Result]:
    """The command, at work in a thread: a process of its own would take seconds to start."""
    application = typer.Typer(pretty_exceptions_enable=False)
    application.callback()(lambda: None)
    feed.register(application)
    line = ["feed", f"--broker={broker.url}", f"--host={HOST}", "--patience=20"]
    invoked = asyncio.to_thread(CliRunner().invoke, application, [*line, *map(str, arguments)])
    return asyncio.create_task(invoked)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_it_ends_once_the_agent_has_applied_all(
    mosquitto: Mosquitto, log: Path, protocol: str
) -> None:
    async with an_agent(mosquitto) as agent:
        feeding = start(mosquitto, "--json", "--protocol", protocol, "--batch", "20", log)
        assert await agent.take(ERRORS) == list(range(ERRORS))
        await agent.apply(ERRORS)
        result = await feeding
    summary = json.loads(result.stdout)
    assert (result.exit_code, summary["ereports"], summary["applied"]) == (0, ERRORS, ERRORS)


async def test_nothing_changes_on_the_way(mosquitto: Mosquitto, log: Path) -> None:
    async with an_agent(mosquitto) as agent:
        feeding = start(mosquitto, log)
        await agent.take(ERRORS)
        await agent.apply(ERRORS)
        await feeding
    (batch,) = agent.batches
    assert batch.errors.tolist() == list(range(1, ERRORS + 1))
    assert set(batch.address.tolist()) == {0x12345680}


async def test_what_the_agent_misses_is_sent_again(mosquitto: Mosquitto, log: Path) -> None:
    async with an_agent(mosquitto) as agent:
        feeding = start(mosquitto, "--batch", "10", log)
        await agent.take(ERRORS)
        await agent.ask_for(15, 24)
        again = await agent.take(20)
        await agent.apply(ERRORS)
        await feeding
    assert again == list(range(10, 30))


async def test_what_is_not_applied_in_time_is_sent_again(
    mosquitto: Mosquitto, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker may acknowledge a message and drop it: nobody would ever ask for the last one."""
    monkeypatch.setattr(courier, "RESEND_SECONDS", 0.2)
    async with an_agent(mosquitto) as agent:
        feeding = start(mosquitto, log)
        first, again = await agent.take(ERRORS), await agent.take(ERRORS)
        await agent.apply(ERRORS)
        await feeding
    assert first == again


async def test_a_slow_agent_slows_the_source_down(
    mosquitto: Mosquitto, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept has a bound, and so has what a broker must queue."""
    monkeypatch.setattr(courier, "PARCELS_MAX", 3)
    async with an_agent(mosquitto) as agent:
        feeding = start(mosquitto, "--batch", "10", log)
        await agent.take(30)
        with pytest.raises(TimeoutError):
            await agent.take(1, patience_seconds=0.2)
        await agent.apply(30)
        rest = await agent.take(20)
        await agent.apply(ERRORS)
        await feeding
    assert rest == list(range(30, ERRORS))


async def test_an_agent_that_never_applies_ends_it_with_one_line(
    mosquitto: Mosquitto, log: Path
) -> None:
    """The program itself, as an operator starts it."""
    program = [sys.executable, "-c", "from agent.cli import main; main()", "feed", str(log)]
    options = [f"--broker={mosquitto.url}", f"--host={HOST}", "--patience=0.5"]
    process = await asyncio.create_subprocess_exec(*program, *options, stderr=PIPE)
    _, told = await process.communicate()
    (line,) = told.decode().splitlines()
    assert process.returncode == 1
    assert f"{ERRORS} of {ERRORS} ereports are not applied: is an agent running" in line


async def test_half_applied_is_told_exactly(mosquitto: Mosquitto, log: Path) -> None:
    async with an_agent(mosquitto) as agent:
        feeding = start(mosquitto, "--patience", "0.5", "--batch", "10", log)
        await agent.take(ERRORS)
        await agent.apply(20)
        result = await feeding
    assert "30 of 50 ereports are not applied" in str(result.exception)


async def test_an_old_word_about_another_boot_is_not_believed(
    mosquitto: Mosquitto, log: Path
) -> None:
    async with an_agent(mosquitto) as agent:
        await agent.apply(1_000_000, boot_id=UUID(int=7))
        result = await start(mosquitto, "--patience", "0.5", log)
    assert result.exit_code == 1


async def test_a_boot_that_goes_on_ends_when_all_was_applied_before(
    mosquitto: Mosquitto, slow_log: Path
) -> None:
    """The second error comes after the agent's word, and must not wait for another."""
    same = ("--boot-id", str(UUID(int=7)), "--speed", "200", "--patience", "1")
    async with an_agent(mosquitto) as agent:
        await agent.apply(2, boot_id=UUID(int=7))
        result = await start(mosquitto, *same, slow_log)
    assert result.exit_code == 0


async def test_an_answer_that_makes_no_sense_is_told_and_passed_over(
    mosquitto: Mosquitto, log: Path
) -> None:
    async with an_agent(mosquitto) as agent:
        feeding = start(mosquitto, log)
        await agent.take(ERRORS)
        await agent.client.publish(topics.applied(HOST), b"{}", 1)
        await agent.apply(ERRORS)
        result = await feeding
    assert (result.exit_code, "boot_id: Field required" in result.stderr) == (0, True)


async def test_a_broker_that_dies_in_the_middle_loses_nothing(
    mosquitto: Mosquitto, log: Path
) -> None:
    """The batches were acknowledged, and died with the broker: only the outbox still has them."""
    with suppress(aiomqtt.MqttError):  # the agent's own connection ends too
        async with an_agent(mosquitto) as agent:
            feeding = start(mosquitto, "--batch", "10", log)
            await agent.take(ERRORS)
            mosquitto.kill()
    mosquitto.start()
    async with an_agent(mosquitto) as agent:
        again = await agent.take(ERRORS)
        await agent.apply(ERRORS)
        result = await feeding
    assert (result.exit_code, again) == (0, list(range(ERRORS)))


async def test_a_broker_that_is_away_is_named(mosquitto: Mosquitto, log: Path) -> None:
    mosquitto.kill()
    result = await start(mosquitto, "--patience", "0.2", log)
    assert "Connection refused" in str(result.exception)


async def test_speed_keeps_the_records_distances(mosquitto: Mosquitto, slow_log: Path) -> None:
    """100 s at 100 times real time are a second."""
    async with an_agent(mosquitto) as agent:
        feeding = start(mosquitto, "--speed", "100", slow_log)
        assert await agent.take(1) == [0]
        before = monotonic()
        assert await agent.take(1) == [1]
        waited_seconds = monotonic() - before
        await agent.apply(2)
        await feeding
    assert waited_seconds > 0.3


async def test_a_recording_that_breaks_off_is_applied_as_far_as_it_goes(
    mosquitto: Mosquitto,
) -> None:
    def records() -> Iterator[Decoded]:
        yield Decoded(line=1, time_ns=1)
        raise AgentError("kern.log: Input/output error")

    class Nobody:
        def moved(self, made: int, applied: int) -> None: ...
        def troubled(self, reason: str) -> None: ...

    plan = Plan(HOST, UUID(int=7), patience_seconds=20)
    source = Feeder(plan, BrokerSettings(mosquitto.url, client_id="test"), Nobody())
    async with an_agent(mosquitto) as agent:
        running = asyncio.create_task(
            source.run(recorded(records(), HOST, UUID(int=7), Pacing(batch=1)))
        )
        await agent.take(1)
        await agent.apply(1)
        with pytest.raises(AgentError, match="Input/output error"):
            await running
    assert source.applied == 1


async def test_patience_begins_anew_whenever_something_is_applied(
    mosquitto: Mosquitto, log: Path
) -> None:
    async with an_agent(mosquitto) as agent:
        feeding = start(mosquitto, "--batch", "10", "--patience", "1", log)
        await agent.take(ERRORS)
        for applied in range(10, ERRORS + 1, 10):
            await asyncio.sleep(0.3)
            await agent.apply(applied)
        result = await feeding
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nothing.csv"], 2, "No such file"),
        (["empty.csv"], 1, "0 ereports"),
        (["--broker", "http://x", "empty.csv"], 2, "mqtt://host:port"),
        (["--batch", "1025", "empty.csv"], 2, "1024"),
    ],
)
async def test_what_cannot_work_ends_at_once(
    mosquitto: Mosquitto, tmp_path: Path, arguments: Sequence[str], code: int, said: str
) -> None:
    (tmp_path / "empty.csv").write_text(f"{HEADER}\n")
    with chdir(tmp_path):
        result = await start(mosquitto, *arguments)
    assert (result.exit_code, said in result.stderr) == (code, True)


@pytest.fixture
def _emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator as the provider of scenarios, whatever is installed."""
    found = [EntryPoint("emulator", "emulator.feeding:provide", GROUP)]
    monkeypatch.setattr(providers, "entry_points", lambda *, group: found)


@pytest.mark.usefixtures("_emulator")
async def test_a_scenario_is_fed_with_its_inventory(mosquitto: Mosquitto) -> None:
    async with an_agent(mosquitto) as agent:
        await agent.client.subscribe(topics.inventory(HOST), qos=1)
        feeding = start(mosquitto, "--scenario", "row-failing", "--json")
        told = Inventory.model_validate_json(bytes((await anext(agent.client.messages)).payload))
        await agent.client.unsubscribe(topics.inventory(HOST))
        await agent.take(100)
        await agent.apply(100)
        result = await feeding
    summary = json.loads(result.stdout)
    assert (summary["ereports"], summary["applied"]) == (100, 100)
    assert {told.dimms, *(batch.dimms for batch in agent.batches)} == {told.dimms}


@pytest.mark.usefixtures("_emulator")
async def test_a_rate_spreads_a_scenario_over_time(mosquitto: Mosquitto) -> None:
    """100 ereports at 200 a second: the last of them is due after nearly half a second."""
    async with an_agent(mosquitto) as agent:
        began = monotonic()
        feeding = start(mosquitto, "--scenario", "row-failing", "--rate", "200")
        await agent.take(100)
        took = monotonic() - began
        await agent.apply(100)
        await feeding
    assert (len(agent.batches) > 1, took > 0.4) == (True, True)
