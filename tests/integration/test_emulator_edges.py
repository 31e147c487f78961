"""The emulated host from outside: its sockets, its messages on a real broker, its process."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from aiomqtt import Client, ProtocolVersion

from agent.contract import topics
from agent.contract.ereport import Ereport, Inventory
from agent.contract.hypercall import (
    PAGES_MAX,
    Call,
    HostReply,
    MarkedReply,
    PagesReply,
    PageStatus,
    PageUse,
)
from agent.contract.toolstack import DomainsReply, ToolCall, ToolOutcome, ToolReply
from emulator.config import EmulatorConfig
from emulator.demo.stage import free_port
from emulator.edges.door import BODY_BYTES_MAX
from emulator.edges.host import Host, replayed
from emulator.edges.truth import ControlCall, FramesTruth, Ready, Truth
from emulator.errors import EmulatorError
from emulator.replay import Recording
from emulator.scenario import FaultSettings, On
from tests.support.emulated import (
    HOST,
    PATIENCE_SECONDS,
    Doors,
    a_config,
    a_script,
    played_agent,
    running,
)
from tests.support.mosquitto import Mosquitto

BUSY = FaultSettings(on=On.DOM0, errors_per_second=500.0)
BRIEF = FaultSettings(on=On.DOM0, errors_per_second=500.0, errors_max=50)
HVM_GUEST, PV_GUEST = 1, 2
FREE_PAGE = 200_000


def slow_to(sockets: Path, **timing: float) -> EmulatorConfig:
    """A host some of whose calls take so long."""
    config = a_config(sockets)
    slower = config.timing.model_copy(update=timing)
    return config.model_copy(update={"timing": slower})


async def test_the_sockets_are_their_owners_alone_but_for_the_one_that_is_everybodys(
    tmp_path: Path,
) -> None:
    async with running(a_script(a_config(tmp_path))):
        found = modes(tmp_path)
    assert found == {
        "hypercall.sock": 0o600,
        "hypercall-unprivileged.sock": 0o666,
        "toolstack.sock": 0o600,
        "control.sock": 0o600,
    }


async def test_everybody_may_pass_through_a_directory_that_the_host_made(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path / "made"))):
        assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o711


async def test_the_unprivileged_learn_the_set_of_owners_and_no_page_of_theirs(
    tmp_path: Path,
) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        first, last = await a_page_of_each_guest(doors)
        ask = {"mfns": [last, first]}
        theirs = await doors.call("hypercall-unprivileged", Call.QUERY, PagesReply, ask)
        ours = await doors.call("hypercall", Call.QUERY, PagesReply, ask)
    assert [page.owner for page in ours.pages] == [PV_GUEST, HVM_GUEST]
    assert [page.owner for page in theirs.pages] == [None, None]
    assert theirs.owners == ours.owners == (HVM_GUEST, PV_GUEST)


@pytest.mark.parametrize("call", [Call.OFFLINE, Call.ONLINE, Call.SWAP])
async def test_the_unprivileged_change_no_page(tmp_path: Path, call: Call) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        answer = await doors.ask("hypercall-unprivileged", call, {"mfns": [FREE_PAGE]})
        marked = (await doors.truth()).marked
    assert answer == (403, f"{call}: it changes pages, and only hypercall.sock is for that\n")
    assert marked == ()


async def test_what_is_marked_is_listed_for_the_privileged_alone(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        await doors.call("hypercall", Call.OFFLINE, PagesReply, {"mfns": [FREE_PAGE]})
        listed = await doors.call("hypercall", Call.MARKED, MarkedReply, {})
        refused = await doors.ask("hypercall-unprivileged", Call.MARKED, {})
    assert [page.mfn for page in listed.pages] == [FREE_PAGE]
    why = "it tells of pages whosever they are, and only hypercall.sock is for that"
    assert refused == (403, f"{Call.MARKED}: {why}\n")


async def test_a_range_is_answered_page_by_page_both_ends_included(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        ask = {"first": FREE_PAGE, "last": FREE_PAGE + 2}
        reply = await doors.call("hypercall", Call.OFFLINE, PagesReply, ask)
    assert [page.mfn for page in reply.pages] == [FREE_PAGE, FREE_PAGE + 1, FREE_PAGE + 2]
    assert {page.status for page in reply.pages} == {PageStatus.OFFLINED}


async def test_the_sockets_are_gone_when_the_host_has_stopped(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))):
        pass
    assert modes(tmp_path) == {}


async def test_the_host_says_who_it_is(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        host = await doors.call("hypercall", Call.HOST, HostReply)
    assert (host.host, host.frames, host.personality) == (HOST, 1 << 18, "thread")


async def test_a_free_page_is_offlined_and_the_truth_agrees(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        body = {"mfns": [FREE_PAGE]}
        reply = await doors.call("hypercall", Call.OFFLINE, PagesReply, body)
        pages = await doors.call("control", ControlCall.PAGES, FramesTruth, body)
    assert reply.pages[0].status is PageStatus.OFFLINED
    assert pages.pages[0].state == "offlined"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"mfns": []}, "mfns"),
        ({"mfns": [-1]}, "mfns.0"),
        ({"mfns": [1 << 32]}, "mfns.0"),
        ({"mfns": [1], "force": True}, "force"),
        ({"first": 3, "last": 2}, "at last: "),
        ({"first": 3, "last": 3 + PAGES_MAX}, "at last: "),
        ({"first": 3}, "give mfns, or first and last: first given"),
        ({"mfns": [1], "first": 1, "last": 1}, "mfns and first and last given"),
        ({}, "give mfns, or first and last: none given"),
        ("{", "Invalid JSON"),
        ("", "Invalid JSON"),
    ],
)
async def test_a_malformed_body_is_refused_with_one_line(
    tmp_path: Path, body: object, says: str
) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        status, text = await doors.ask("hypercall", Call.OFFLINE, body)
    assert status == 400
    assert says in text
    assert text.count("\n") == 1


async def test_a_body_without_end_is_refused(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        status, _ = await doors.ask("hypercall", Call.OFFLINE, " " * (BODY_BYTES_MAX + 1))
    assert status == 413


async def test_resume_tells_how_long_the_guest_stood_still(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        await doors.call("toolstack", ToolCall.SUSPEND, ToolReply, {"domid": PV_GUEST})
        await asyncio.sleep(0.1)
        reply = await doors.call("toolstack", ToolCall.RESUME, ToolReply, {"domid": PV_GUEST})
        again = await doors.call("toolstack", ToolCall.RESUME, ToolReply, {"domid": PV_GUEST})
    assert reply.pause_seconds is not None
    assert 0.1 < reply.pause_seconds < PATIENCE_SECONDS
    assert again == reply  # the first answer may have been lost


async def test_a_repeated_restore_or_migration_tells_of_the_same_pause(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        save = {"domid": PV_GUEST, "image": "pv"}
        await doors.call("toolstack", ToolCall.SAVE, ToolReply, save)
        for call, body in (
            (ToolCall.RESTORE, {"image": "pv"}),
            (ToolCall.MIGRATE, {"domid": HVM_GUEST}),
        ):
            first, again = [await doors.call("toolstack", call, ToolReply, body) for _ in range(2)]
            assert first.pause_seconds
            assert again == first


async def test_a_suspended_guest_does_no_work(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        await doors.call("toolstack", ToolCall.SUSPEND, ToolReply, {"domid": HVM_GUEST})
        before = (await doors.truth()).guests
        await asyncio.sleep(0.2)
        after = (await doors.truth()).guests
    assert after[0].reads == before[0].reads
    assert after[1].reads > before[1].reads


async def test_a_saved_guest_is_back_under_another_id_and_went_on(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        body = {"domid": PV_GUEST, "image": "pv"}
        await doors.call("toolstack", ToolCall.SAVE, ToolReply, body)
        reply = await doors.call("toolstack", ToolCall.RESTORE, ToolReply, {"image": "pv"})
        domains = await doors.call("toolstack", ToolCall.DOMAINS, DomainsReply)
    assert [domain.domid for domain in domains.domains] == [HVM_GUEST, reply.domid]
    assert reply.domid != PV_GUEST
    assert reply.pause_seconds is not None
    assert reply.pause_seconds >= 2 * 0.5 * 64 / 1024  # save and restore of 64 MiB


async def test_a_second_save_waits_for_the_first_and_nothing_is_listed_before_it_is_whole(
    tmp_path: Path,
) -> None:
    async with running(a_script(slow_to(tmp_path, save_seconds_per_gib=6.0))) as doors:
        save = {"domid": PV_GUEST, "image": "pv"}
        first = asyncio.create_task(doors.call("toolstack", ToolCall.SAVE, ToolReply, save))
        await asyncio.sleep(0.1)
        images = (await doors.call("toolstack", ToolCall.DOMAINS, DomainsReply)).images
        second = await doors.call("toolstack", ToolCall.SAVE, ToolReply, save)
        whole = (await doors.call("toolstack", ToolCall.DOMAINS, DomainsReply)).images
        assert (await first, images, whole) == (second, (), ("pv",))


async def test_an_image_is_restored_once_it_is_whole(tmp_path: Path) -> None:
    async with running(a_script(slow_to(tmp_path, save_seconds_per_gib=6.0))) as doors:
        save = {"domid": PV_GUEST, "image": "pv"}
        saved = asyncio.create_task(doors.call("toolstack", ToolCall.SAVE, ToolReply, save))
        await asyncio.sleep(0.1)
        reply = await doors.call("toolstack", ToolCall.RESTORE, ToolReply, {"image": "pv"})
        await saved
    assert reply.pause_seconds is not None
    assert reply.pause_seconds > 6.0 * 64 / 1024


@pytest.mark.parametrize(
    ("call", "body"),
    [
        (ToolCall.MIGRATE, {"domid": PV_GUEST, "to": "nowhere"}),
        (ToolCall.DROP_SHADOWS, {"domid": HVM_GUEST}),
        (ToolCall.CREATE, {"name": "vast", "kind": "pv", "pages": 1 << 28}),
        (ToolCall.RESTORE, {"image": "none"}),
    ],
)
async def test_what_will_be_refused_is_refused_at_once(
    tmp_path: Path, call: ToolCall, body: dict[str, object]
) -> None:
    seconds = {"migrate_downtime_seconds": 5.0, "drop_shadows_seconds": 5.0}
    async with running(a_script(slow_to(tmp_path, **seconds))) as doors, asyncio.timeout(2.0):
        reply = await doors.call("toolstack", call, ToolReply, body)
        states = {domain.state for domain in (await doors.truth()).domains}
    assert reply.outcome is not ToolOutcome.DONE
    assert states == {"running"}


async def test_whom_somebody_suspends_during_a_migration_stays_suspended(tmp_path: Path) -> None:
    """And the migration fails, and says how long it had stopped the guest by then."""
    async with running(a_script(slow_to(tmp_path, migrate_downtime_seconds=0.3))) as doors:
        body = {"domid": PV_GUEST}
        moving = asyncio.create_task(doors.call("toolstack", ToolCall.MIGRATE, ToolReply, body))
        await asyncio.sleep(0.2)
        await doors.call("toolstack", ToolCall.SUSPEND, ToolReply, body)
        migrated = await moving
        truth = await doors.truth()
    assert (migrated.outcome, migrated.pause_seconds) == (ToolOutcome.REFUSED, 0.3)
    assert truth.domains[1].state == "suspended"


async def test_a_call_whose_caller_has_gone_before_its_act_is_dropped(tmp_path: Path) -> None:
    async with running(a_script(slow_to(tmp_path, hypercall_seconds=0.3))) as doors:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await doors.ask("hypercall", Call.OFFLINE, {"mfns": [FREE_PAGE]})
        await asyncio.sleep(0.4)
        assert (await doors.truth()).marked == ()


async def test_a_save_whose_caller_has_gone_is_whole_in_its_time(tmp_path: Path) -> None:
    async with running(a_script(slow_to(tmp_path, save_seconds_per_gib=6.0))) as doors:
        save = {"domid": PV_GUEST, "image": "pv"}
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await doors.ask("toolstack", ToolCall.SAVE, save)
        await asyncio.sleep(0.5)
        assert (await doors.truth()).images == ("pv",)


async def test_a_quiet_world_is_verified_guest_by_guest(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path), BUSY)) as doors:
        truth = await doors.call("control", ControlCall.QUIESCE, Truth, {})
    assert [guest.wrong_pages for guest in truth.guests] == [0, 0]
    assert truth.source_done


async def test_a_fault_can_be_added_while_the_world_runs(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        body = {"address": FREE_PAGE << 12, "errors_per_second": 1000.0, "errors_max": 3}
        await doors.call("control", ControlCall.FAULTS, Truth, body)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await doors.truth()).errors < 3:
                await asyncio.sleep(0.02)


async def test_a_fault_can_be_put_on_many_pages_at_once(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        body = {"on": "free", "pages": 20, "errors_per_second": 1000.0, "errors_max": 2}
        await doors.call("control", ControlCall.FAULTS, Truth, body)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await doors.truth()).errors < 40:
                await asyncio.sleep(0.02)


async def test_one_address_is_on_one_page(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        status, text = await doors.ask("control", ControlCall.FAULTS, {"address": 0, "pages": 2})
    assert (status, "one address is on one page" in text) == (400, True)


async def test_a_fault_beyond_the_host_is_refused(tmp_path: Path) -> None:
    async with running(a_script(a_config(tmp_path))) as doors:
        status, text = await doors.ask("control", ControlCall.FAULTS, {"address": 1 << 40})
    assert (status, text) == (400, "address: this host has 262144 pages of 4 KiB\n")


async def test_a_second_host_does_not_take_the_sockets_of_a_live_one(tmp_path: Path) -> None:
    script = a_script(a_config(tmp_path))
    async with running(script) as doors:
        with pytest.raises(EmulatorError, match="an emulator answers there already"):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await Host(script, print).run(asyncio.Event(), print)
        assert (await doors.truth()).host == HOST


async def test_the_socket_of_a_host_that_was_killed_is_replaced(tmp_path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as killed:
        killed.bind(str(tmp_path / "control.sock"))
    async with running(a_script(a_config(tmp_path))) as doors:
        assert (await doors.truth()).host == HOST


async def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "hypercall.sock").write_text("dear diary")
    with pytest.raises(EmulatorError, match="is there already, and is no socket"):
        await Host(a_script(a_config(tmp_path)), print).run(asyncio.Event(), print)
    assert (tmp_path / "hypercall.sock").read_text() == "dear diary"


async def test_every_error_of_the_world_reaches_the_agent_once(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    script = a_script(a_config(tmp_path, mosquitto.url), BRIEF)
    async with played_agent(mosquitto) as agent, running(script) as doors:
        while sum(agent.seen.values()) < 50:
            await agent.take()
        await agent.apply(len(agent.seen))
        truth = await drained(doors)
    assert (truth.errors, truth.ereports) == (50, len(agent.seen))


@pytest.mark.parametrize("telemetry", [{"encoding": "json"}, {"encoding": "packed"}])
async def test_either_encoding_is_understood(
    tmp_path: Path, mosquitto: Mosquitto, telemetry: dict[str, object]
) -> None:
    script = a_script(a_config(tmp_path, mosquitto.url, **telemetry), BRIEF)
    async with played_agent(mosquitto) as agent, running(script):
        while sum(agent.seen.values()) < 50:
            await agent.take()


async def test_what_was_published_is_kept_until_it_is_applied(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    script = a_script(a_config(tmp_path, mosquitto.url), BUSY)
    async with played_agent(mosquitto) as agent, running(script) as doors:
        await agent.take()
        assert (await doors.truth()).outbox > 0


async def test_what_the_agent_misses_is_sent_again(tmp_path: Path, mosquitto: Mosquitto) -> None:
    config = a_config(tmp_path, mosquitto.url, patience_seconds=100.0)
    async with played_agent(mosquitto) as agent, running(a_script(config, BRIEF)):
        while sum(agent.seen.values()) < 50:
            await agent.take()
        agent.seen.clear()
        await agent.ask_again(0, 0)
        await agent.take()
    assert 0 in agent.seen


async def test_what_nobody_applied_is_sent_again_in_time(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    """A broker may acknowledge a message and drop it; nobody would ever ask for the last one."""
    config = a_config(tmp_path, mosquitto.url, patience_seconds=0.2)
    async with played_agent(mosquitto) as agent, running(a_script(config, BRIEF)):
        while sum(agent.seen.values()) < 50:
            await agent.take()
        agent.seen.clear()
        await agent.take()
    assert 0 in agent.seen


async def test_a_full_outbox_makes_the_source_wait_and_lose_nothing(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    config = a_config(tmp_path, mosquitto.url, outbox_parcels_max=2, batch_max=1)
    async with played_agent(mosquitto) as agent, running(a_script(config, BRIEF)) as doors:
        await asyncio.sleep(0.3)
        assert (await doors.truth()).outbox == 2
        while sum(agent.seen.values()) < 50:
            await agent.take()
            await agent.apply(len(agent.seen))
    assert sorted(agent.seen) == list(range(len(agent.seen)))


async def test_a_broker_that_is_away_costs_time_and_nothing_else(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    mosquitto.stop()
    async with running(a_script(a_config(tmp_path, mosquitto.url), BRIEF)) as doors:
        await doors.hear("is away")
        await asyncio.sleep(0.2)
        mosquitto.start()
        async with played_agent(mosquitto) as agent:
            while sum(agent.seen.values()) < 50:
                await agent.take()
    assert len([line for line in doors.said if "is away" in line]) == 1


async def test_a_broker_that_is_killed_loses_nothing_either(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    """Its backlog dies with it; the host has kept all of that."""
    async with running(a_script(a_config(tmp_path, mosquitto.url), BRIEF)) as doors:
        await doors.hear("is there")
        await asyncio.sleep(0.3)
        mosquitto.kill()
        mosquitto.start()
        async with played_agent(mosquitto) as agent:
            while sum(agent.seen.values()) < 50:
                await agent.take()
    assert sorted(agent.seen) == list(range(len(agent.seen)))


async def test_a_host_that_lost_its_broker_twice_still_stops_when_told_to(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    async with running(a_script(a_config(tmp_path, mosquitto.url), BUSY)) as doors:
        for times in (1, 2):
            await doors.hear("is there", times)
            mosquitto.kill()
            await doors.hear("is away", times)
            mosquitto.start()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (await doors.truth()).broker_connected:
                await asyncio.sleep(0.01)


async def test_the_inventory_waits_on_the_bus_for_an_agent_that_comes_later(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    async with running(a_script(a_config(tmp_path, mosquitto.url))) as doors:
        await doors.hear("is there")
        async with (
            asyncio.timeout(PATIENCE_SECONDS),
            Client("127.0.0.1", mosquitto.port, protocol=ProtocolVersion.V311) as client,
        ):
            await client.subscribe(topics.inventory(HOST), qos=1)
            message = await anext(aiter(client.messages))
    assert Inventory.model_validate_json(message.payload).memory_bytes == 1 << 30


async def test_a_word_that_is_not_understood_is_told_and_survived(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    script = a_script(a_config(tmp_path, mosquitto.url), BUSY)
    async with played_agent(mosquitto) as agent, running(script) as doors:
        await doors.hear("is there")
        await agent.client.publish(topics.applied(HOST), b"\xff{", qos=1)
        await doors.hear("is not understood")
        await agent.take()


async def test_a_recording_is_published_whole_and_then_the_source_is_done(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    file = tmp_path / "recorded.jsonl"
    records = [
        Ereport(host="theirs", boot_id=UUID(int=1), seq=seq, time_ns=seq, address=seq << 20)
        for seq in range(3000)
    ]
    file.write_text("\n".join(record.model_dump_json() for record in records))
    config = a_config(tmp_path / "s", mosquitto.url)
    script = replayed(config, Recording(file))
    async with played_agent(mosquitto) as agent, running(script) as doors:
        while len(agent.seen) < 3000:
            await agent.take()
        truth = await doors.truth()
    assert (truth.source_done, truth.errors, agent.messages) == (True, 3000, 3)


def modes(folder: Path) -> dict[str, int]:
    """The files in `folder` and what their modes are."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


