"""The port to a real Xen's pages, with the emulated xen-4.17 behind it."""

import os
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from agent.adapters.xen.hypervisor import Identity, XenHypervisor
from agent.adapters.xen.pinned import PinnedThread
from agent.adapters.xen.releases import Release
from agent.contract.errors import PeerError, Unreachable
from agent.contract.frames import DOM0, Mfn
from agent.contract.hypercall import PageStatus, PageUse
from agent.contract.toolstack import GuestKind
from agent.events import CallMade, Event
from emulator.xen.pages import PageKind
from tests.support.xen import HVM_GUEST, ON_SMALL, PV_GUEST
from tests.support.xen_library import EmulatedLibrary
from tests.support.xl import HERE, ScriptedXl, a_scripted_xl, pinned_to

IDENTITY = Identity("hv-1", UUID(int=7), Release(4, 17, 7))
KINDS = {PV_GUEST: GuestKind.PV, HVM_GUEST: GuestKind.HVM}


@dataclass
class World:
    library: EmulatedLibrary = field(default_factory=EmulatedLibrary)
    thread: PinnedThread = field(default_factory=lambda: PinnedThread(5.0))
    xl: ScriptedXl = field(default_factory=lambda: a_scripted_xl(vcpus=pinned_to(HERE, "1-3")))
    events: list[Event] = field(default_factory=list)

    @property
    def port(self) -> XenHypervisor:
        async def kinds() -> dict[int, GuestKind]:
            return {int(domid): kind for domid, kind in KINDS.items()}

        return XenHypervisor(
            IDENTITY, self.library, self.thread, self.xl, kinds, self.events.append
        )


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    await world.port.close()


@pytest.mark.parametrize("call", ["offline", "query", "online"])
async def test_nothing_is_asked_of_xen_while_dom0_may_run_on_cpu_0(world: World, call: str) -> None:
    """Rule 1, with the command that mends it; and it is looked at anew each time."""
    port = world.port
    await port.query([ON_SMALL[PageKind.FREE]])
    world.library.asked.clear()
    world.xl.vcpus = pinned_to(HERE, "all")
    with pytest.raises(PeerError, match="xl vcpu-pin"):
        await getattr(port, call)([ON_SMALL[PageKind.DOM0]])
    assert not world.library.asked


async def test_the_call_runs_on_the_vcpu_that_is_safe(world: World) -> None:
    """Rule 1: bound by the thread itself, and read back."""
    ran_on: list[set[int]] = []
    world.library.frames = lambda: ran_on.append(os.sched_getaffinity(0)) or 1  # type: ignore[method-assign, func-returns-value] # where it runs is all that is of interest
    await world.thread.run(frozenset({HERE}), world.library.frames)
    assert ran_on == [{HERE}]


async def test_a_thread_that_is_not_where_it_was_sent_calls_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 1: a cgroup may say yes and put it elsewhere."""
    monkeypatch.setattr(os, "sched_setaffinity", lambda *_: None)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {HERE, HERE + 1})
    with pytest.raises(PeerError, match="told to run on"):
        await world.port.offline([ON_SMALL[PageKind.DOM0]])
    assert not world.library.asked


async def test_a_vcpu_that_linux_does_not_have_is_refused(world: World) -> None:
    world.xl.vcpus = pinned_to(1000, "1")
    with pytest.raises(PeerError, match="cannot run on dom0's vCPUs"):
        await world.port.offline([ON_SMALL[PageKind.DOM0]])
    assert not world.library.asked


async def test_a_call_that_hangs_in_xen_is_given_up_by_who_waits(world: World) -> None:
    world.thread.seconds = 0.05
    released = threading.Event()
    world.library.frames = lambda: int(released.wait(5))  # type: ignore[method-assign] # as a CPU that spins
    with pytest.raises(Unreachable, match="a call may hang in it"):
        await world.port.host()
    released.set()


@pytest.mark.parametrize(
    ("kind", "use", "owner"),
    [
        (PageKind.FREE, PageUse.FREE, None),
        (PageKind.PV, PageUse.PV, PV_GUEST),
        (PageKind.PAGE_TABLE, PageUse.PV, PV_GUEST),
        (PageKind.HVM, PageUse.HVM, HVM_GUEST),
        (PageKind.DOM0, PageUse.DOM0, DOM0),
        (PageKind.XEN_HEAP, PageUse.XEN_HEAP, None),
        (PageKind.XEN_IMAGE, PageUse.XEN_HEAP, None),
        (PageKind.COW, PageUse.SHARED, None),
        (PageKind.ANONYMOUS, PageUse.UNKNOWN, None),
    ],
)
async def test_a_pages_use_is_told_as_far_as_xen_and_xl_know_it(
    world: World, kind: PageKind, use: PageUse, owner: int | None
) -> None:
    (page,) = (await world.port.offline([ON_SMALL[kind]])).pages
    assert (page.use, page.owner) == (use, owner)


async def test_a_guest_that_xl_does_not_know_is_not_guessed_at(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(KINDS, PV_GUEST)
    (page,) = (await world.port.offline([ON_SMALL[PageKind.PV]])).pages
    assert (page.use, page.owner) == (PageUse.UNKNOWN, PV_GUEST)


async def test_pages_are_answered_in_their_order_with_the_set_of_owners(world: World) -> None:
    mfns = [ON_SMALL[kind] for kind in (PageKind.HVM, PageKind.FREE, PageKind.DOM0, PageKind.PV)]
    reply = await world.port.offline(mfns)
    assert ([page.mfn for page in reply.pages], reply.owners) == (mfns, (0, 1, 2))
    assert reply.changed


async def test_a_swap_leaves_the_page_as_it_is(world: World) -> None:
    await world.port.offline([ON_SMALL[PageKind.HVM]])
    (page,) = (await world.port.swap([ON_SMALL[PageKind.HVM]])).pages
    assert (page.status, page.refusal) == (PageStatus.OFFLINE_PENDING, None)


async def test_what_is_marked_is_not_to_be_had(world: World) -> None:
    with pytest.raises(PeerError, match="lists no marked pages"):
        await world.port.marked(Mfn(0))


async def test_the_host_says_what_it_is(world: World) -> None:
    host = await world.port.host()
    assert (host.host, host.boot_id, host.personality) == ("hv-1", UUID(int=7), "xen-4.17")
    assert host.frames == world.library.xen.host.table.frames


async def test_calls_are_told_by_the_contracts_words(world: World) -> None:
    await world.port.host()
    await world.port.offline([ON_SMALL[PageKind.XEN_IMAGE]])
    told = [(event.call, event.outcome) for event in world.events if isinstance(event, CallMade)]
    assert told == [("host", "done"), ("page_offline_pending", "refused")]
