"""A real Prometheus, and its promtool, for tests that ask them."""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from emulator.demo.stage import free_port

PATIENCE_SECONDS = 60.0

PROGRAM = shutil.which("prometheus")
PROMTOOL = shutil.which("promtool")


def promtool(*arguments: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
    """What promtool says to `arguments`, with `given` on its stdin."""
    command = [PROMTOOL or "promtool", *map(str, arguments)]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=False)


@dataclass
class Prometheus:
    """A server on the blocks in `folder`, which scrapes nobody."""

    folder: Path
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, rules: Path | None = None) -> None:
        """Return once it answers questions."""
        config = self.folder / "prometheus.yml"
        files = [] if rules is None else [str(rules)]
        config.write_text(json.dumps({"rule_files": files}), encoding="utf-8")
        options = (
            f"--config.file={config}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            "--storage.tsdb.retention.time=100y",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=error",
        )
        self._process = subprocess.Popen([PROGRAM or "prometheus", *options])
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._is_ready():
            assert self._process.poll() is None, "Prometheus ended at once"
            assert time.monotonic() < deadline, "Prometheus does not answer"
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE_SECONDS)
            self._process = None
