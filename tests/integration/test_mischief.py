"""Mischief on demand, through the sockets: each kind happens as it is told, and only so often."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from agent.contract.hypercall import Call, PagesReply, PageStatus, Refusal, SysctlReply
from agent.contract.toolstack import DomainsReply, ToolCall, ToolOutcome, ToolReply
from emulator.config import Personality
from emulator.edges.truth import ControlCall, FramesTruth, HostState, RulesTruth, Truth
from emulator.mischief import Do, Rule
from tests.support.emulated import PATIENCE_SECONDS, Doors, a_config, a_script, running

HVM_GUEST, PV_GUEST = 1, 2
FREE_PAGE = 200_000
# Behind Xen's MiB, dom0's four, the HVM guest's 64 and what goes with it: less than one more.
PV_PAGE = (1 << 8) + (4 << 8) + (64 << 8) + (1 << 8)


async def arm(doors: Doors, call: str, do: Do, **how: object) -> None:
    await doors.call("control", ControlCall.MISCHIEF, RulesTruth, {"call": call, "do": do, **how})


async def pages(doors: Doors, call: Call, mfn: int) -> PagesReply:
    return await doors.call("hypercall", call, PagesReply, {"mfns": [mfn]})


async def tool(doors: Doors, call: ToolCall, **body: object) -> ToolReply:
    return await doors.call("toolstack", call, ToolReply, body)


async def state_of(doors: Doors, mfn: int) -> str:
    found = await doors.call("control", ControlCall.PAGES, FramesTruth, {"mfns": [mfn]})
    return found.pages[0].state


async def guest_of(doors: Doors, mfn: int) -> int | None:
    found = await doors.call("control", ControlCall.PAGES, FramesTruth, {"mfns": [mfn]})
    return found.pages[0].owner


async def made_exchangeable(doors: Doors) -> None:
    """The PV guest is suspended, and its page is to leave."""
    await pages(doors, Call.OFFLINE, PV_PAGE)
    await tool(doors, ToolCall.SUSPEND, domid=PV_GUEST)


@pytest.mark.parametrize(
    ("do", "outcome"),
    [
        (Do.REFUSE, ToolOutcome.REFUSED),
        (Do.FAIL, ToolOutcome.FAILED),
        (Do.TRY_AGAIN, ToolOutcome.TRY_AGAIN),
        (Do.DAMAGE, ToolOutcome.GUEST_MAY_BE_DAMAGED),
    ],
)
async def test_the_toolstack_answers_so_once_and_does_nothing(
    tmp_path: Path, do: Do, outcome: ToolOutcome
) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        await arm(doors, "suspend", do)
        assert (await tool(doors, ToolCall.SUSPEND, domid=PV_GUEST)).outcome is outcome
        assert {domain.state for domain in (await doors.truth()).domains} == {"running"}
        assert (await tool(doors, ToolCall.SUSPEND, domid=PV_GUEST)).outcome is ToolOutcome.DONE


@pytest.mark.parametrize(
    ("do", "refusal"),
    [
        (Do.REFUSE, Refusal.XEN_HEAP),
        (Do.FAIL, None),
        (Do.TRY_AGAIN, Refusal.NO_FREE_MEMORY),
    ],
)
async def test_the_hypervisor_answers_so_once_and_does_nothing(
    tmp_path: Path, do: Do, refusal: Refusal | None
) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        await arm(doors, "offline", do)
        reply = await pages(doors, Call.OFFLINE, FREE_PAGE)
        assert await state_of(doors, FREE_PAGE) == "free"
        again = await pages(doors, Call.OFFLINE, FREE_PAGE)
    assert (reply.changed, reply.pages[0].status) == (False, PageStatus.FAILED)
    assert reply.pages[0].refusal is refusal
    assert again.pages[0].status is PageStatus.OFFLINED


@pytest.mark.parametrize(
    ("do", "ret", "errno", "words"),
    [
        (Do.REFUSE, -1, "EPERM", ()),
        (Do.FAIL, -1, "EINVAL", ()),
        (Do.TRY_AGAIN, 0, None, (0x10,)),
    ],
)
async def test_real_xen_answers_so_in_its_own_words(
    tmp_path: Path, do: Do, ret: int, errno: str | None, words: tuple[int, ...]
) -> None:
    config = a_config(tmp_path)
    host = config.host.model_copy(update={"personality": Personality.XEN_4_17})
    async with running(a_script(config.model_copy(update={"host": host}))) as doors:
        await arm(doors, "sysctl", do)
        body = {"cmd": 1, "start": FREE_PAGE, "end": FREE_PAGE}
        reply = await doors.call("hypercall", Call.SYSCTL, SysctlReply, body)
        assert await state_of(doors, FREE_PAGE) == "free"
    assert (reply.ret, reply.errno, reply.words) == (ret, errno, words)


async def test_a_call_that_hangs_is_never_answered_and_never_done(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        await arm(doors, "offline", Do.HANG)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pages(doors, Call.OFFLINE, FREE_PAGE), 0.3)
        assert await state_of(doors, FREE_PAGE) == "free"
        assert (await pages(doors, Call.OFFLINE, FREE_PAGE)).changed


async def test_a_lost_answer_is_of_a_call_that_was_done(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        await arm(doors, "offline", Do.LOSE_ANSWER)
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await pages(doors, Call.OFFLINE, FREE_PAGE)
        assert await state_of(doors, FREE_PAGE) == "offlined"


async def test_a_slow_call_is_done_in_the_end(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        await arm(doors, "offline", Do.SLOW, seconds=0.3)
        began = asyncio.get_running_loop().time()
        assert (await pages(doors, Call.OFFLINE, FREE_PAGE)).changed
        assert asyncio.get_running_loop().time() - began >= 0.3


@pytest.mark.parametrize(("do", "after"), [(Do.SLOW, "running"), (Do.LATE, "suspended")])
async def test_a_suspend_that_was_given_up_undoes_a_later_resume_if_it_is_late(
    tmp_path: Path, do: Do, after: str
) -> None:
    """A slow one is called off; a toolstack that does not know that does it all the same."""
    async with running(a_script(a_config(tmp_path))) as doors:
        await arm(doors, "suspend", do, seconds=0.3)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await tool(doors, ToolCall.SUSPEND, domid=PV_GUEST)
        await tool(doors, ToolCall.SUSPEND, domid=PV_GUEST)
        await tool(doors, ToolCall.RESUME, domid=PV_GUEST)
        await asyncio.sleep(0.5)
        assert (await doors.truth()).domains[1].state == after


async def test_a_late_call_is_not_done_once_the_host_is_down(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        await arm(doors, "suspend", Do.LATE, seconds=0.3)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await tool(doors, ToolCall.SUSPEND, domid=PV_GUEST)
        before = await doors.call("control", ControlCall.HOST, Truth, {"do": "reboot"})
        await doors.back_from(before.boot_id)
        await asyncio.sleep(0.3)
        assert (await doors.truth()).domains[1].state == "running"


@pytest.mark.parametrize("body", ['{"mfns": [-1]}', '{"mfns": ["a"]}', "{}", "[]", "nul"])
async def test_what_the_door_cannot_read_meets_no_rule(tmp_path: Path, body: str) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        await arm(doors, "offline", Do.CHANGE_OWNER)
        status, text = await doors.ask("hypercall", Call.OFFLINE, body)
        assert (status, text.count("\n"), len((await doors.truth()).mischief)) == (400, 1, 1)


async def test_a_range_is_refused_page_by_page_too(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        await arm(doors, "offline", Do.REFUSE)
        ask = {"first": FREE_PAGE, "last": FREE_PAGE + 1}
        reply = await doors.call("hypercall", Call.OFFLINE, PagesReply, ask)
    assert [page.mfn for page in reply.pages] == [FREE_PAGE, FREE_PAGE + 1]


async def test_an_exchange_that_fails_half_way_is_undone(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        await made_exchangeable(doors)
        await arm(doors, "exchange", Do.HALF_WAY)
        reply = await tool(doors, ToolCall.EXCHANGE, domid=PV_GUEST, mfns=[PV_PAGE])
        await tool(doors, ToolCall.RESUME, domid=PV_GUEST)
        truth = await doors.call("control", ControlCall.QUIESCE, Truth, {})
    assert (reply.outcome, truth.guests[1].harm) == (ToolOutcome.FAILED, 0)


async def test_an_exchange_that_cannot_be_undone_harms_the_guest(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        await made_exchangeable(doors)
        await arm(doors, "exchange", Do.DAMAGE)
        reply = await tool(doors, ToolCall.EXCHANGE, domid=PV_GUEST, mfns=[PV_PAGE])
        await tool(doors, ToolCall.RESUME, domid=PV_GUEST)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (await doors.truth()).guests[1].harm:
                await asyncio.sleep(0.05)
    assert reply.outcome is ToolOutcome.GUEST_MAY_BE_DAMAGED


@pytest.mark.parametrize("call", ["save", "restore"])
async def test_a_save_or_restore_that_fails_half_way_leaves_the_guest_where_it_was(
    tmp_path: Path, call: str
) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        await arm(doors, call, Do.HALF_WAY)
        saved = await tool(doors, ToolCall.SAVE, domid=PV_GUEST, image="pv")
        restored = await tool(doors, ToolCall.RESTORE, image="pv")
        truth = await doors.truth()
    outcomes = {"save": saved.outcome, "restore": restored.outcome}
    assert outcomes[call] is ToolOutcome.FAILED
    assert truth.images == (("pv",) if call == "restore" else ())


async def test_trouble_of_one_call_is_not_that_of_another_at_the_same_time(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        for domid in (HVM_GUEST, PV_GUEST):
            await tool(doors, ToolCall.SAVE, domid=domid, image=f"image{domid}")
        await arm(doors, "restore", Do.HALF_WAY)
        replies = await asyncio.gather(
            *(tool(doors, ToolCall.RESTORE, image=f"image{d}") for d in (HVM_GUEST, PV_GUEST))
        )
    assert sorted(reply.outcome for reply in replies) == [ToolOutcome.DONE, ToolOutcome.FAILED]


async def test_a_resume_by_the_fast_path_harms_the_guest(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        await made_exchangeable(doors)
        await tool(doors, ToolCall.EXCHANGE, domid=PV_GUEST, mfns=[PV_PAGE])
        await arm(doors, "resume", Do.FAST_PATH)
        assert (await tool(doors, ToolCall.RESUME, domid=PV_GUEST)).outcome is ToolOutcome.DONE
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (await doors.truth()).guests[1].corruptions:
                await asyncio.sleep(0.05)


async def test_a_domain_dies_as_the_call_about_it_arrives(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        await arm(doors, "suspend", Do.CRASH_DOMAIN)
        reply = await tool(doors, ToolCall.SUSPEND, domid=PV_GUEST)
    assert reply.outcome is ToolOutcome.NO_SUCH_DOMAIN


async def test_the_owner_dies_as_the_call_about_its_page_arrives(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        await arm(doors, "query", Do.CRASH_DOMAIN)
        await pages(doors, Call.QUERY, PV_PAGE)
        there = await doors.call("toolstack", ToolCall.DOMAINS, DomainsReply)
        running_ones = [d.domid for d in there.domains if d.state == "running"]
    assert running_ones == [HVM_GUEST]


@pytest.mark.parametrize("call", [Call.QUERY, Call.OFFLINE])
async def test_a_page_has_another_owner_than_was_just_answered(tmp_path: Path, call: Call) -> None:
    """The other guest of the host has taken it, with its mark."""
    async with running(a_script(a_config(tmp_path))) as doors:
        await arm(doors, "*", Do.CHANGE_OWNER)
        answer = (await pages(doors, call, PV_PAGE)).pages[0]
        now = (await pages(doors, Call.QUERY, PV_PAGE)).pages[0]
        truth = await doors.call("control", ControlCall.QUIESCE, Truth, {})
    assert (answer.owner, now.owner, now.status) == (PV_GUEST, HVM_GUEST, answer.status)
    assert [guest.wrong_pages for guest in truth.guests] == [0, 0]


@pytest.mark.parametrize("do", [Do.CRASH_HOST, Do.REBOOT_HOST])
async def test_the_host_goes_down_at_the_call_and_comes_back(tmp_path: Path, do: Do) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        before = await doors.truth()
        await arm(doors, "offline", do, skip=1)
        await pages(doors, Call.OFFLINE, FREE_PAGE)
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await pages(doors, Call.OFFLINE, FREE_PAGE + 1)
        assert (await doors.truth()).state is HostState.REBOOTING
        after = await doors.back_from(before.boot_id)
        assert (await pages(doors, Call.QUERY, FREE_PAGE)).pages[0].status is PageStatus.ONLINE
    assert (after.past.boots, after.marked) == (1, ())


async def test_a_call_under_way_when_the_host_goes_down_is_not_carried_out(tmp_path: Path) -> None:
    """Not even on the boot that comes after."""
    async with running(a_script(a_config(tmp_path))) as doors:
        boot_id = (await doors.truth()).boot_id
        await arm(doors, "offline", Do.SLOW, seconds=0.5)
        call = asyncio.create_task(pages(doors, Call.OFFLINE, FREE_PAGE))
        await asyncio.sleep(0.1)
        await doors.call("control", ControlCall.HOST, Truth, {"do": "crash"})
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await call
        await doors.back_from(boot_id)
        await asyncio.sleep(0.5)
        assert await state_of(doors, FREE_PAGE) == "free"


async def test_an_image_that_was_not_whole_when_the_host_crashed_is_gone(tmp_path: Path) -> None:
    config = a_config(tmp_path)
    timing = config.timing.model_copy(update={"save_seconds_per_gib": 16.0})
    async with running(a_script(config.model_copy(update={"timing": timing}))) as doors:
        boot_id = (await doors.truth()).boot_id
        save = asyncio.create_task(tool(doors, ToolCall.SAVE, domid=PV_GUEST, image="pv"))
        await asyncio.sleep(0.3)
        await doors.call("control", ControlCall.HOST, Truth, {"do": "crash"})
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await save
        back = await doors.back_from(boot_id)
    assert (back.images, [guest.name for guest in back.guests]) == ((), ["web-hvm", "db-pv"])


async def test_an_image_that_was_whole_outlives_the_host(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        boot_id = (await doors.truth()).boot_id
        await tool(doors, ToolCall.SAVE, domid=PV_GUEST, image="pv")
        await doors.call("control", ControlCall.HOST, Truth, {"do": "crash"})
        back = await doors.back_from(boot_id)
        restored = await tool(doors, ToolCall.RESTORE, image="pv")
    assert (back.images, [guest.name for guest in back.guests]) == (("pv",), ["web-hvm"])
    assert restored.outcome is ToolOutcome.DONE


async def test_a_domain_can_be_crashed_by_its_name(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        body = {"name": "db-pv", "do": "crash"}
        await doors.call("control", ControlCall.DOMAIN, Truth, body)
        reply = await tool(doors, ToolCall.SUSPEND, domid=PV_GUEST)
        nobody = await doors.ask("control", ControlCall.DOMAIN, body | {"name": "mail"})
    assert reply.outcome is ToolOutcome.NO_SUCH_DOMAIN
    assert nobody == (400, "name: there is no 'mail'; there are: db-pv, web-hvm\n")


async def test_rules_are_listed_and_cleared(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        await arm(doors, "save", Do.FAIL, times="unlimited")
        await arm(doors, "offline", Do.FAIL, times=3)
        await pages(doors, Call.OFFLINE, FREE_PAGE)
        listed = (await doors.truth()).mischief
        body = {"number": 1}
        left = await doors.call("control", ControlCall.MISCHIEF_CLEAR, RulesTruth, body)
        await doors.call("control", ControlCall.MISCHIEF_CLEAR, RulesTruth, {})
        none = await doors.call("control", ControlCall.MISCHIEF, RulesTruth)
    assert [(armed.number, armed.happened) for armed in listed] == [(1, 0), (2, 1)]
    assert [armed.rule for armed in left.rules] == [
        Rule.model_validate({"call": "offline", "do": "fail", "times": 3})
    ]
    assert none.rules == ()


async def test_what_cannot_happen_is_refused_with_one_line(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        body = {"call": "query", "do": "half_way"}
        status, text = await doors.ask("control", ControlCall.MISCHIEF, body)
    assert (status, text.count("\n")) == (400, 1)
    assert "half_way cannot happen to query" in text
