"""The whole line with real processes, a real broker and real kills; the emulator's truth judges."""

import asyncio
import json
import random
import re
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import suppress

from agent.contract.status import Rest
from emulator import scenario as scenarios
from emulator.demo.asking import ask
from emulator.demo.judge import Evidence, disagreements, is_at_rest
from emulator.demo.stage import PAGEWARDEN
from emulator.edges.truth import ControlCall, HostDo, HostRequest, Truth
from emulator.errors import EmulatorError
from emulator.scenario import Expect
from tests.support.line import Line
from tests.support.mosquitto import Mosquitto

PATIENCE_SECONDS = 60.0
KILLS = 50
STARTING_UP = 10  # each tenth kill comes before the agent is up
LIFE_SECONDS_MAX = 0.7

STORM = """
title = "A few pages go bad under some thousand errors a second."
[[guests]]
name = "web-hvm"
kind = "hvm"
memory = "16 MiB"
[[guests]]
name = "db-pv"
kind = "pv"
memory = "16 MiB"
[[faults]]
on = "free"
every_seconds = 1.0
pages = 6
errors_per_second = 200.0
[[faults]]
on = "hvm"
every_seconds = 1.0
pages = 6
errors_per_second = 200.0
[[faults]]
on = "pv"
every_seconds = 1.0
pages = 6
errors_per_second = 200.0
[[faults]]
on = "dom0"
errors_per_second = 2000.0
errors_max = 14000
[expect]
retired = 18
parked = 1
"""


def demo(*options: str) -> tuple[int, dict[str, object]]:
    """Exit code and last line of `pagewarden demo --json`."""
    command = (*PAGEWARDEN, "demo", "--json", "--seconds", "60", *options)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


async def rested(line: Line, retired: int) -> Evidence:
    """What is so and what is said once nothing more happens."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = await line.evidence()
            cases, truth = found.status.cases, found.truth
            settled = not cases[Rest.OPEN] and cases[Rest.RETIRED] >= retired
            if truth.source_done and truth.outbox == 0 and settled:
                break
            await asyncio.sleep(0.1)
    await line.asking.quiesce()
    return await line.evidence()


def test_the_demo_retires_a_free_an_hvm_and_a_pv_page_and_tells_the_truth() -> None:
    code, said = demo("--broker", "embedded")
    assert (code, said["truth_agrees"], said["guest_corruptions"]) == (0, True, 0)
    assert said["cases"] == {"retired": 3, "parked": 1, "unretirable": 1, "open": 0}


def test_the_demo_runs_over_mosquitto(mosquitto: Mosquitto) -> None:
    code, said = demo("--broker", "mosquitto")
    assert (code, said["truth_agrees"], said["guest_corruptions"]) == (0, True, 0)


def test_a_fast_resume_after_an_exchange_harms_the_guest_and_is_noticed() -> None:
    """The check that no guest came to harm can fail."""
    code, said = demo("--broker", "embedded", "--scenario", "fast-resume")
    assert code == 1
    assert said["guest_corruptions"] != 0
    assert said["truth_agrees"] is False


def test_when_the_exchange_fails_save_and_restore_retires_the_page() -> None:
    code, said = demo("--broker", "embedded", "--scenario", "save-restore")
    assert code == 0
    assert said["cases"] == {"retired": 1, "parked": 0, "unretirable": 0, "open": 0}


def test_pages_that_a_reboot_has_forgotten_are_taken_again() -> None:
    code, said = demo("--broker", "embedded", "--scenario", "host-reboot")
    assert code == 0
    assert said["cases"] == {"retired": 3, "parked": 0, "unretirable": 0, "open": 0}


async def test_every_error_that_can_count_counts_once_though_the_host_crashes(line: Line) -> None:
    scenario = line.folder / "storm.toml"
    scenario.write_text(STORM)
    line.start_emulator("--scenario", str(scenario))
    line.start_agent()
    for seconds in (2.0, 5.0):  # it takes 3 s to come back
        await asyncio.sleep(seconds)
        await ask(line.asking.control, ControlCall.HOST, Truth, HostRequest(do=HostDo.CRASH))
    await settled_again(line, boots=2, retired=18)
    await line.asking.quiesce()
    found = await line.evidence()
    assert disagreements(found) == []
    assert found.truth.past.boots == 2


async def settled_again(line: Line, boots: int, retired: int) -> None:
    """Return once the host has come back so often, and nothing more happens."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            with suppress(EmulatorError):  # between two boots the agent does not answer
                found = await line.evidence()
                is_over = is_at_rest(found, Expect(retired=retired), replays=False)
                if found.truth.past.boots == boots and is_over:
                    return
            await asyncio.sleep(0.1)


