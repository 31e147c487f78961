"""`pagewarden bridge` as an operator runs it: a process, its exit code, and what it says."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from signal import SIGTERM
from urllib.request import urlopen

import pytest

from agent.adapters.this_host import ThisHost
from emulator.demo.stage import free_port
from tests.support.books import HOST, PATIENCE_SECONDS, an_agent
from tests.support.bridging import address, error
from tests.support.mosquitto import Mosquitto

PROGRAM = (sys.executable, "-c", "from agent.cli import main; main()", "bridge")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "kern.log"
    path.write_text("".join(map(error, range(1, 4))))
    return path


async def start(folder: Path, broker: str, *arguments: str) -> Process:
    usual = ("--host", HOST, "--broker", broker, "--state", str(folder / "state"), "--settle=0.2")
    return await asyncio.create_subprocess_exec(
        *PROGRAM, *usual, *arguments, stdout=PIPE, stderr=PIPE
    )


@asynccontextmanager
async def started(folder: Path, broker: str, *arguments: str) -> AsyncIterator[Process]:
    process = await start(folder, broker, *arguments)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def ended(process: Process) -> tuple[int | None, str, str]:
    """Its exit code, and what it said on stdout and on stderr."""
    out, err = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
    return process.returncode, out.decode(), err.decode()


async def test_once_brings_over_what_is_there_and_sums_it_up(
    mosquitto: Mosquitto, tmp_path: Path, log: Path
) -> None:
    async with an_agent(mosquitto.port) as agent:
        process = await start(tmp_path, mosquitto.url, f"--from=file:{log}", "--once", "--json")
        code, out, _ = await ended(process)
    summary = json.loads(out)
    assert code == 0
    assert agent.addresses == {address(number): 1 for number in range(1, 4)}
    assert (summary["read"], summary["ereports"], summary["applied"]) == (3, 3, 3)
    assert summary["boot_id"] == str(ThisHost().boot().id)


async def test_a_second_run_brings_over_what_is_new(
    mosquitto: Mosquitto, tmp_path: Path, log: Path
) -> None:
    arguments = (f"--from=file:{log}", "--once", "--json")
    async with an_agent(mosquitto.port) as agent:
        await ended(await start(tmp_path, mosquitto.url, *arguments))
        with log.open("a") as file:
            file.write(error(4))
        _, out, _ = await ended(await start(tmp_path, mosquitto.url, *arguments))
    assert json.loads(out)["ereports"] == 1
    assert agent.addresses == {address(number): 1 for number in range(1, 5)}


async def test_sigterm_ends_one_that_follows(
    mosquitto: Mosquitto, tmp_path: Path, log: Path
) -> None:
    port = free_port()
    arguments = (f"--from=file:{log}", f"--metrics={port}")
    async with (
        an_agent(mosquitto.port) as agent,
        started(tmp_path, mosquitto.url, *arguments) as process,
    ):
        await agent.until(3)
        page = await asyncio.to_thread(fetched, f"http://127.0.0.1:{port}/metrics")
        process.send_signal(SIGTERM)
        code, _, err = await ended(process)
    events = [json.loads(line)["event"] for line in err.splitlines() if line.startswith("{")]
    assert (code, events[0], events[-1]) == (0, "bridge_started", "bridge_stopped")
    assert "pagewarden_bridge_ereports_total 3.0" in page


def fetched(url: str) -> str:
    with urlopen(url) as page:
        return str(page.read().decode())


async def test_without_an_agent_once_ends_with_one_line_and_keeps_all(
    mosquitto: Mosquitto, tmp_path: Path, log: Path
) -> None:
    arguments = (f"--from=file:{log}", "--once", "--patience=0.5", "--log-level=error")
    code, _, err = await ended(await start(tmp_path, mosquitto.url, *arguments))
    assert code == 1
    assert "3 ereports are kept for the next time: is an agent running" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--from=syslog",), 2, "--from is journal"),
        (("--from=journal", "--broker=http://x"), 2, "mqtt://host:port"),
        (("--from=journal", "--metrics=x"), 2, "HOST:PORT"),
        (("--from=mcelog-device:/nonexistent",), 1, "--from journal"),
        (("--from=file:/",), 1, "not a regular file"),
        (("--from=file:/nonexistent", "--once"), 1, "nothing is waited for"),
        (("--from=rasdaemon-db:/nonexistent", "--once"), 1, "nothing is waited for"),
        (("--from=file:/x", "--password-file=/nonexistent"), 1, "--password-file"),
        (("--from=file:/x", "--broker=mqtts://x", "--ca-file=/nonexistent"), 1, "/nonexistent"),
    ],
)
async def test_what_cannot_work_ends_at_once_and_says_why(
    tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    result, _, err = await ended(await start(tmp_path, "mqtt://127.0.0.1:1", *arguments))
    assert (result, said in " ".join(err.split()).replace("│ ", "")) == (code, True), err
