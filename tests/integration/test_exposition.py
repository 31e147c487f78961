"""The emulated host's own page for Prometheus tells what is so."""

import asyncio
import re
import urllib.request
from pathlib import Path

import pytest

from emulator.demo.asking import ask
from emulator.demo.stage import free_port
from emulator.edges.exposition import TABLE
from emulator.edges.host import Host
from emulator.edges.truth import ControlCall, Nothing, Truth
from emulator.errors import EmulatorError
from emulator.scenario import FaultSettings, On
from tests.support import prometheus
from tests.support.emulated import a_config, a_script, running

BRIEF = FaultSettings(on=On.DOM0, errors_per_second=500.0, errors_max=5)


def page_at(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as reply:
        return str(reply.read().decode())


async def test_the_page_says_what_the_control_socket_says(tmp_path: Path) -> None:
    port = free_port()
    config = a_config(tmp_path).model_copy(
        update={"metrics": f"127.0.0.1:{port}", "faults": (BRIEF,)}
    )
    async with running(a_script(config)), asyncio.timeout(30):
        control = tmp_path / "control.sock"
        while not (await ask(control, ControlCall.TRUTH, Truth)).source_done:
            await asyncio.sleep(0.05)
        truth = await ask(control, ControlCall.QUIESCE, Truth, Nothing())
        wanted = f"pagewarden_truth_errors_total {float(truth.errors)}"
        while wanted not in (page := await asyncio.to_thread(page_at, port)):
            await asyncio.sleep(0.1)
    assert truth.errors == 5
    assert f'pagewarden_truth_frames{{state="free"}} {float(truth.frames.free)}' in page
    assert 'pagewarden_truth_guests{state="running"} 2.0' in page
    assert "pagewarden_truth_host_up 1.0" in page


async def test_every_row_is_on_the_page_and_promtool_likes_it(
    tmp_path: Path, promtool: None
) -> None:
    port = free_port()
    config = a_config(tmp_path).model_copy(update={"metrics": f"127.0.0.1:{port}"})
    async with running(a_script(config)):
        page = await asyncio.to_thread(page_at, port)
    on_page = set(re.findall(r"^# TYPE (\w+)", page, re.MULTILINE))
    assert on_page == {row.name for row in TABLE}
    done = prometheus.promtool("check", "metrics", given=page)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_an_address_that_is_taken_is_one_line(tmp_path: Path) -> None:
    taken = f"127.0.0.1:{free_port()}"
    first = a_config(tmp_path / "a").model_copy(update={"metrics": taken})
    second = first.model_copy(update={"sockets": tmp_path / "b"})
    async with running(a_script(first)):
        with pytest.raises(EmulatorError, match=f"metrics: cannot listen on {taken}: Address"):
            await Host(a_script(second), print).run(asyncio.Event(), print)