async def test_nothing_is_lost_or_left_undone_though_the_agent_is_killed_fifty_times(
    line: Line,
) -> None:
    """SIGKILL at any moment, starting up included, while pages of all kinds are on all rungs.

    Devices are quick here: an agent that did not live for as long as one takes would never get on.
    """
    busy, chance = scenarios.load("busy-host"), random.Random(8412)
    line.agent_keys = busy.agent
    quick = line.folder / "quick.toml"
    quick.write_text("[timing]\ndetach_seconds = 0.1\nattach_seconds = 0.1\n")
    line.start_emulator("--config", str(quick), "--scenario", "busy-host")
    for number in range(KILLS):
        line.launch_agent()
        if number % STARTING_UP:
            await line.listens()
        await asyncio.sleep(chance.uniform(0.0, LIFE_SECONDS_MAX))
        line.kill_agent()
    line.start_agent()
    found = await at_rest(line, busy.expect)
    assert disagreements(found) == []
    assert (found.status.errors, found.status.lost) == (found.truth.errors, 0)
    counts = {rest: count for rest, count in found.status.cases.items() if count}
    assert counts == {"retired": 40, "parked": 2, "unretirable": 1}
    assert [domain.devices for domain in found.truth.domains if domain.devices] == [("nic0",)]


async def at_rest(line: Line, expect: Expect) -> Evidence:
    """What is so and what is said once nothing more happens, and the world stands still."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_at_rest(await line.evidence(), expect, replays=False):
            await asyncio.sleep(0.1)
    await line.asking.quiesce()
    return await line.evidence()


async def test_what_was_published_while_the_broker_was_away_arrives(line: Line) -> None:
    scenario = line.folder / "storm.toml"
    scenario.write_text(STORM)
    line.start_emulator("--scenario", str(scenario))
    line.start_agent()
    await asyncio.sleep(1.0)
    line.broker.kill()
    await asyncio.sleep(1.5)
    line.broker.start()
    found = await rested(line, retired=18)
    assert disagreements(found) == []
    assert "broker_lost" in line.agent_log
    assert "Traceback" not in line.agent_log


async def test_a_stopped_agent_leaves_in_order_and_goes_on_where_it_was(line: Line) -> None:
    line.start_emulator()
    line.start_agent()
    await asyncio.sleep(3.0)
    assert line.stop_agent() == 0
    last = json.loads(line.agent_log.splitlines()[-1])
    assert (last["event"], last["reason"]) == ("agent_stopped", "SIGTERM")
    line.start_agent()
    found = await rested(line, retired=3)
    assert disagreements(found) == []


async def test_after_a_reboot_of_the_host_its_bad_pages_are_taken_again(line: Line) -> None:
    """The host has forgotten them, and would hand them out."""
    line.start_emulator()
    line.start_agent()
    before = {case.mfn for case in (await rested(line, retired=3)).cases}
    line.kill_emulator()
    line.start_emulator()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await taken_again(line, before):
            await asyncio.sleep(0.1)
    assert "Traceback" not in line.agent_log


async def taken_again(line: Line, mfns: set[int]) -> bool:
    """True if these pages' cases rest, and the host that is there now has them where they say."""
    try:
        found = await line.evidence()
    except EmulatorError:
        return False  # between two lives the agent does not answer
    there = {frame.mfn: frame.state for frame in found.frames}
    cases = [case for case in found.cases if case.mfn in mfns]
    retired = [case.mfn for case in cases if case.rest is Rest.RETIRED]
    return len(retired) == 3 and all(there[mfn] == "offlined" for mfn in retired)


def test_metrics_and_health_are_served(line: Line) -> None:
    line.start_emulator()
    line.start_agent()
    base = f"http://127.0.0.1:{line.metrics_port}"
    metrics = urllib.request.urlopen(f"{base}/metrics").read().decode()
    assert 'pagewarden_cases{state="retired"}' in metrics
    assert health(line, 200)["healthy"] is True


def health(line: Line, wanted: int) -> dict[str, object]:
    """What `/healthz` says once it answers `wanted`."""
    for _ in range(200):
        try:
            reply = urllib.request.urlopen(f"http://127.0.0.1:{line.metrics_port}/healthz")
        except urllib.error.HTTPError as error:
            reply = error
        with reply:
            if reply.status == wanted:
                return dict(json.load(reply))
        time.sleep(0.05)
    raise AssertionError(f"/healthz never answered {wanted}")


def test_health_says_that_the_broker_is_away(line: Line) -> None:
    line.start_emulator()
    line.start_agent()
    line.broker.kill()
    assert health(line, 503)["ailments"] == ["no connection to the broker"]


def test_a_second_agent_on_the_same_journal_is_refused_in_one_line(line: Line) -> None:
    line.start_emulator()
    line.start_agent()
    command = (*PAGEWARDEN, "agent", "--config", str(line.config))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 1
    *_, complaint = done.stderr.splitlines()
    assert "in use by another agent" in complaint
    assert re.search(r"it is process \d+", complaint)


def test_an_agent_of_another_host_is_refused_in_one_line(line: Line) -> None:
    line.start_emulator()
    line.start_agent()
    line.stop_agent()
    line.config.write_text(line.config.read_text().replace('"hv-1"', '"hv-2"'))
    command = (*PAGEWARDEN, "agent", "--config", str(line.config))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 1
    assert "is host 'hv-1': correct one" in done.stderr.splitlines()[-1]
