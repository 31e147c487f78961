"""Real processes: a policy that is read again while the agent runs."""

import asyncio
import signal
import socket
import urllib.request

import pytest

from agent.contract.status import Rest
from emulator.demo.agent_config import Tables, agent_config, as_toml, laid_over
from emulator.demo.judge import disagreements
from tests.support.line import PATIENCE_SECONDS, Line, resting


def reload(line: Line, keys: Tables) -> None:
    """With `keys` in the file, beside those that a test line needs."""
    base = agent_config(line.folder, line.broker.url, "5", line.metrics_port)
    line.config.write_text(as_toml(laid_over(base, keys)))
    line.signal_agent(signal.SIGHUP)


async def until_told(line: Line, event: str, times: int = 1) -> list[dict[str, object]]:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(line.told(event)) < times:
            await asyncio.sleep(0.05)
    return line.told(event)


def reloads(line: Line, result: str) -> float:
    with urllib.request.urlopen(
        f"http://127.0.0.1:{line.metrics_port}/metrics", timeout=10
    ) as page:
        lines = page.read().decode().splitlines()
    name = f'pagewarden_policy_reloads_total{{result="{result}"}} '
    return next(float(text.removeprefix(name)) for text in lines if text.startswith(name))


async def test_a_mode_that_is_read_again_is_lived_by(line: Line) -> None:
    """What was observed is taken up, by the same process, and systemd is told."""
    line.agent_keys = {"retirement": {"mode": "observe"}}
    line.start_emulator()
    line.start_agent()
    seen = await line.found(lambda seen: seen.status.cases[Rest.OBSERVED] >= 3)
    assert seen.truth.marked == ()
    reload(line, {"retirement": {"mode": "enforce"}})
    (fields,) = await until_told(line, "policy_reloaded")
    assert (fields["taken"], fields["need_a_restart"]) == (["retirement.mode"], [])
    after = await line.found(resting(Rest.RETIRED, 3))
    assert disagreements(after) == []
    assert reloads(line, "taken") == 1
    assert len(line.told("agent_started")) == 1
    assert line.stop_agent() == 0


async def test_a_threshold_that_is_read_again_is_judged_by(line: Line) -> None:
    """Sixteen errors within a microsecond no page has, two within a day some have."""
    line.agent_keys = {"diagnosis.page": {"n": 16, "window_hours": 1e-10}}
    line.start_emulator()
    line.start_agent()
    before = await line.found(lambda seen: seen.status.errors >= 20)
    assert before.cases == ()
    reload(line, {"diagnosis.page": {"n": 2, "window_hours": 24.0}})
    after = await line.found(resting(Rest.RETIRED, 3))
    assert after.status.errors >= before.status.errors
    assert disagreements(after) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("host = ", "not TOML"),
        ('host = "hv-1"\n[retirement]\nmode = "watch"', "retirement.mode must be 'observe' or"),
        ('host = "hv-1"\n[retirement]\nmoed = "observe"', "unknown key retirement.moed"),
    ],
)
async def test_a_wrong_file_changes_nothing_and_says_why(
    line: Line, text: str, reason: str
) -> None:
    line.agent_keys = {"retirement": {"mode": "observe"}}
    line.start_emulator()
    line.start_agent()
    line.config.write_text(text)
    line.signal_agent(signal.SIGHUP)
    (fields,) = await until_told(line, "policy_refused")
    assert str(fields["reason"]).startswith(f"{line.config}: {reason}")
    assert reloads(line, "refused") == 1
    seen = await line.found(lambda seen: seen.status.cases[Rest.OBSERVED] >= 3)
    assert seen.truth.marked == ()
    assert line.stop_agent() == 0


async def test_a_key_that_needs_a_restart_is_named_and_left(line: Line) -> None:
    line.start_emulator()
    line.start_agent()
    reload(line, {"control": {"socket": str(line.folder / "other.sock")}})
    (fields,) = await until_told(line, "policy_reloaded")
    assert (fields["taken"], fields["need_a_restart"]) == ([], ["control.socket"])
    assert fields["level"] == "warning"
    assert line.answers()


async def test_a_reload_before_the_hypervisor_answers_is_one_too(line: Line) -> None:
    line.launch_agent()
    await until_told(line, "agent_started")
    reload(line, {"retirement": {"mode": "observe"}})
    await until_told(line, "policy_reloaded")
    line.start_emulator()
    seen = await line.found(lambda seen: seen.status.cases[Rest.OBSERVED] >= 3)
    assert seen.truth.marked == ()


async def test_many_reloads_and_a_stop_end_in_order(line: Line) -> None:
    line.start_emulator()
    line.start_agent()
    for n in (3, 4, 5):
        reload(line, {"diagnosis.page": {"n": n}})
        await until_told(line, "policy_reloaded", n - 2)
    reload(line, {"diagnosis.page": {"n": 6}})
    assert line.stop_agent() == 0
    (fields,) = line.told("agent_stopped")
    assert fields["reason"] == "SIGTERM"


async def test_systemd_hears_of_a_reload_and_of_its_end(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(line.folder / "notify"))
        ear.settimeout(PATIENCE_SECONDS)
        monkeypatch.setenv("NOTIFY_SOCKET", str(line.folder / "notify"))
        line.start_emulator()
        line.start_agent()
        for level in ("debug", "debug", "?"):  # another one, the same again, a wrong one
            reload(line, {"log": {"level": level}})
            assert until(ear, "RELOADING=1")[1].startswith("MONOTONIC_USEC=")
            assert until(ear, "READY=1")


def until(ear: socket.socket, word: str) -> list[str]:
    """The message that begins with that word."""
    while True:
        heard = ear.recv(4096).decode().split("\n")
        if heard[0] == word:
            return heard
