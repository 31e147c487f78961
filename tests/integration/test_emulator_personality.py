"""An emulated host that answers as real Xen does: through its socket, until it hangs or crashes."""

import asyncio
import json
from asyncio.subprocess import PIPE
from collections.abc import Awaitable
from pathlib import Path

import aiohttp
import pytest

from agent.contract.hypercall import Call, Errno, HostReply, SysctlCommand, SysctlReply
from agent.contract.toolstack import ToolCall
from emulator.config import EmulatorConfig, Personality
from emulator.demo.agent_config import agent_config, as_toml, laid_over
from emulator.demo.stage import PAGEWARDEN, free_port
from emulator.edges.hypercall import CALLS
from emulator.edges.truth import ControlCall, FramesTruth, Tally, Truth
from emulator.machine.banks import Uncorrected
from emulator.scenario import FaultSettings, On
from tests.support.emulated import NOWHERE, PATIENCE_SECONDS, Doors, a_config, a_script, running

FREE_PAGE = 200_000
DOM0_PAGE = 1_000
OFFLINE, ONLINE, QUERY = SysctlCommand
ALL_NUMBERS = {"cmd": OFFLINE, "start": 0, "end": 0xFFFFFFFF}


def xen_config(sockets: Path, **host: object) -> EmulatorConfig:
    config = a_config(sockets)
    changed = config.host.model_copy(update={"personality": Personality.XEN_4_17, **host})
    return config.model_copy(update={"host": changed})


async def sysctl(doors: Doors, cmd: int, mfn: int) -> SysctlReply:
    body = {"cmd": cmd, "start": mfn, "end": mfn}
    return await doors.call("hypercall", Call.SYSCTL, SysctlReply, body)


async def silent(call: Awaitable[object], seconds: float = 0.3) -> bool:
    """True if the call has no answer after so long."""
    try:
        await asyncio.wait_for(call, seconds)
    except TimeoutError:
        return True
    return False


async def test_the_host_says_that_it_is_xen(tmp_path: Path) -> None:
    async with running(a_script(xen_config(tmp_path))) as doors:
        host = await doors.call("hypercall", Call.HOST, HostReply)
    assert host.personality == "xen-4.17"


async def test_the_words_come_through_the_socket_and_the_truth_agrees(tmp_path: Path) -> None:
    async with running(a_script(xen_config(tmp_path))) as doors:
        reply = await sysctl(doors, OFFLINE, FREE_PAGE)
        truth = await doors.call("control", ControlCall.PAGES, FramesTruth, {"mfns": [FREE_PAGE]})
    assert (reply.words, truth.pages[0].state) == ((2,), "offlined")


@pytest.mark.parametrize(
    ("defects", "leaves"), [({}, (1, False)), ({"d2": False, "d3": False}, (0, True))]
)
async def test_the_truth_tells_of_a_page_that_nobody_scrubbed(
    tmp_path: Path, defects: dict[str, bool], leaves: tuple[int, bool]
) -> None:
    """D2: it is counted for ever. D3: who is given it finds what was left. Each can be mended."""
    async with running(a_script(xen_config(tmp_path, defects=defects))) as doors:
        guest = (await doors.truth()).guests[0].domid
        mfn = await a_page_of(doors, guest)
        await sysctl(doors, OFFLINE, mfn)
        await doors.ask("toolstack", ToolCall.DESTROY, {"domid": guest})
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (truth := await doors.truth()).unscrubbed[0] > leaves[0]:
                await asyncio.sleep(0.05)
        await sysctl(doors, ONLINE, mfn)
        found = await doors.call("control", ControlCall.PAGES, FramesTruth, {"mfns": [mfn]})
    assert (truth.unscrubbed, found.pages[0].is_wiped) == ((leaves[0],), leaves[1])


async def a_page_of(doors: Doors, guest: int) -> int:
    """A page of its memory, from the middle: it has written there."""
    ask = {"first": 0x5A0, "last": 0x5A0 + 1023}
    found = await doors.call("control", ControlCall.PAGES, FramesTruth, ask)
    return next(page.mfn for page in found.pages if page.owner == guest and page.use == "hvm")


@pytest.mark.parametrize(
    ("mfn", "word"), [(0, 0x7FF11004), (0x9F, 0x808), (0x3FFFF, 0x7FF40408), (0x3FFB0, 0x7FF20108)]
)
async def test_such_a_host_has_the_places_of_a_pc(tmp_path: Path, mfn: int, word: int) -> None:
    """Its first megabyte, and Xen's image and what has no owner at the top of 1 GiB."""
    async with running(a_script(xen_config(tmp_path))) as doors:
        assert (await sysctl(doors, OFFLINE, mfn)).words == (word,)


@pytest.mark.parametrize("call", CALLS[Personality.THREAD])
async def test_xen_has_none_of_the_calls_of_the_design(tmp_path: Path, call: Call) -> None:
    async with running(a_script(xen_config(tmp_path))) as doors:
        answer = await doors.ask("hypercall", call, {"mfns": [FREE_PAGE]})
    assert answer == (404, f"{call}: this host is xen-4.17; it has /v1/sysctl/page_offline\n")