async def a_page_of_each_guest(doors: Doors) -> tuple[int, int]:
    """Looked for from the bottom, behind Xen and dom0."""
    found: dict[PageUse, int] = {}
    for first in range(0, 1 << 18, PAGES_MAX):
        ask = {"first": first, "last": first + PAGES_MAX - 1}
        reply = await doors.call("hypercall", Call.QUERY, PagesReply, ask)
        found |= {page.use: page.mfn for page in reply.pages}
        if PageUse.HVM in found and PageUse.PV in found:
            break
    return found[PageUse.HVM], found[PageUse.PV]


async def drained(doors: Doors) -> Truth:
    """The truth once everything is applied."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (truth := await doors.truth()).outbox:
            await asyncio.sleep(0.01)
    return truth


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`pagewarden` as a process of its own."""
    started = subprocess.Popen(
        [Path(sys.executable).with_name("pagewarden"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "200"},
    )
    with started:
        yield started
        started.kill()


def test_the_process_says_ready_and_stops_cleanly_when_told_to(tmp_path: Path) -> None:
    with process("emulator", "--sockets", str(tmp_path), "--json") as emulator:
        assert emulator.stdout is not None
        ready = Ready.model_validate_json(emulator.stdout.readline())
        emulator.send_signal(signal.SIGTERM)
        _, errors = emulator.communicate(timeout=PATIENCE_SECONDS)
    assert (ready.sockets, emulator.returncode) == (str(tmp_path), 0)
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--scenario", "zig-zag"), "pagewarden: scenario: there is no 'zig-zag'"),
        (("--memory", "lots"), "pagewarden: command line: host.memory: must be a number"),
        (("--replay", "nowhere.jsonl"), "pagewarden: nowhere.jsonl: cannot be read"),
        (("--config", "nowhere.toml"), "pagewarden: nowhere.toml: cannot be read"),
        (("--sockets", "/proc/none"), "pagewarden: /proc/none/hypercall.sock: cannot listen"),
    ],
)
def test_what_cannot_be_run_is_one_line_and_exit_code_1(
    arguments: tuple[str, ...], says: str
) -> None:
    with process("emulator", *arguments) as emulator:
        _, errors = emulator.communicate(timeout=PATIENCE_SECONDS)
    assert errors.startswith(says)
    assert (errors.count("\n"), emulator.returncode) == (1, 1)


def test_the_embedded_broker_takes_a_3_1_1_client(tmp_path: Path) -> None:
    pytest.importorskip("amqtt", reason="amqtt is not installed")
    port = free_port()
    url = f"mqtt://127.0.0.1:{port}"
    options = ("--sockets", str(tmp_path), "--broker", url, "--protocol", "3.1.1")
    with process("broker", "--port", str(port)) as broker:
        assert broker.stdout is not None
        assert broker.stdout.readline() == "ready\n"
        with process("emulator", *options) as emulator:
            assert emulator.stderr is not None
            assert f"broker {url} is there" in emulator.stderr.readline()
