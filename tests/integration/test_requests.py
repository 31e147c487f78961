"""Operators' requests, with real processes and a real broker; the emulator's truth judges."""

import asyncio
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiomqtt import Client, ProtocolVersion

from agent.contract import topics
from agent.contract.case_event import CaseEvent
from agent.contract.status import CaseView, Rest
from emulator.demo.judge import disagreements
from emulator.demo.stage import PAGEWARDEN
from tests.support.line import Line
from tests.support.mosquitto import Mosquitto

PATIENCE_SECONDS = 60.0

QUIET = """
title = "Guests at work, and no errors at all."
[[guests]]
name = "web-hvm"
kind = "hvm"
memory = "8 MiB"
[[guests]]
name = "db-pv"
kind = "pv"
memory = "8 MiB"
"""

SMALL = """
[host]
name = "hv-1"
memory = "64 MiB"
xen_heap = "1 MiB"
dom0 = "4 MiB"
[memory]
channels = 8
"""


@pytest.fixture
def line(mosquitto: Mosquitto) -> Iterator[Line]:
    """A small host whose guests work, and nothing goes bad by itself."""
    with tempfile.TemporaryDirectory(prefix="pw") as folder:
        line = Line(Path(folder), mosquitto)
        scenario, config = line.folder / "quiet.toml", line.folder / "small.toml"
        scenario.write_text(QUIET)
        config.write_text(SMALL)
        line.start_emulator("--config", str(config), "--scenario", str(scenario))
        line.start_agent()
        yield line
        line.close()


def run(line: Line, *words: str) -> subprocess.CompletedProcess[str]:
    command = (*PAGEWARDEN, *words, "--socket", str(line.folder / "agent.sock"))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert "Traceback" not in done.stderr
    return done


def last(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    return dict(json.loads(done.stdout.splitlines()[-1]))


def cases(line: Line, rest: Rest) -> list[CaseView]:
    found = json.loads(run(line, "cases", "--only", rest, "--json").stdout)["cases"]
    return [CaseView.model_validate_json(json.dumps(one)) for one in found]


async def agrees(line: Line) -> list[str]:
    await line.asking.quiesce()
    return disagreements(await line.evidence())


# The host's 16,384 pages: those of guests and free ones lie at its upper end.


async def test_a_range_is_taken_out_while_guests_run_and_brought_back(line: Line) -> None:
    span = "0x3ff0-0x3fff"
    done = run(line, "offline", span, "--beyond-cap", "--wait")
    assert (done.returncode, done.stdout) == (
        0,
        "offline pages 0x3ff0 to 0x3fff: 16 of 16 pages retired\n",
    )
    assert disagreements(await line.evidence()) == []
    done = run(line, "online", span, "--wait")
    assert (done.returncode, done.stdout) == (
        0,
        "online pages 0x3ff0 to 0x3fff: 16 of 16 pages returned\n",
    )
    assert await agrees(line) == []
    assert {frame.state for frame in (await line.evidence()).frames} <= {"free", "in_use"}


async def test_a_dimm_is_evacuated_though_the_agent_is_killed_in_the_middle(line: Line) -> None:
    """What cannot be had is summed up by reason."""
    code, view = evacuated_with_a_kill(line, "CPU0_C7_D0")
    assert (view["left"], view["pages"], code) == (0, 2048, 1)
    came = {(one["rest"], one["reason"]): one["pages"] for one in view["came"]}
    assert sum(came.values()) == 2048
    assert {("retired", None), ("parked", "dom0"), ("unretirable", "xen_heap")} <= set(came)
    assert await agrees(line) == []


def evacuated_with_a_kill(line: Line, dimm: str) -> tuple[int, dict[str, Any]]:
    """Exit code and last line of the watcher, who does not notice that the agent was killed."""
    words = ("evacuate", "--dimm", dimm, "--wait", "--json")
    command = (*PAGEWARDEN, *words, "--socket", str(line.folder / "agent.sock"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(cases(line, Rest.RETIRED)) < 100:
            assert time.monotonic() < deadline
        line.kill_agent()
        line.start_agent()
        told, _ = watching.communicate(timeout=120)
    return watching.returncode, json.loads(told.splitlines()[-1])


async def test_a_parked_case_is_given_up(line: Line) -> None:
    assert run(line, "offline", "0x180", "--wait").returncode == 1
    (case,) = cases(line, Rest.PARKED)
    assert case.reason_word == "dom0"
    done = run(line, "cancel", case.id, "--wait")
    assert (done.returncode, done.stdout) == (0, f"cancel case {case.id}: 1 of 1 pages returned\n")
    assert run(line, "cancel", case.id).stderr.startswith(f"pagewarden: case {case.id} is returned")
    assert await agrees(line) == []


async def test_others_follow_a_case_over_the_bus(line: Line) -> None:
    """Who comes late hears where it is; when it is closed, nothing of it stays."""
    run(line, "offline", "0x3fff", "--wait")
    (case,) = cases(line, Rest.RETIRED)
    assert (await heard(line, case.id)).state == "retired"
    line.kill_agent()
    line.broker.kill()
    line.broker.start()  # it has forgotten all that it retained
    line.start_agent()
    assert (await heard(line, case.id)).reason is None
    run(line, "online", "0x3fff", "--wait")
    with pytest.raises(TimeoutError):
        await heard(line, case.id, seconds=1.0)


async def heard(line: Line, case_id: str, seconds: float = 10.0) -> CaseEvent:
    async with (
        asyncio.timeout(seconds),
        Client("127.0.0.1", line.broker.port, protocol=ProtocolVersion.V5) as client,
    ):
        await client.subscribe(topics.case("hv-1", case_id), qos=1)
        message = await anext(aiter(client.messages))
        return CaseEvent.model_validate_json(message.payload)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("offline", "0xfffff"), "is beyond the host's memory"),
        (("evacuate", "--dimm", "nowhere"), "there is no DIMM 'nowhere'; there are CPU0_C0_D0"),
        (("cancel", "c99"), "there is no case 'c99'"),
    ],
)
def test_what_cannot_be_asked_for_is_one_line(
    line: Line, words: tuple[str, ...], complaint: str
) -> None:
    done = run(line, *words)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_two_requests_of_one_id_are_one(line: Line) -> None:
    words = ("offline", "0x3fff", "--id", "ticket-1", "--json")
    first, second = last(run(line, *words)), last(run(line, *words))
    assert (first["id"], first["asked_at"]) == (second["id"], second["asked_at"])
    done = run(line, "offline", "0x3ffe", "--id", "ticket-1")
    assert "take another id" in done.stderr
