"""Guests by way of `xl`: what was done is read back, and nobody is left stopped or lost."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.adapters.xen.images import Images
from agent.adapters.xen.toolstack import XenToolstack
from agent.adapters.xen.xl import Ran
from agent.contract.errors import Unreachable
from agent.contract.frames import DomId, Mfn
from agent.contract.toolstack import HERE, DomainState, GuestKind, ToolOutcome, ToolReply
from agent.events import CallMade, Event
from tests.support.xl import Dom, ScriptedXl, a_scripted_xl

DB = DomId(1)
IMAGE = "c1-00000000-1"
DONE, REFUSED, FAILED = ToolOutcome.DONE, ToolOutcome.REFUSED, ToolOutcome.FAILED
DAMAGED, GONE = ToolOutcome.GUEST_MAY_BE_DAMAGED, ToolOutcome.NO_SUCH_DOMAIN
DEVICE = "pci-0000-03-00.1"
GIVEN = {"bus": 3, "func": 1}


@dataclass
class World:
    folder: Path
    xl: ScriptedXl = field(default_factory=a_scripted_xl)
    now_ns: int = 1_000_000_000
    resumed: list[DomId] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    @property
    def tools(self) -> XenToolstack:
        async def resume(domid: DomId) -> None:
            self.resumed.append(domid)
            self.xl.domains[0].state = "-b----"

        images = Images(self.folder)
        return XenToolstack(self.xl, images, resume, self.events.append, lambda: self.now_ns)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_guest_that_was_saved_is_restored_as_another_domain(world: World) -> None:
    world.xl.saves()
    world.xl.restores(2)
    saved = await world.tools.save(DB, IMAGE)
    assert (await world.tools.domains()).images == (IMAGE,)
    world.now_ns += 9_800_000_000
    restored = await world.tools.restore(IMAGE)
    assert (saved.outcome, saved.pause_seconds) == (DONE, None)
    assert restored == ToolReply(outcome=DONE, domid=2, pause_seconds=9.8)
    assert (await world.tools.domains()).images == ()


async def test_a_save_that_failed_leaves_no_image(world: World) -> None:
    world.xl.saves(1, says="libxl: error: no space\nFailed to save domain, resuming", leaves=False)
    reply = await world.tools.save(DB, IMAGE)
    assert (reply.outcome, reply.reason) == (FAILED, "Failed to save domain, resuming")
    assert not list(world.folder.iterdir())


async def test_a_save_that_says_it_failed_and_took_the_guest_away_has_worked(world: World) -> None:
    """What it left is what counts: the guest is on disk, and is to be restored."""
    world.xl.saves(1, says="xl: connection to xenstored lost")
    assert (await world.tools.save(DB, IMAGE)).outcome is DONE


async def test_a_guest_that_is_neither_here_nor_on_disk_may_be_damaged(world: World) -> None:
    def vanish(_: Sequence[str]) -> Ran:
        world.xl.domains = []
        return Ran(1, err="killed")

    world.xl.acts["save"] = vanish
    assert (await world.tools.save(DB, IMAGE)).outcome is DAMAGED


async def test_no_guest_is_saved_where_there_is_no_room_for_it(world: World) -> None:
    world.xl.domains[0].mebibytes = 1 << 40
    reply = await world.tools.save(DB, IMAGE)
    assert (reply.outcome, world.xl.given) == (REFUSED, [])


async def test_no_guest_is_saved_into_a_folder_that_is_not_there(world: World) -> None:
    world.folder = world.folder / "not there"
    reply = await world.tools.save(DB, IMAGE)
    assert (reply.outcome, world.xl.given) == (REFUSED, [])
    assert (await world.tools.domains()).images == ()


async def test_an_image_whose_guest_lives_waits_for_nobody(world: World) -> None:
    """It is unfinished, or was used up by a life of the agent that did not get to say so."""
    world.xl.saves(leaves=False)
    (world.folder / f"{IMAGE}@{world.xl.domains[0].uuid}@1.xl").touch()
    assert (await world.tools.domains()).images == ()


async def test_an_image_waits_though_others_still_map_what_its_guest_had(world: World) -> None:
    world.xl.domains = [Dom(1, state="---ssd")]
    (world.folder / f"{IMAGE}@{world.xl.domains[0].uuid}@1.xl").touch()
    assert (await world.tools.domains()).images == (IMAGE,)


async def test_a_guest_that_was_restored_before_is_not_made_twice(world: World) -> None:
    (world.folder / f"{IMAGE}@{world.xl.domains[0].uuid}@1.xl").touch()
    reply = await world.tools.restore(IMAGE)
    assert (reply.outcome, reply.domid, world.xl.given) == (DONE, 1, [])
    assert not list(world.folder.iterdir())


async def test_what_a_restore_that_was_cut_off_left_is_not_taken_for_a_guest(world: World) -> None:
    """Only an operator can tell it from a guest that somebody paused."""
    world.xl.domains = [Dom(2, state="--p---")]
    (world.folder / f"{IMAGE}@{world.xl.domains[0].uuid}@1.xl").touch()
    reply = await world.tools.restore(IMAGE)
    assert (reply.outcome, world.xl.given) == (DAMAGED, [])
    assert "`xl destroy 2`" in reply.reason
    assert (await world.tools.domains()).images == (IMAGE,)


async def test_a_restore_that_failed_keeps_the_image(world: World) -> None:
    world.xl.saves()
    world.xl.restores(code=3, says="libxl: no memory")
    await world.tools.save(DB, IMAGE)
    assert (await world.tools.restore(IMAGE)).outcome is FAILED
    assert (await world.tools.domains()).images == (IMAGE,)


async def test_an_image_that_is_not_there_is_told(world: World) -> None:
    assert (await world.tools.restore(IMAGE)).outcome is GONE


async def test_a_save_that_takes_too_long_goes_on(world: World) -> None:
    """Cut off, it would leave its guest suspended. Who asks again waits for the same one."""
    world.xl.saves()
    world.xl.holding = asyncio.Event()
    tools = world.tools
    with pytest.raises(Unreachable, match="xl save is still under way"):
        await tools.save(DB, IMAGE)
    with pytest.raises(Unreachable, match="xl save is still under way"):
        await tools.migrate(DB, HERE)
    world.xl.holding.set()
    assert (await tools.save(DB, IMAGE)).outcome is DONE
    assert [command[0] for command in world.xl.given] == ["save"]


async def test_a_guest_that_moved_to_a_new_domain_here_is_found_there(world: World) -> None:
    def migrate(_: Sequence[str]) -> Ran:
        world.xl.domains = [Dom(5)]
        return Ran(0)

    world.xl.acts["migrate"] = migrate
    assert await world.tools.migrate(DB, HERE) == ToolReply(outcome=DONE, domid=5)
    assert world.xl.given == [("migrate", "-s", "", "1", "xl migrate-receive")]


async def test_a_build_without_log_dirty_mode_fails_and_the_guest_stays(world: World) -> None:
    """Debian's, for PV guests."""
    says = "xc: error: Failed to enable logdirty: 95,22,0\nMigration failed, resuming at sender."
    world.xl.acts["migrate"] = lambda _: Ran(1, err=says)
    reply = await world.tools.migrate(DB, HERE)
    assert (reply.outcome, reply.reason) == (FAILED, "Migration failed, resuming at sender.")


