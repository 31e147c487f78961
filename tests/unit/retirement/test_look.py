"""The last look before a guest is touched: who need not be disturbed is left alone."""

from dataclasses import replace

import pytest

from agent.contract.errors import Unreachable
from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PageReply, PageStatus, PageUse
from agent.contract.toolstack import (
    HERE,
    DomainInfo,
    DomainsReply,
    DomainState,
    GuestKind,
    ToolOutcome,
)
from agent.retirement.case import Case
from agent.retirement.ladder import Rung
from agent.retirement.look import Sight, objections, promised
from agent.retirement.outcome import NotNow, Outcome, Overtaken
from agent.retirement.reason import Reason
from agent.retirement.states import State
from tests.support.driving import Bench, cases_of, in_line, quick
from tests.support.host import FIRST, UNHEARD, Domain, Host, Page, a_host

NO_ROOM = NotNow(Reason.NO_FREE_MEMORY)
CHANGED = Overtaken(reason=Reason.HELD_OTHERWISE)


def a_domain(domid: int = 7, state: DomainState = DomainState.RUNNING) -> DomainInfo:
    return DomainInfo(domid=domid, name="db", kind=GuestKind.PV, state=state, pages=64)


def in_line_for(rung: Rung, state: State = State.SUSPENDING, number: int = 1) -> Case:
    known = in_line(state, guest="db", use=PageUse.PV, rung=rung, size=64)
    return replace(known, id=f"c{number}", mfn=Mfn(number))


def as_known(case: Case, **changes: object) -> PageReply:
    status = PageStatus.OFFLINE_PENDING
    known = PageReply(mfn=case.mfn, status=status, use=PageUse.PV, owner=case.owner)
    return known.model_copy(update=changes)


def seen(*cases: Case, free_pages: int = 9, to: str = "", others: tuple[Case, ...] = ()) -> object:
    """What speaks against these cases on a host with so many pages free."""
    domains = DomainsReply(domains=(a_domain(),), free_pages=free_pages)
    sight = Sight([as_known(case) for case in cases], domains, to)
    return objections(cases, sight, (*cases, *others))


EXCHANGED = in_line_for(Rung.EXCHANGE)


def test_nothing_speaks_against_what_is_as_it_was() -> None:
    assert seen(EXCHANGED) == (None,)


@pytest.mark.parametrize(
    ("there", "outcome"),
    [
        ((a_domain(state=DomainState.SUSPENDED),), NotNow(Reason.STOPPED_BY_OTHERS)),
        ((a_domain(state=DomainState.CRASHED),), Overtaken(reason=Reason.NOT_ALIVE)),
        ((a_domain(8),), Overtaken()),
    ],
)
def test_a_guest_that_is_not_running_is_not_touched(
    there: tuple[DomainInfo, ...], outcome: Outcome
) -> None:
    sight = Sight([as_known(EXCHANGED)], DomainsReply(domains=there, free_pages=9))
    assert objections([EXCHANGED], sight, [EXCHANGED]) == (outcome,)


@pytest.mark.parametrize(
    "change",
    [
        {"status": PageStatus.OFFLINED},
        {"status": PageStatus.ONLINE},
        {"owner": 8},
        {"mappers": (9,)},
        {"use": PageUse.PAGE_TABLE},
        {"is_broken": True},
    ],
)
def test_a_page_that_is_held_otherwise_leaves_the_batch_alone(change: dict[str, object]) -> None:
    other = in_line_for(Rung.EXCHANGE, number=2)
    pages = [as_known(EXCHANGED, **change), as_known(other)]
    sight = Sight(pages, DomainsReply(domains=(a_domain(),), free_pages=9))
    assert objections([EXCHANGED, other], sight, [EXCHANGED, other]) == (CHANGED, None)


def test_as_many_pages_are_exchanged_as_there_is_room_for() -> None:
    batch = [in_line_for(Rung.EXCHANGE, number=n) for n in range(3)]
    assert seen(*batch, free_pages=2) == (None, None, NO_ROOM)


def test_a_save_needs_room_for_every_marked_page_of_its_guest() -> None:
    saved = in_line_for(Rung.SAVE_RESTORE, State.SAVING)
    parked = in_line_for(Rung.EXCHANGE, State.PARKED, 2)
    assert seen(saved, free_pages=1) == (None,)
    assert seen(saved, free_pages=1, others=(parked,)) == (NO_ROOM,)


def test_a_migration_here_needs_room_for_the_whole_guest_and_one_to_a_peer_needs_none() -> None:
    moved = in_line_for(Rung.MIGRATE, State.MIGRATING)
    assert seen(moved, free_pages=63, to=HERE) == (NO_ROOM,)
    assert seen(moved, free_pages=0, to="hv-2") == (None,)


def test_no_device_is_detached_for_a_rung_that_has_no_room() -> None:
    due = replace(in_line_for(Rung.WAIT, State.DETACHING), rungs=(Rung.EXCHANGE,))
    assert seen(due, free_pages=0) == (NO_ROOM,)


def test_the_memory_of_a_guest_on_disk_is_promised_to_it() -> None:
    on_disk = replace(in_line_for(Rung.SAVE_RESTORE, State.RESTORING), image="c9", owner=DomId(9))
    assert seen(EXCHANGED, free_pages=64, others=(on_disk, replace(on_disk, id="c10"))) == (
        NO_ROOM,
    )
    assert seen(EXCHANGED, free_pages=65, others=(on_disk,)) == (None,)


