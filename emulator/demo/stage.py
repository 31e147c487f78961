"""The processes of the demo: each started when the one it needs is ready, and none left behind.

broker ─► emulated host ─► agent ( ─► Prometheus)     stopped the other way round, with SIGTERM
"""

import asyncio
import shutil
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

from emulator.demo import monitoring
from emulator.demo.agent_config import Tables, agent_config, as_toml, laid_over
from emulator.errors import EmulatorError

READY_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 10.0
PAGEWARDEN = (sys.executable, "-m", "agent")


class BrokerKind(StrEnum):
    """`AUTO` is Mosquitto when it is installed, else the embedded one."""

    AUTO = "auto"
    MOSQUITTO = "mosquitto"
    EMBEDDED = "embedded"


@dataclass(frozen=True, slots=True)
class Bus:
    """How to reach the broker of this run, and what it is, for people."""

    name: str
    url: str
    protocol: Literal["5", "3.1.1"]


@dataclass(frozen=True, slots=True)
class Stage:
    """One running line. The sockets lie in `folder`, and so do the logs of each process.

    `links` are what to look at meanwhile, where somebody wants to.
    """

    folder: Path
    bus: Bus
    metrics_url: str
    agent: asyncio.subprocess.Process
    links: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def agent_socket(self) -> Path:
        return self.folder / "agent.sock"

    @property
    def control_socket(self) -> Path:
        return self.folder / "control.sock"


@asynccontextmanager
async def stage(
    folder: Path,
    broker: BrokerKind,
    host: tuple[str, ...],
    agent_keys: Tables,
    *,
    is_watched: bool = False,
) -> AsyncGenerator[Stage, None]:
    """All three running; `host` are the options of the emulated host, `agent_keys` what is to be
    different in the agent's configuration. If it is watched, the host tells Prometheus the truth
    too, and one that is installed scrapes both.

    Raises:
        EmulatorError: with what the process that did not start said last.
    """
    async with AsyncExitStack() as stack:
        bus = await _bus(folder, broker, stack)
        wire = ("--broker", bus.url, "--protocol", bus.protocol, "--sockets", str(folder))
        truth_port, port = free_port(), free_port()
        truth = ("--metrics", f"127.0.0.1:{truth_port}") if is_watched else ()
        emulator = (*PAGEWARDEN, "emulator", "--json", *wire, *truth, *host)
        await stack.enter_async_context(_process("emulator", emulator, folder, says_ready=True))
        config = folder / "agent.toml"
        keys = agent_config(folder, bus.url, bus.protocol, port)
        config.write_text(as_toml(laid_over(keys, agent_keys)), encoding="utf-8")
        agent = (*PAGEWARDEN, "agent", "--config", str(config))
        process = await stack.enter_async_context(_process("agent", agent, folder))
        links = await _watched(folder, port, truth_port, stack) if is_watched else {}
        yield Stage(folder, bus, f"http://127.0.0.1:{port}/metrics", process, links)


async def _watched(
    folder: Path, port: int, truth_port: int, stack: AsyncExitStack
) -> dict[str, str]:
    """What there is to look at, once somebody can."""
    pages = {
        "what the agent says": f"http://127.0.0.1:{port}/metrics",
        "what is so": f"http://127.0.0.1:{truth_port}/metrics",
    }
    program = monitoring.prometheus_program()
    if program is None:
        return pages
    (folder / "prometheus.yml").write_text(monitoring.configuration(port, truth_port))
    own = free_port()
    command = monitoring.command(program, folder, own)
    await stack.enter_async_context(_process("prometheus", command, folder))
    await _listening(own, "Prometheus")
    return pages | monitoring.links(f"http://127.0.0.1:{own}")


async def _bus(folder: Path, kind: BrokerKind, stack: AsyncExitStack) -> Bus:
    mosquitto = mosquitto_program()
    if kind is BrokerKind.MOSQUITTO and mosquitto is None:
        raise EmulatorError("--broker mosquitto: it is not installed (apt install mosquitto)")
    port = free_port()
    url = f"mqtt://127.0.0.1:{port}"
    if mosquitto is None or kind is BrokerKind.EMBEDDED:
        command = (*PAGEWARDEN, "broker", "--port", str(port))
        await stack.enter_async_context(_process("broker", command, folder, says_ready=True))
        return Bus("embedded broker", url, "3.1.1")
    config = folder / "mosquitto.conf"
    config.write_text(_mosquitto_config(port), encoding="utf-8")
    await stack.enter_async_context(_process("broker", (mosquitto, "-c", str(config)), folder))
    await _listening(port, "the broker")
    return Bus("Mosquitto", url, "5")


def mosquitto_program() -> str | None:
    """Where Mosquitto is installed, if it is; Debian puts it where a user's PATH does not look."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


@asynccontextmanager
async def _process(
    name: str, command: tuple[str, ...], folder: Path, *, says_ready: bool = False
) -> AsyncGenerator[asyncio.subprocess.Process, None]:
    """A child whose stderr goes to `<name>.log`, until the end of the context."""
    with (folder / f"{name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE if says_ready else log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for us; we stop them in order
        )
        try:
            if says_ready:
                await _ready(name, process, folder)
            yield process
        finally:
            await _stopped(process)


async def _ready(name: str, process: asyncio.subprocess.Process, folder: Path) -> None:
    """Return at its first line of output."""
    line = b""
    if process.stdout is not None:
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_SECONDS_MAX):
                line = await process.stdout.readline()
    if not line:
        raise EmulatorError(f"the {name} did not start: {last_words(folder / f'{name}.log')}")


def last_words(log: Path) -> str:
    """The last line that a process wrote, without our own name in front."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return next((ln for ln in reversed(lines) if ln.strip()), "it said nothing").removeprefix(
        "pagewarden: "
    )


async def _stopped(process: asyncio.subprocess.Process) -> None:
    """Ask it to stop; if it does not, make it."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS_MAX):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _listening(port: int, who: str) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(READY_SECONDS_MAX):
            while True:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return
                await asyncio.sleep(0.02)
    raise EmulatorError(f"{who} does not listen on port {port}")


def free_port() -> int:
    """A port that nobody had a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _mosquitto_config(port: int) -> str:
    """Enough for a run of minutes on loopback; `config/mosquitto.conf` is the one for real use."""
    lines = (
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "persistence false",
        "max_queued_messages 100000",
        "set_tcp_nodelay true",
        "log_type error",
    )
    return "\n".join(lines) + "\n"
