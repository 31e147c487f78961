"""`pagewarden demo --watch`: Prometheus looks on until somebody has seen enough."""

import json
import re
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator

import pytest

from emulator.demo.stage import PAGEWARDEN

PATIENCE_SECONDS = 60.0


def links_of(demo: subprocess.Popen[str]) -> str:
    """Where its Prometheus is."""
    assert demo.stderr is not None
    lines = iter(demo.stderr.readline, "")
    url = next(
        found[0] for line in lines if (found := re.search(r"http://[\d.:]+(?=/graph)", line))
    )
    assert next(line for line in lines if line.startswith("Ctrl-C"))
    return url


def seen_in(url: str, expr: str) -> bool:
    """False too while Prometheus begins."""
    try:
        with urllib.request.urlopen(f"{url}/api/v1/query?query={expr}", timeout=10) as reply:
            return bool(json.load(reply)["data"]["result"])
    except OSError:
        return False


@pytest.fixture
def demo(promtool: None) -> Iterator[subprocess.Popen[str]]:
    command = (*PAGEWARDEN, "demo", "--watch", "--json", "--broker", "embedded")
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as running:
        yield running
        running.terminate()  # if it has not ended: as systemd would


def test_prometheus_sees_what_the_agent_says_and_what_is_so(demo: subprocess.Popen[str]) -> None:
    url = links_of(demo)
    deadline = time.monotonic() + PATIENCE_SECONDS
    for expr in ("pagewarden_mode", "pagewarden_truth_errors_total"):
        while not seen_in(url, expr):
            assert time.monotonic() < deadline, expr
            time.sleep(0.2)
    demo.send_signal(signal.SIGINT)
    out, err = demo.communicate(timeout=PATIENCE_SECONDS)
    assert json.loads(out.splitlines()[-1])["truth_agrees"] is True
    assert demo.returncode == 0
    assert "Traceback" not in err