def test_a_guest_that_stands_still_for_an_exchange_is_promised_a_page_for_each() -> None:
    there = DomainsReply(domains=(a_domain(), a_domain(9)), free_pages=9)
    stopped = replace(EXCHANGED, state=State.EXCHANGING, owner=DomId(9))
    in_line_still = replace(EXCHANGED, owner=DomId(9))
    assert promised(DomId(7), [stopped, stopped, in_line_still], there) == 2


# And so, from the host's truth


async def settled(host: Host) -> Bench:
    """The bench after a verdict on every page; what is parked then stays so."""
    bench = Bench(host, replace(quick(), watch_seconds=1000.0))
    await bench.settle(*cases_of(host))
    return bench


def given(host: Host) -> list[str]:
    return [call for call in host.commands if call != "offline"]


@pytest.mark.parametrize("use", [PageUse.HVM, PageUse.PV, PageUse.PAGE_TABLE, PageUse.HVM_STATE])
async def test_on_a_full_host_no_guest_is_touched_and_the_page_is_parked(use: PageUse) -> None:
    """A guest that was saved frees one page less than its restore needs."""
    host = a_host(Page(use))
    host.free_pages = 0
    bench = await settled(host)
    assert given(host) == []
    (case,) = bench.docket.cases
    assert (case.state, case.reason) == (State.PARKED, Reason.NO_FREE_MEMORY)


async def test_once_there_is_room_the_parked_page_is_exchanged_after_all() -> None:
    host = a_host(Page())
    host.free_pages = 0
    bench = Bench(host)

    def make_room() -> bool:
        (case,) = bench.docket.cases
        if case.state is State.PARKED:
            host.free_pages = 1
        return case.state is State.RETIRED

    await bench.settle(*cases_of(host), until=make_room)
    assert given(host) == ["suspend", "exchange", "resume"]


async def test_a_guest_with_two_bad_pages_is_not_saved_where_there_is_room_for_one() -> None:
    host = a_host(Page(PageUse.HVM_STATE), Page(PageUse.HVM_STATE))
    host.free_pages = 1
    bench = await settled(host)
    assert (given(host), host.stopped, bench.rests) == ([], [], {State.PARKED})


async def test_a_swap_that_finds_no_room_does_not_climb_to_a_stop() -> None:
    host = a_host(Page(PageUse.HVM))
    host.when["swap"] = lambda: setattr(host, "free_pages", 0)
    bench = await settled(host)
    assert (given(host), bench.rests) == (["swap"], {State.PARKED})


async def test_with_its_device_detached_a_page_without_room_is_parked_once_and_not_over_again() -> (
    None
):
    host = a_host(Page(PageUse.HVM), devices=("nic",))
    host.trouble["swap"] = [ToolOutcome.FAILED]  # the fake hypervisor says: no free memory
    bench = await settled(host)
    assert given(host) == ["detach", "swap", "attach"]
    assert (host.without_device, bench.rests) == ([], {State.PARKED})


async def test_a_guest_that_somebody_stopped_is_not_started_though_the_toolstack_was_silent() -> (
    None
):
    """No answer is no permission."""

    class SilentOnce(Host):
        asked = 0

        async def domains(self) -> DomainsReply:
            self.asked += 1
            if self.asked == 2:
                raise Unreachable("silent")
            return await super().domains()

    host = SilentOnce({FIRST: Page()}, {7: Domain("db", DomainState.SUSPENDED)})
    bench = await settled(host)
    assert given(host) == []
    assert [case.reason for case in bench.docket.cases] == [Reason.STOPPED_BY_OTHERS]


async def test_a_guest_that_is_stopped_while_its_device_is_detached_stays_stopped() -> None:
    host = a_host(Page(), devices=("nic",))
    host.when["detach"] = lambda: setattr(host.guests[7], "state", DomainState.SUSPENDED)
    await settled(host)
    assert given(host) == ["detach", "attach"]
    assert host.stopped == ["db"]


async def test_a_guest_is_not_stopped_for_a_page_that_has_left_meanwhile() -> None:
    class Ballooning(Host):
        async def domains(self) -> DomainsReply:
            reply = await super().domains()
            if self.calls.count("domains") == 1:
                self._free(FIRST)
            return reply

    host = Ballooning({FIRST: Page()}, {7: Domain("db")})
    bench = await settled(host)
    assert (given(host), bench.rests) == ([], {State.RETIRED})


async def test_a_page_that_went_to_another_guest_is_not_what_that_guest_is_saved_for() -> None:
    """The exchange is refused: whose page it is, is asked again before anything else is tried."""
    host = a_host(Page())
    host.guests[8] = Domain("web")
    host.when["suspend"] = lambda: setattr(host.pages[FIRST], "owner", 8)
    bench = await settled(host)
    assert given(host) == ["suspend", "exchange", "resume"] * 2
    assert bench.rests == {State.RETIRED}


async def test_a_case_that_was_in_line_when_the_power_went_off_starts_no_guest() -> None:
    host = a_host(Page(status=PageStatus.OFFLINE_PENDING))
    host.guests[7].state = DomainState.SUSPENDED
    bench = Bench(host)
    bench.log.commits.append((in_line(State.SUSPENDING, use=PageUse.PV, rung=Rung.EXCHANGE),))
    await bench.live_again()
    assert (given(host), host.stopped) == ([], ["db"])


async def test_that_a_guest_may_be_touched_is_written_down_before_it_is() -> None:
    host = a_host(Page())
    host.trouble["suspend"] = [UNHEARD]
    bench = Bench(host)
    begun: list[bool] = []
    host.when["suspend"] = lambda: begun.extend(case.begun for case in bench.log.durable)
    await bench.settle(*cases_of(host))
    assert begun == [True]
