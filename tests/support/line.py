"""The whole line for one test: a real broker, and emulator and agent as processes of their own."""

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from agent.contract.status import Rest
from emulator.demo.agent_config import Tables, Value, agent_config, as_toml, laid_over
from emulator.demo.asking import Asking
from emulator.demo.judge import Evidence
from emulator.demo.stage import PAGEWARDEN, free_port, last_words
from emulator.errors import EmulatorError
from tests.support.mosquitto import Mosquitto

PATIENCE_SECONDS = 20.0
LONG_SECONDS = 60.0  # for what happens on the host meanwhile


@dataclass
class Line:
    """Sockets, logs and journal lie in `folder`, which must have a short path (sockets do).

    `agent_keys` are what is to be different in the agent's configuration.
    """

    folder: Path
    broker: Mosquitto
    _agent: subprocess.Popen[bytes] | None = None
    _emulator: subprocess.Popen[bytes] | None = None
    metrics_port: int = field(default_factory=free_port)
    agent_keys: Tables = field(default_factory=dict[str, Mapping[str, Value]])

    @property
    def asking(self) -> Asking:
        return Asking(self.folder / "agent.sock", self.folder / "control.sock")

    @property
    def config(self) -> Path:
        return self.folder / "agent.toml"

    def start_emulator(self, *options: str) -> None:
        """Return once its doors are open."""
        wire = ("--broker", self.broker.url, "--sockets", str(self.folder), "--json")
        command = (*PAGEWARDEN, "emulator", *wire, *options)
        with (self.folder / "emulator.log").open("ab") as log:
            self._emulator = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        assert self._emulator.stdout is not None
        assert self._emulator.stdout.readline(), last_words(self.folder / "emulator.log")

    def kill_emulator(self) -> None:
        """As a power cut of the host does: its memory, its guests and their state are gone."""
        assert self._emulator is not None
        self._emulator.kill()
        self._emulator.wait()
        if self._emulator.stdout is not None:
            self._emulator.stdout.close()

    def launch_agent(self) -> None:
        """Return at once, whether it comes up or not."""
        keys = agent_config(self.folder, self.broker.url, "5", self.metrics_port)
        self.config.write_text(as_toml(laid_over(keys, self.agent_keys)))
        with (self.folder / "agent.log").open("ab") as log:
            self._agent = subprocess.Popen(
                (*PAGEWARDEN, "agent", "--config", str(self.config)), stdout=log, stderr=log
            )

    def start_agent(self) -> None:
        """Return once it answers."""
        self.launch_agent()
        assert self._agent is not None
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.answers():
            assert self._agent.poll() is None, last_words(self.folder / "agent.log")
            assert time.monotonic() < deadline, "the agent does not answer"
            time.sleep(0.02)

    async def listens(self) -> None:
        """Return as soon as its control socket is there to be asked: it is up, and just begins."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await self._is_open():
                await asyncio.sleep(0.01)

    async def _is_open(self) -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(str(self.asking.agent))
        except OSError:
            return False
        writer.close()
        return True

    def answers(self) -> bool:
        status = (*PAGEWARDEN, "status", "--json", "--socket", str(self.folder / "agent.sock"))
        return b'"host"' in subprocess.run(status, capture_output=True, check=False).stdout

    def kill_agent(self) -> None:
        """As a power cut does."""
        assert self._agent is not None
        self._agent.kill()
        self._agent.wait()

    @property
    def agent_pid(self) -> int:
        assert self._agent is not None
        return self._agent.pid

    def signal_agent(self, number: signal.Signals) -> None:
        assert self._agent is not None
        self._agent.send_signal(number)

    def stop_agent(self) -> int:
        """As an operator does; the exit code."""
        assert self._agent is not None
        self._agent.terminate()
        return self._agent.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        for process in (self._agent, self._emulator):
            if process is not None:
                process.kill()
                process.wait()
                if process.stdout is not None:
                    process.stdout.close()

    async def evidence(self) -> Evidence:
        return await self.asking.evidence()

    async def found(self, is_so: Callable[[Evidence], bool]) -> Evidence:
        """What there is to see once it is so. Between two lives, or boots, the agent is silent."""
        async with asyncio.timeout(LONG_SECONDS):
            while True:
                with suppress(EmulatorError):
                    evidence = await self.evidence()
                    if is_so(evidence):
                        return evidence
                await asyncio.sleep(0.1)

    def told(self, event: str) -> list[dict[str, object]]:
        """The lines of the agent's log of that name."""
        lines = map(json.loads, self.agent_log.splitlines())
        return [fields for fields in lines if fields["event"] == event]

    @property
    def agent_log(self) -> str:
        return (self.folder / "agent.log").read_text()


def resting(rest: Rest, cases: int) -> Callable[[Evidence], bool]:
    """So many cases are there, and the source has nothing to add."""
    return lambda seen: seen.status.cases[rest] == cases and seen.truth.source_done