async def test_a_guest_that_a_migration_lost_may_be_damaged(world: World) -> None:
    def lose(_: Sequence[str]) -> Ran:
        world.xl.domains = []
        return Ran(1, err="lost")

    world.xl.acts["migrate"] = lose
    assert (await world.tools.migrate(DB, HERE)).outcome is DAMAGED


@pytest.mark.parametrize(
    ("change", "to", "why"),
    [
        ({"free_mebibytes": 191}, HERE, "no room for a second db"),
        ({"domains": [Dom(1, devices=[GIVEN])]}, HERE, "db has an assigned device"),
        ({}, "hv-2", "hv-2: only migrations to 'here' are made here"),
    ],
)
async def test_a_migration_that_cannot_be_is_not_begun(
    world: World, change: dict[str, object], to: str, why: str
) -> None:
    world.xl = a_scripted_xl(**change)
    reply = await world.tools.migrate(DB, to)
    assert (reply.outcome, reply.reason, world.xl.given) == (REFUSED, why, [])


async def test_a_guest_that_a_cut_off_save_left_suspended_goes_on(world: World) -> None:
    world.xl.domains[0].state = "---ss-"
    assert (await world.tools.resume(DB)).outcome is DONE
    assert world.resumed == [DB]


@pytest.mark.parametrize("state", ["r-----", "-b----", "--p---"])
async def test_a_guest_that_we_did_not_suspend_is_left_as_it_is(world: World, state: str) -> None:
    world.xl.domains[0].state = state
    assert (await world.tools.resume(DB)).outcome is DONE
    assert not world.resumed


