"""A case from its opening to its rest, through the real Xen's ports: behind them a Xen that falls.

`xl` is a script here, whose save and restore do to the emulated guest what they would.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.adapters.xen.hypervisor import Identity, XenHypervisor
from agent.adapters.xen.images import Images
from agent.adapters.xen.pinned import PinnedThread
from agent.adapters.xen.releases import Release
from agent.adapters.xen.toolstack import RUNGS, XenToolstack
from agent.adapters.xen.xl import Ran
from agent.contract.frames import DomId, Mfn
from agent.contract.toolstack import HERE
from agent.retirement.acts import Acts
from agent.retirement.caps import Caps
from agent.retirement.case import Case
from agent.retirement.docket import Docket
from agent.retirement.driver import Driver
from agent.retirement.ladder import Rung, Terms
from agent.retirement.reason import Reason
from agent.retirement.states import State
from emulator.xen.frametable import FrameState
from emulator.xen.pages import PageKind
from tests.support.cases import BOOT, a_case
from tests.support.driving import ListLog, now_ns, quick
from tests.support.xen import ON_SMALL, PV_GUEST
from tests.support.xen_library import EmulatedLibrary
from tests.support.xl import HERE as THIS_CPU
from tests.support.xl import Dom, ScriptedXl, a_scripted_xl, pinned_to

PATIENCE_SECONDS = 20.0


@dataclass
class World:
    folder: Path
    library: EmulatedLibrary = field(default_factory=EmulatedLibrary)
    xl: ScriptedXl = field(default_factory=lambda: a_scripted_xl(vcpus=pinned_to(THIS_CPU, "1")))
    log: ListLog = field(default_factory=ListLog)
    docket: Docket = field(default_factory=lambda: Docket(Caps(1000), str(BOOT)))

    def __post_init__(self) -> None:
        self.xl.acts["save"] = self._save
        self.xl.restores(5)

    def _save(self, command: Sequence[str]) -> Ran:
        Path(command[2]).touch()
        self.library.xen.host.destroy(self.library.xen.host.domains[DomId(int(command[1]))])
        self.xl.domains = []
        return Ran(0)

    async def drive(self, kind: PageKind) -> Case:
        """The case of a page of that kind, when it rests."""
        thread = PinnedThread(5.0)

        async def resume(_: DomId) -> None:
            raise AssertionError("no guest is suspended here")

        tools = XenToolstack(self.xl, Images(self.folder), resume, _unheard)
        identity = Identity("hv-1", BOOT, Release(4, 17, 7))
        pages = XenHypervisor(identity, self.library, thread, self.xl, tools.kinds, _unheard)
        manners = quick(Terms(RUNGS, HERE))
        driver = Driver(Acts(pages, tools, HERE), self.log, self.docket, _unheard, now_ns, manners)
        mfn = ON_SMALL[kind]
        case = a_case(mfn=mfn)
        self.docket.put(case)
        driver.submit(case)
        async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
            group.create_task(driver.run())
            while not self.docket.at(mfn).state.is_at_rest:
                await asyncio.sleep(0.001)
            driver.stop()
        thread.close()
        return self.docket.at(mfn)

    def state_of(self, mfn: Mfn) -> FrameState:
        return self.library.xen.host.table.state_of(mfn)


def _unheard(_: object) -> None:
    """Nobody listens."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_free_page_is_retired_by_the_call_alone(world: World) -> None:
    case = await world.drive(PageKind.FREE)
    assert (case.state, world.xl.given) == (State.RETIRED, [])
    assert world.state_of(case.mfn) is FrameState.OFFLINED


async def test_a_pv_guests_page_is_retired_by_save_and_restore(world: World) -> None:
    """After the migration that Debian's build cannot do; the guest is never merely suspended."""
    world.xl.acts["migrate"] = lambda _: Ran(1, err="Failed to enable logdirty: 95,22,0")
    case = await world.drive(PageKind.PV)
    assert (case.state, case.tried) == (State.RETIRED, (Rung.MIGRATE, Rung.SAVE_RESTORE))
    assert [command[0] for command in world.xl.given] == ["migrate", "save", "restore"]
    assert world.state_of(case.mfn) is FrameState.OFFLINED
    assert not list(world.folder.iterdir())


async def test_an_hvm_guests_page_is_retired_by_a_migration_where_there_is_room(
    world: World,
) -> None:
    guest = Dom(2, "web", "hvm")
    world.xl.domains = [guest]

    def migrate(_: Sequence[str]) -> Ran:
        world.library.xen.host.destroy(world.library.xen.host.domains[DomId(2)])
        guest.domid = 7
        return Ran(0)

    world.xl.acts["migrate"] = migrate
    case = await world.drive(PageKind.HVM)
    assert (case.state, [command[0] for command in world.xl.given]) == (
        State.RETIRED,
        ["migrate"],
    )


async def test_dom0s_page_is_parked_and_stays_marked(world: World) -> None:
    case = await world.drive(PageKind.DOM0)
    assert (case.state, case.reason) == (State.PARKED, Reason.DOM0)
    assert world.state_of(case.mfn) is FrameState.OFFLINING


@pytest.mark.parametrize(
    "kind", [PageKind.XEN_HEAP, PageKind.XEN_IMAGE, PageKind.M2P, PageKind.LOW]
)
async def test_xens_own_page_is_unretirable(world: World, kind: PageKind) -> None:
    case = await world.drive(kind)
    assert (case.state, case.reason) == (State.UNRETIRABLE, Reason.XEN_HEAP)


async def test_a_page_that_nobody_owns_is_parked(world: World) -> None:
    case = await world.drive(PageKind.ANONYMOUS)
    assert (case.state, case.reason) == (State.PARKED, Reason.USE_UNKNOWN)


async def test_a_broken_page_of_a_guest_is_parked_and_the_guest_lives(world: World) -> None:
    world.library.xen.break_page(ON_SMALL[PageKind.PV])
    case = await world.drive(PageKind.PV)
    assert (case.state, case.reason) == (State.PARKED, Reason.BROKEN)
    assert PV_GUEST in world.library.xen.host.domains


async def test_a_guest_that_xl_did_not_make_is_left_alone(world: World) -> None:
    """As on a host whose guests another toolstack makes."""
    world.xl.domains = []
    case = await world.drive(PageKind.PV)
    assert (case.state, case.reason, world.xl.given) == (State.PARKED, Reason.USE_UNKNOWN, [])