async def test_the_design_has_not_the_call_of_xen(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        status, text = await doors.ask("hypercall", Call.SYSCTL, ALL_NUMBERS)
    assert status == 404
    assert text.startswith(f"{Call.SYSCTL}: this host is thread; it has {Call.OFFLINE}, ")
    assert text.count("\n") == 1


@pytest.mark.parametrize("cmd", SysctlCommand)
async def test_xen_refuses_the_unprivileged_every_call(tmp_path: Path, cmd: SysctlCommand) -> None:
    async with running(a_script(xen_config(tmp_path))) as doors:
        body = {"cmd": cmd, "start": FREE_PAGE, "end": FREE_PAGE}
        reply = await doors.call("hypercall-unprivileged", Call.SYSCTL, SysctlReply, body)
        marked = (await doors.truth()).marked
    assert (reply.ret, reply.errno, reply.words, marked) == (-1, Errno.EPERM, (), ())


@pytest.mark.parametrize("body", [{"cmd": 1}, {"cmd": -1, "start": 0, "end": 0}, "{"])
async def test_a_malformed_sysctl_is_refused_with_one_line(tmp_path: Path, body: object) -> None:
    async with running(a_script(xen_config(tmp_path))) as doors:
        status, text = await doors.ask("hypercall", Call.SYSCTL, body)
    assert (status, text.count("\n")) == (400, 1)


async def test_a_hung_host_answers_nobody_and_can_still_be_looked_at(tmp_path: Path) -> None:
    async with running(a_script(xen_config(tmp_path, hypercall_cpu=0))) as doors:
        assert (await sysctl(doors, OFFLINE, DOM0_PAGE)).words == (0x1004,)
        assert await silent(sysctl(doors, OFFLINE, DOM0_PAGE))
        assert await silent(doors.call("hypercall", Call.HOST, HostReply))
        assert await silent(doors.ask("toolstack", ToolCall.DOMAINS))
        assert (await doors.truth()).frames.offlining == 1


async def test_an_agent_that_meets_real_xen_ends_at_once_with_one_line(tmp_path: Path) -> None:
    """It has none of the calls that the agent would make, and never will."""
    async with running(a_script(xen_config(tmp_path / "s"))):
        code, said = await an_agent(tmp_path)
    assert code == 1
    assert said[-1].startswith("pagewarden: the hypervisor at ")
    assert "answers as 'xen-4.17', and this agent drives only 'thread': " in said[-1]
    assert [json.loads(line)["event"] for line in said[:-1]] == ["agent_started", "agent_stopped"]


async def test_a_hung_host_answers_again_once_somebody_has_rebooted_it(tmp_path: Path) -> None:
    async with running(a_script(xen_config(tmp_path, hypercall_cpu=0))) as doors:
        await sysctl(doors, OFFLINE, DOM0_PAGE)
        hanging = asyncio.create_task(sysctl(doors, OFFLINE, DOM0_PAGE))
        assert await silent(asyncio.shield(hanging))
        hung = await doors.truth()
        await doors.call("control", ControlCall.HOST, Truth, {"do": "reboot"})
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await hanging
        back = await doors.back_from(hung.boot_id)
        assert (await sysctl(doors, OFFLINE, FREE_PAGE)).words == (2,)
    assert (hung.state, back.state, back.frames.offlining) == ("hung", "up", 0)


async def test_a_crashed_host_drops_its_caller_and_comes_back_with_everything_forgotten(
    tmp_path: Path,
) -> None:
    async with running(a_script(xen_config(tmp_path))) as doors:
        before = await doors.call("hypercall", Call.HOST, HostReply)
        await sysctl(doors, OFFLINE, FREE_PAGE)
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await doors.ask("hypercall", Call.SYSCTL, ALL_NUMBERS)
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await doors.ask("toolstack", ToolCall.DOMAINS)
        truth = await doors.back_from(before.boot_id)
        after = await doors.call("hypercall", Call.HOST, HostReply)
    assert after.boot_id == truth.boot_id != before.boot_id
    assert (truth.marked, truth.past.boots) == ((), 1)
    assert truth.past.ended == "a page fault in Xen: the count of a range wrapped to 0"


async def an_agent(folder: Path) -> tuple[int | None, list[str]]:
    """The exit code of an agent of the host at `folder / "s"`, and its lines; it must end."""
    config = folder / "agent.toml"
    elsewhere = {"hypervisor": {"hypercall_socket": str(folder / "s/hypercall.sock")}}
    keys = laid_over(agent_config(folder, NOWHERE, "5", free_port()), elsewhere)
    config.write_text(as_toml(keys))
    agent = await asyncio.create_subprocess_exec(
        *PAGEWARDEN,
        "agent",
        "--config",
        config,
        stderr=PIPE,
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        _, errors = await agent.communicate()
    return agent.returncode, errors.decode().splitlines()


async def test_an_error_that_xen_cannot_live_with_is_reported_and_ends_the_boot(
    tmp_path: Path,
) -> None:
    fault = FaultSettings(on=On.XEN_HEAP, uncorrected=True, severity=Uncorrected.SRAR)
    async with running(a_script(a_config(tmp_path), fault)) as doors:
        before = (await doors.truth()).boot_id
        truth = await doors.back_from(before)
    assert "Xen panics" in truth.past.ended
    assert (truth.past.boots, truth.past.made) == (1, Tally(ereports=1, errors=1))
