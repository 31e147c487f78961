"""The agent as systemd and a browser have it: ready when it answers, and alive until it ends."""

import socket
import urllib.request

import pytest

from tests.support.line import PATIENCE_SECONDS, Line


def until(ear: socket.socket, word: str) -> list[str]:
    """What systemd hears, up to that word."""
    heard: list[str] = []
    while word not in heard:
        heard += ear.recv(4096).decode().split("\n")
    return heard


def test_a_service_says_that_it_is_ready_shows_its_page_lives_and_ends(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(line.folder / "notify"))
        ear.settimeout(PATIENCE_SECONDS)
        line.start_emulator()
        monkeypatch.setenv("NOTIFY_SOCKET", str(line.folder / "notify"))
        line.start_agent()
        assert until(ear, "STATUS=well")[0] == "READY=1"
        assert until(ear, "WATCHDOG=1")
        with urllib.request.urlopen(f"http://127.0.0.1:{line.metrics_port}/", timeout=10) as reply:
            page = reply.read().decode()
        assert "CPU0_C7_D0" in page
        assert "enforce" in page
        assert line.stop_agent() == 0
        assert until(ear, "STOPPING=1")