async def test_a_device_is_taken_and_given_back_once(world: World) -> None:
    guest = world.xl.domains[0]
    guest.devices = [GIVEN]
    world.xl.acts["pci-detach"] = lambda _: guest.devices.clear() or Ran(0)  # type: ignore[func-returns-value] # None is false
    world.xl.acts["pci-attach"] = lambda _: guest.devices.append(GIVEN) or Ran(0)  # type: ignore[func-returns-value] # as above
    tools = world.tools
    replies = [
        await call(DB, DEVICE) for call in (tools.detach, tools.detach, tools.attach, tools.attach)
    ]
    assert {reply.outcome for reply in replies} == {DONE}
    assert world.xl.given == [(f"pci-{what}", "1", "0000:03:00.1") for what in ("detach", "attach")]


async def test_a_guest_that_keeps_its_device_is_believed_and_not_the_exit_code(
    world: World,
) -> None:
    world.xl.domains[0].devices = [GIVEN]
    assert (await world.tools.detach(DB, DEVICE)).outcome is FAILED


@pytest.mark.parametrize("domid", [0, 0x7FF0, 0x7FF1, 0x7FF2, 0x7FF4])
async def test_no_command_is_for_dom0_or_for_xen_itself(world: World, domid: int) -> None:
    tools, who = world.tools, DomId(domid)
    replies = [
        await tools.save(who, IMAGE),
        await tools.migrate(who, HERE),
        await tools.resume(who),
        await tools.detach(who, DEVICE),
        await tools.attach(who, DEVICE),
    ]
    assert {reply.outcome for reply in replies} == {REFUSED}
    assert not world.xl.given


async def test_a_domain_that_is_not_there_is_told(world: World) -> None:
    assert (await world.tools.save(DomId(9), IMAGE)).outcome is GONE


async def test_what_a_stock_xen_cannot_do_is_refused_with_the_reason(world: World) -> None:
    tools = world.tools
    replies = [await tools.suspend(DB), await tools.exchange(DB, [Mfn(1)])]
    assert all(reply.outcome is REFUSED and "writable bit" in reply.reason for reply in replies)
    assert (await tools.drop_shadows(DB)).outcome is REFUSED
    assert not world.xl.given


async def test_domains_are_told_with_room_and_without_dom0(world: World) -> None:
    world.xl.domains = [
        Dom(1, state="-b----"),
        Dom(4, "web", "hvm", "---ss-", uuid="6f3c9a5e-0000-4000-8000-000000000002"),
        Dom(5, "old", "pvh", "--ps-d", uuid="6f3c9a5e-0000-4000-8000-000000000003"),
        Dom(6, "ill one", "pvh", "---sc-", uuid="6f3c9a5e-0000-4000-8000-000000000004"),
    ]
    seen = await world.tools.domains()
    assert [(one.domid, one.name, one.kind, one.state) for one in seen.domains] == [
        (1, "db", GuestKind.PV, DomainState.RUNNING),
        (4, "web", GuestKind.HVM, DomainState.SUSPENDED),
        (5, "old", GuestKind.PVH, DomainState.DYING),
        (6, "ill one", GuestKind.PVH, DomainState.CRASHED),
    ]
    assert (seen.domains[0].pages, seen.free_pages) == (192 * 256, 256_000)


async def test_calls_are_told_by_the_contracts_words(world: World) -> None:
    await world.tools.domains()
    await world.tools.suspend(DB)
    told = [(event.call, event.outcome) for event in world.events if isinstance(event, CallMade)]
    assert told == [("domains", "done"), ("suspend", "refused")]


@pytest.fixture
def orphan(world: World) -> None:
    """An agent that was killed has left a save of domain 1 running."""
    world.xl.processes = world.folder / "proc"
    process = world.xl.processes / "4711"
    process.mkdir(parents=True)
    process.joinpath("cmdline").write_text("/usr/sbin/xl\0save\x001\0/images/c1\0")


@pytest.mark.usefixtures("orphan")
async def test_a_save_that_an_earlier_life_left_running_is_not_disturbed(world: World) -> None:
    """A second one, or a resume in the middle of it, would lose the guest."""
    world.xl.domains[0].state = "---ss-"
    image = world.folder / f"{IMAGE}@{world.xl.domains[0].uuid}@1.xl"
    image.touch()
    with pytest.raises(Unreachable, match="of somebody else, is under way"):
        await world.tools.save(DB, IMAGE)
    assert (await world.tools.resume(DB)).outcome is ToolOutcome.TRY_AGAIN
    assert (world.xl.given, world.resumed, image.exists()) == ([], [], True)


@pytest.mark.usefixtures("orphan")
async def test_another_guest_is_not_kept_waiting_for_it(world: World) -> None:
    world.xl.domains = [Dom(10, state="---ss-")]
    assert (await world.tools.resume(DomId(10))).outcome is DONE
