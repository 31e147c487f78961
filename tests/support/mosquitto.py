"""A real Mosquitto for one test: fresh, on a port of its own, gone afterwards."""

import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from emulator.demo.stage import free_port, mosquitto_program

_PATIENCE_SECONDS = 5.0

PROGRAM = mosquitto_program()


@dataclass
class Mosquitto:
    """A broker that can be stopped, killed and started again on the same port."""

    folder: Path
    port: int = field(default_factory=free_port)
    queued_max: int = 100_000  # messages for a client that is slow or away; 0: no bound
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return once it takes connections."""
        config = self.folder / "mosquitto.conf"
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
            f"max_queued_messages {self.queued_max}\nset_tcp_nodelay true\nlog_dest none\n"
        )
        self._process = subprocess.Popen([PROGRAM or "mosquitto", "-c", str(config)])
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self._answers():
            assert self._process.poll() is None, "mosquitto ended at once"
            assert time.monotonic() < deadline, "mosquitto does not listen"
            time.sleep(0.005)

    def stop(self) -> None:
        """As an operator stops it."""
        self._end(subprocess.Popen.terminate)

    def kill(self) -> None:
        """As a power cut does."""
        self._end(subprocess.Popen.kill)

    def _end(self, how: Callable[[subprocess.Popen[bytes]], None]) -> None:
        if self._process is not None:
            how(self._process)
            self._process.wait(_PATIENCE_SECONDS)
            self._process = None

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0
