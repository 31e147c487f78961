"""What systemd hears, and that nothing happens where it is not."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from agent.adapters.health import Health, HealthBoard
from agent.adapters.systemd import Systemd

WELL = Health()
AILING = Health(("the broker is away", "the toolstack does not answer"))


@pytest.fixture(params=["a path", "an abstract name"])
def ear(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """Where systemd listens, and how the environment names it."""
    name = str(tmp_path / "notify")
    is_path = request.param == "a path"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name if is_path else f"\0{name}")
        listening.setblocking(False)
        yield listening, name if is_path else f"@{name}"


@pytest.fixture
def systemd(ear: tuple[socket.socket, str]) -> Iterator[Systemd]:
    with closing(Systemd({"NOTIFY_SOCKET": ear[1]})) as notifier:
        yield notifier


def heard(ear: tuple[socket.socket, str]) -> list[str]:
    return ear[0].recv(4096).decode().split("\n")


def test_the_end_of_a_start_is_told(ear: tuple[socket.socket, str], systemd: Systemd) -> None:
    systemd.ready()
    assert heard(ear) == ["READY=1"]


def test_a_beat_feeds_the_watchdog_and_says_how_it_is(
    ear: tuple[socket.socket, str], systemd: Systemd
) -> None:
    systemd.beat(AILING)
    assert heard(ear) == [
        "WATCHDOG=1",
        "STATUS=the broker is away; the toolstack does not answer",
    ]


def test_how_it_is_is_told_again_only_when_it_has_changed(
    ear: tuple[socket.socket, str], systemd: Systemd
) -> None:
    said = []
    for health in (WELL, WELL, AILING):
        systemd.beat(health)
        said.append(len(heard(ear)))
    assert said == [2, 1, 2]


def test_a_stop_is_told(ear: tuple[socket.socket, str], systemd: Systemd) -> None:
    systemd.stopping()
    assert heard(ear) == ["STOPPING=1", "STATUS=stopping"]


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nonexistent/notify"}])
def test_where_nobody_listens_nothing_happens(environment: dict[str, str]) -> None:
    with closing(Systemd(environment)) as notifier:
        notifier.ready()
        notifier.beat(WELL)
        notifier.stopping()


def test_each_renewal_of_the_health_board_is_a_beat() -> None:
    beats: list[Health] = []
    board = HealthBoard(hear=beats.append)
    board.renew(AILING)
    board.read()
    assert beats == [AILING]
