"""`pagewarden feed` over a real Mosquitto, with the test in the part of the agent."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import aiomqtt
import pytest

from agent.contract import topics
from agent.contract.codec import decode
from agent.contract.columns import Batch
from agent.contract.ereport import Applied, Range
from tests.support.logs import HEADER, LINE
from tests.support.mosquitto import Mosquitto, free_port

HOST = "hv-1"
ERRORS = 50

Program = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """`ERRORS` errors, each of its own count."""
    path = tmp_path / "kern.log"
    path.write_text("".join(f"{LINE}\n".replace("3 CE", f"{n} CE") for n in range(1, ERRORS + 1)))
    return path


class Agent:
    """What an agent does, by hand: take batches, and say what is applied or missing."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.batches: list[Batch] = []

    async def take(self, ereports: int) -> list[int]:
        """The numbers of the next ereports, once there are so many."""
        taken: list[int] = []
        async with asyncio.timeout(20):
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


async def start(broker: Mosquitto, *arguments: str | Path) -> asyncio.subprocess.Process:
    """The program itself, as an operator starts it."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from agent.cli import main; main()",
        "feed",
        *(f"--broker={broker.url}", f"--host={HOST}"),
        *map(str, arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process) -> tuple[int, str, str]:
    """Its exit code, stdout and stderr."""
    async with asyncio.timeout(20):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_it_ends_once_the_agent_has_applied_all(
    mosquitto: Mosquitto, log: Path, protocol: str
) -> None:
    async with an_agent(mosquitto) as agent:
        feed = await start(mosquitto, "--json", "--protocol", protocol, "--batch", "20", log)
        assert await agent.take(ERRORS) == list(range(ERRORS))
        await agent.apply(ERRORS)
        code, out, _ = await ended(feed)
    summary = json.loads(out)
    assert (code, summary["ereports"], summary["applied"]) == (0, ERRORS, ERRORS)


async def test_nothing_changes_on_the_way(mosquitto: Mosquitto, log: Path) -> None:
    async with an_agent(mosquitto) as agent:
        feed = await start(mosquitto, log)
        await agent.take(ERRORS)
        await agent.apply(ERRORS)
        await ended(feed)
    (batch,) = agent.batches
    assert batch.errors.tolist() == list(range(1, ERRORS + 1))
    assert set(batch.address.tolist()) == {0x12345680}


async def test_what_the_agent_misses_is_sent_again(mosquitto: Mosquitto, log: Path) -> None:
    async with an_agent(mosquitto) as agent:
        feed = await start(mosquitto, "--batch", "10", log)
        await agent.take(ERRORS)
        await agent.ask_for(15, 24)
        again = await agent.take(20)
        await agent.apply(ERRORS)
        code, *_ = await ended(feed)
    assert (code, again) == (0, list(range(10, 30)))


async def test_an_agent_that_never_applies_ends_it_with_one_line(
    mosquitto: Mosquitto, log: Path
) -> None:
    code, _, err = await ended(await start(mosquitto, "--patience", "0.5", log))
    (line,) = err.splitlines()
    assert code == 1
    assert f"{ERRORS} of {ERRORS} ereports are not applied: is an agent running" in line


async def test_half_applied_is_told_exactly(mosquitto: Mosquitto, log: Path) -> None:
    async with an_agent(mosquitto) as agent:
        feed = await start(mosquitto, "--patience", "0.5", "--batch", "10", log)
        await agent.take(ERRORS)
        await agent.apply(20)
        code, _, err = await ended(feed)
    assert (code, "30 of 50 ereports are not applied" in err) == (1, True)


async def test_an_old_word_about_another_boot_is_not_believed(
    mosquitto: Mosquitto, log: Path
) -> None:
    async with an_agent(mosquitto) as agent:
        await agent.apply(1_000_000, boot_id=UUID(int=7))
        code, *_ = await ended(await start(mosquitto, "--patience", "0.5", log))
    assert code == 1


async def test_a_boot_that_goes_on_skips_what_is_applied(mosquitto: Mosquitto, log: Path) -> None:
    async with an_agent(mosquitto) as agent:
        await agent.apply(ERRORS, boot_id=UUID(int=7))
        code, *_ = await ended(await start(mosquitto, "--boot-id", str(UUID(int=7)), log))
    assert code == 0


async def test_a_broker_that_dies_in_the_middle_loses_nothing(
    mosquitto: Mosquitto, log: Path
) -> None:
    """The batches were acknowledged, and died with the broker: only the outbox still has them."""
    async with an_agent(mosquitto) as agent:
        feed = await start(mosquitto, "--batch", "10", log)
        await agent.take(ERRORS)
        mosquitto.kill()
        with pytest.raises(aiomqtt.MqttError):
            await anext(agent.client.messages)
    mosquitto.start()
    async with an_agent(mosquitto) as agent:
        assert sorted(await agent.take(ERRORS)) == list(range(ERRORS))
        await agent.apply(ERRORS)
        code, *_ = await ended(feed)
    assert code == 0


async def test_a_broker_that_is_away_is_named(mosquitto: Mosquitto, log: Path) -> None:
    mosquitto.port, port = free_port(), mosquitto.port
    code, _, err = await ended(await start(mosquitto, "--patience", "1", log))
    mosquitto.port = port
    assert (code, "Connection refused" in err) == (1, True)


async def test_speed_keeps_the_records_distances(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Two errors, 100 s apart, at 200 times real time: half a second, and two messages."""
    log = tmp_path / "slow.log"
    log.write_text(f"{LINE}\n{LINE.replace('100.25', '200.25')}\n")
    async with an_agent(mosquitto) as agent:
        feed = await start(mosquitto, "--speed", "200", log)
        await agent.take(1)
        before = asyncio.get_running_loop().time()
        await agent.take(1)
        after = asyncio.get_running_loop().time()
        await agent.apply(2)
        await ended(feed)
    assert 0.4 < after - before < 5


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nothing.csv"], 2, "No such file"),
        (["empty.csv"], 1, "0 ereports"),
        (["--broker", "http://x", "empty.csv"], 2, "mqtt://host:port"),
        (["--batch", "1025", "empty.csv"], 2, "1025"),
    ],
)
async def test_what_cannot_work_ends_at_once(
    mosquitto: Mosquitto,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: Sequence[str],
    code: int,
    said: str,
) -> None:
    (tmp_path / "empty.csv").write_text(f"{HEADER}\n")
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.chdir(tmp_path)
    found, _, err = await ended(await start(mosquitto, *arguments))
    assert (found, said in err) == (code, True)
