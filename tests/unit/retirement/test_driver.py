"""The driver: what is written down when, who shares a stop, how the agent leaves and returns."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from uuid import UUID

import pytest

from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PAGES_MAX, PageStatus, PageUse
from agent.contract.toolstack import HERE, DomainsReply, DomainState, ToolOutcome
from agent.events import CaseMoved, GuestFoundStopped, GuestPaused
from agent.retirement.caps import Caps
from agent.retirement.case import Case, Origin
from agent.retirement.docket import Docket
from agent.retirement.ladder import Rung, Terms
from agent.retirement.manners import Manners
from agent.retirement.owed import Command, Owed
from agent.retirement.reason import Reason
from agent.retirement.states import State
from tests.support import host as host_module
from tests.support.cases import BOOT
from tests.support.driving import Bench, ListLog, cases_of, in_line, quick
from tests.support.host import FIRST, LATE, LOST, UNHEARD, Domain, Host, Page, a_host

EXCHANGE = ["suspend", "exchange", "resume"]
SAVE = ["save", "restore"]
SLOWLY = Manners(retry_seconds_first=0.01, retry_seconds_max=0.01, gather_seconds=0.01)


async def settled(host: Host, terms: Terms | None = None) -> Bench:
    """The bench after a verdict on every page of the host."""
    bench = Bench(host, quick(terms))
    await bench.settle(*cases_of(host))
    return bench


def to_guests(host: Host) -> list[str]:
    """The commands given, but for marking pages."""
    return [call for call in host.commands if call != "offline"]


def rest_of(bench: Bench) -> list[tuple[State, Reason | None]]:
    return [(case.state, case.reason) for case in bench.docket.cases]


def once_parked(bench: Bench, do: Callable[[], None]) -> Callable[[], bool]:
    """Does something when the case is parked; true when it is retired."""

    def look() -> bool:
        (case,) = bench.docket.cases
        if case.state is State.PARKED:
            do()
        return case.state is State.RETIRED

    return look


# A page alone


async def test_a_free_page_takes_a_question_a_call_and_a_look() -> None:
    bench = await settled(a_host(Page(PageUse.FREE, None)))
    assert bench.host.calls == ["query", "offline", "query"]
    assert bench.log.states == [State.CONFIRMING, State.RETIRED]


async def test_an_hvm_guest_is_never_stopped_when_the_swap_works() -> None:
    bench = await settled(a_host(Page(PageUse.HVM)))
    assert to_guests(bench.host) == ["swap"]
    assert not [event for event in bench.events if isinstance(event, GuestPaused)]


async def test_a_pv_guest_is_stopped_once_and_its_pause_is_told() -> None:
    bench = await settled(a_host(Page()))
    assert to_guests(bench.host) == EXCHANGE
    assert [e.seconds for e in bench.events if isinstance(e, GuestPaused)] == [0.25]


async def test_a_failed_exchange_is_followed_by_save_and_restore() -> None:
    host = a_host(Page())
    host.trouble["exchange"] = [ToolOutcome.FAILED]
    assert (await settled(host)).rests == {State.RETIRED}
    assert to_guests(host) == [*EXCHANGE, *SAVE]


async def test_a_guest_that_may_be_damaged_runs_and_is_left_alone() -> None:
    host = a_host(Page())
    host.trouble["exchange"] = [ToolOutcome.GUEST_MAY_BE_DAMAGED]
    bench = await settled(host)
    assert to_guests(host) == EXCHANGE
    assert rest_of(bench) == [(State.PARKED, Reason.MAY_BE_DAMAGED)]


async def test_a_page_that_others_map_is_swapped_when_they_let_go() -> None:
    host = a_host(Page(PageUse.HVM, mappers=(9,)))
    bench = Bench(host, quick(mapped_seconds=0.2))
    asyncio.get_running_loop().call_later(0.01, host.let_go, FIRST)
    await bench.settle(*cases_of(host))
    assert to_guests(host) == ["swap"]


async def test_a_page_that_stays_mapped_is_parked_until_whoever_maps_it_lets_go() -> None:
    """Its guest was saved and restored meanwhile, and lives without it."""
    host = a_host(Page(mappers=(9,)))
    bench = Bench(host)
    await bench.settle(*cases_of(host), until=once_parked(bench, lambda: host.let_go(FIRST)))
    assert to_guests(host) == SAVE
    assert host.stopped == []


async def test_a_parked_page_is_asked_for_again_and_retired_once_it_is_freed() -> None:
    host = a_host(Page(PageUse.SHARED))
    bench = Bench(host)
    free = Page(PageUse.FREE, None, PageStatus.OFFLINED)
    freed = once_parked(bench, lambda: host.pages.update({FIRST: free}))
    await bench.settle(*cases_of(host), until=freed)
    assert bench.log.states[-2:] == [State.CONFIRMING, State.RETIRED]


async def test_a_broken_page_is_never_asked_for() -> None:
    """Real Xen crashes the owner of a broken page that is asked for again."""
    bench = await settled(a_host(Page(is_broken=True)))
    assert bench.host.commands == []
    assert rest_of(bench) == [(State.PARKED, Reason.BROKEN)]


async def test_all_parked_pages_are_looked_at_in_one_question() -> None:
    host = a_host(*(Page(PageUse.SHARED) for _ in range(20)))
    bench = Bench(host)
    await bench.settle(*cases_of(host))
    del host.calls[:]
    await bench.settle(until=lambda: len(host.calls) > 20)
    assert host.calls[:4] == ["query", "domains"] * 2


async def test_a_parked_page_that_is_as_it_was_is_tried_again_ever_more_rarely() -> None:
    """Whoever refuses dom0's page is not to be asked for it each time that somebody looks."""
    host = a_host(Page(PageUse.DOM0, 0))
    bench = Bench(host)
    await bench.settle(*cases_of(host))
    del host.calls[:]
    await bench.settle(until=lambda: host.calls.count("query") >= 64)
    assert host.calls.count("offline") < 16


async def test_a_page_that_is_new_need_not_wait_behind_all_that_are_parked() -> None:
    host = a_host(*(Page(PageUse.DOM0, 0) for _ in range(50)), Page(PageUse.FREE, None))
    bench = Bench(host)
    *parked, new = cases_of(host)
    await bench.settle(*parked)
    del host.calls[:]
    host.when["offline"] = lambda: bench.add(new)
    await bench.settle(until=lambda: host.is_offlined(new.mfn))
    assert host.calls.count("offline") < 10


async def test_a_parked_page_that_is_not_marked_is_asked_for_again() -> None:
    """Dom0 had it and was not asked to give it up; it is free now."""
    host = a_host(Page(PageUse.DOM0, 0))
    bench = Bench(host)
    free = once_parked(bench, lambda: host.pages.update({FIRST: Page(PageUse.FREE, None)}))
    await bench.settle(*cases_of(host), until=free)
    assert host.is_offlined(FIRST)


async def test_a_guest_is_not_stopped_for_a_page_that_has_become_anothers() -> None:
    """Xen: an owner can change between answer and use, so it is asked again before the act."""
    host = a_host(Page(owner=7), Page(owner=7))
    host.guests[8] = Domain("other")
    host.when["domains"] = lambda: setattr(host.pages[FIRST], "owner", 8)
    bench = await settled(host)
    assert sorted(bench.host.exchanged) == [(FIRST,), (FIRST + 1,)]
    assert rest_of(bench) == [(State.RETIRED, None)] * 2


# Devices


async def test_a_guest_that_moves_while_its_device_is_attached_gets_it_where_it_lives_now() -> None:
    host = a_host(Page(), devices=("nic",))

    def move() -> None:
        host.guests[99] = host.guests.pop(7)

    host.when["attach"] = move
    await Bench(host).settle(*cases_of(host))
    assert to_guests(host) == ["detach", *EXCHANGE, "attach", "attach"]
    assert host.without_device == []


async def test_no_guest_of_another_boot_than_the_cases_is_touched() -> None:
    """The next life would take the case for one of the boot before, and forget the guest."""
    host = a_host(Page())
    bench = Bench(host)
    (case,) = cases_of(host)
    earlier = replace(case, boot="the boot before")
    await bench.settle(earlier, until=lambda: bench.docket.cases[0].attempts > 1)
    assert to_guests(host) == []


async def test_no_command_is_given_again_to_a_domain_of_the_next_boot() -> None:
    """It is another guest's now. What the first one did is found by the next life."""
    host = a_host(Page(PageUse.HVM_STATE))
    host.trouble["save"] = [LOST]

    def reboot() -> None:
        host.boot = UUID(int=2)

    host.when["save"] = reboot
    bench = Bench(host)
    await bench.settle(*cases_of(host), until=lambda: bench.docket.cases[0].attempts > 0)
    assert to_guests(host) == ["save"]
    assert bench.log.durable[-1].image


async def test_once_the_host_is_known_to_have_rebooted_what_is_in_line_is_left_alone() -> None:
    """It is the next life's; to ask for its turn until then would keep the loop from all else."""
    host = a_host(Page())
    bench = Bench(host)
    bench.docket.put(in_line(State.SUSPENDING, guest="db"))
    driver = bench.driver()
    driver._turns.is_past = True
    await driver._drive(Mfn(FIRST))
    assert host.calls == []


async def test_a_guest_is_stopped_only_between_detach_and_attach() -> None:
    host = a_host(Page(), devices=("gpu", "nic"))
    await settled(host)
    devices = ["detach", "detach"], ["attach", "attach"]
    assert to_guests(host) == [*devices[0], *EXCHANGE, *devices[1]]


async def test_one_detach_serves_one_rung_after_another() -> None:
    host = a_host(Page(), devices=("nic",))
    host.trouble["exchange"] = [ToolOutcome.FAILED]
    await settled(host)
    assert to_guests(host) == ["detach", *EXCHANGE, *SAVE, "attach"]


async def test_a_guest_that_keeps_its_device_is_not_touched() -> None:
    host = a_host(Page(), devices=("nic",))
    host.trouble["detach"] = [ToolOutcome.REFUSED]
    bench = await settled(host)
    assert to_guests(host) == ["detach", "attach"]
    assert rest_of(bench) == [(State.PARKED, Reason.DETACH_REFUSED)]


async def test_a_guest_that_never_answers_keeps_its_device() -> None:
    """It may have let go of it without a word, so the device is attached all the same."""

    class Deaf(Host):
        async def detach(self, *_: object) -> object:  # type: ignore[override] # it never answers
            self.calls.append("detach")
            return await asyncio.Event().wait()

    known = a_host(Page(), devices=("nic",))
    bench = await settled(Deaf(known.pages, known.guests))
    assert to_guests(bench.host) == ["detach", "attach"]
    assert rest_of(bench) == [(State.PARKED, Reason.DETACH_UNANSWERED)]


async def test_a_guest_with_a_device_is_not_disturbed_while_others_map_its_page() -> None:
    host = a_host(Page(PageUse.HVM, mappers=(9,)), devices=("nic",))
    bench = Bench(host, quick(mapped_seconds=0.2))
    asyncio.get_running_loop().call_later(0.01, host.let_go, FIRST)
    await bench.settle(*cases_of(host))
    assert to_guests(host) == ["detach", "swap", "attach"]


# One stop for many pages


async def test_all_bad_pages_of_a_guest_share_one_stop() -> None:
    host = a_host(*(Page() for _ in range(64)))
    bench = await settled(host)
    assert to_guests(host) == EXCHANGE
    assert [len(mfns) for mfns in host.exchanged] == [64]
    assert bench.rests == {State.RETIRED}


async def test_while_a_guest_stands_still_there_is_one_commit_a_step() -> None:
    """Not one a page: that is what makes the pause for 64 pages about that for one."""
    host = a_host(*(Page() for _ in range(64)))
    bench = await settled(host)
    exchanging, resuming = (
        [commit for commit in bench.log.commits if any(case.state is state for case in commit)]
        for state in (State.EXCHANGING, State.RESUMING)
    )
    assert (len(exchanging), len(resuming)) == (1, 1)


async def test_pages_that_stand_in_the_way_drop_out_of_the_stop_and_are_saved_for() -> None:
    host = a_host(Page(), Page(), Page())
    host.pages_to_blame = {FIRST + 1}
    bench = await settled(host)
    assert to_guests(host) == ["suspend", "exchange", "exchange", "resume", *SAVE]
    assert host.exchanged == [(FIRST, FIRST + 2)]
    assert bench.rests == {State.RETIRED}


async def test_a_page_that_somebody_has_mapped_meanwhile_is_waited_for() -> None:
    host = a_host(Page(), Page())
    bench = Bench(host)
    host.when["suspend"] = lambda: setattr(host.pages[FIRST], "mappers", (9,))
    await bench.settle(*cases_of(host))
    assert State.WAITING in bench.log.states
    assert host.exchanged == [(FIRST + 1,)]


@pytest.mark.parametrize(
    ("terms", "commands"),
    [
        (Terms((Rung.SAVE_RESTORE,)), SAVE),
        (Terms((Rung.MIGRATE,), HERE), ["migrate"]),
        (Terms((Rung.MIGRATE,), "hv-2"), ["migrate"]),
    ],
)
async def test_a_guest_that_leaves_its_domain_frees_all_of_its_pages_at_once(
    terms: Terms, commands: list[str]
) -> None:
    host = a_host(*(Page() for _ in range(5)))
    host.peers["hv-2"] = 64
    bench = await settled(host, terms)
    assert to_guests(host) == commands
    assert bench.rests == {State.RETIRED}


async def test_a_page_in_line_for_an_exchange_is_freed_by_the_save_for_another() -> None:
    host = a_host(Page(), Page(PageUse.HVM_STATE))
    await settled(host)
    assert to_guests(host) == SAVE


async def test_a_parked_page_is_looked_at_at_once_when_its_guest_leaves() -> None:
    """The watch would find it too, a minute later."""
    host = a_host(Page(PageUse.SHARED), Page(PageUse.HVM_STATE))
    bench = Bench(host, replace(quick(), watch_seconds=1000.0))
    first, second = cases_of(host)
    await bench.settle(first)
    assert bench.rests == {State.PARKED}
    await bench.settle(second, until=lambda: all(c.state.is_final for c in bench.docket.cases))
    assert bench.rests == {State.RETIRED}


async def test_a_page_that_is_ready_while_its_guest_stands_still_waits_for_the_next_stop() -> None:
    host = a_host(Page(), Page())
    bench = Bench(host)
    first, second = cases_of(host)
    late = replace(second, state=State.SUSPENDING, owner=DomId(7), guest="db")
    host.when["exchange"] = lambda: bench.add(late)
    host.pages[second.mfn].status = PageStatus.OFFLINE_PENDING
    await bench.settle(first)
    assert host.exchanged == [(FIRST,), (FIRST + 1,)]


async def test_an_answer_about_a_page_that_has_moved_on_meanwhile_is_dropped() -> None:
    """A parked page is being asked about while another's stop makes its guest leave."""
    host = a_host(Page(PageUse.SHARED))
    bench = Bench(host)
    (case,) = cases_of(host)
    await bench.settle(case)
    parked = bench.docket.at(case.mfn)
    moved = replace(parked, state=State.CONFIRMING)
    host.when["query"] = lambda: bench.docket.put(moved)
    await bench.driver()._steps.take((parked,))
    assert bench.docket.at(case.mfn) is moved


async def test_a_guest_that_somebody_else_stopped_is_left_alone() -> None:
    """Resuming it afterwards would undo what somebody did for a reason."""
    host = a_host(Page(), Page())
    host.guests[7].state = DomainState.SUSPENDED
    bench = Bench(host)
    parked = [(State.PARKED, Reason.STOPPED_BY_OTHERS)] * 2
    await bench.settle(*cases_of(host), until=lambda: rest_of(bench) == parked)
    assert to_guests(host) == []


async def test_when_it_runs_again_its_pages_are_exchanged_after_all() -> None:
    host = a_host(Page())
    host.guests[7].state = DomainState.SUSPENDED
    bench = Bench(host)
    run_again = once_parked(bench, lambda: setattr(host.guests[7], "state", DomainState.RUNNING))
    await bench.settle(*cases_of(host), until=run_again)
    assert to_guests(host) == EXCHANGE


# Writing down


async def test_every_state_is_written_down_before_its_command_is_given() -> None:
    """The log names the command; otherwise a power cut after it would leave no trace of it."""
    host = a_host(Page())
    bench = Bench(host)
    written: list[tuple[str, State]] = []

    class SpyLog(ListLog):
        async def save(self, *cases: Case) -> None:
            written.extend((host.commands[-1], case.state) for case in cases)

    bench.log = SpyLog()
    await bench.settle(*cases_of(host))
    assert ("offline", State.SUSPENDING) in written
    assert ("suspend", State.EXCHANGING) in written
    assert ("exchange", State.RESUMING) in written


async def test_before_a_guest_is_saved_the_name_of_its_image_is_written_down() -> None:
    host = a_host(Page(PageUse.HVM_STATE), Page(PageUse.HVM_STATE))
    bench = Bench(host)
    names: list[set[str]] = []
    host.when["save"] = lambda: names.append({case.image for case in bench.log.durable})
    await bench.settle(*cases_of(host))
    assert names == [{"c1-00000000-7"}]


async def test_moves_are_told_in_order() -> None:
    bench = await settled(a_host(Page(PageUse.FREE, None)))
    moves = [(e.before, e.case.state) for e in bench.events if isinstance(e, CaseMoved)]
    assert moves == [
        (State.OPEN, State.CONFIRMING),
        (State.CONFIRMING, State.RETIRED),
    ]


# Coming back


@pytest.mark.parametrize("state", [s for s in State if s.stops_guest and s is not State.RESTORING])
async def test_what_was_cut_off_with_a_guest_stopped_is_picked_up_there(state: State) -> None:
    """Power cut in each state: on the next start the guest runs before anything else is done."""
    host = a_host(Page(status=PageStatus.OFFLINE_PENDING))
    host.guests[7].state = DomainState.SUSPENDED
    bench = Bench(host)
    bench.docket.put(in_line(state, begun=True, use=PageUse.PV, guest="db"))
    await bench.driver().recover()
    assert host.stopped == []


async def test_a_guest_on_disk_is_restored_before_anything_else() -> None:
    host = a_host(Page(status=PageStatus.OFFLINE_PENDING))
    await host.save(DomId(7), "c1--7")
    host.calls.clear()
    bench = Bench(host)
    bench.docket.put(in_line(State.RESTORING, image="c1--7", guest="db"))
    await bench.driver().recover()
    assert host.calls == ["restore", "domains"]


async def test_a_device_is_attached_before_anything_else() -> None:
    host = a_host(Page(status=PageStatus.OFFLINE_PENDING), devices=("nic",))
    host.guests[7].devices.clear()
    bench = Bench(host)
    bench.docket.put(in_line(State.ATTACHING, detached=("nic",), guest="db"))
    await bench.driver().recover()
    assert host.commands == ["attach"]


async def test_at_the_start_a_guest_that_no_case_explains_is_told_and_not_touched() -> None:
    host = a_host()
    host.guests[8] = Domain("web", DomainState.SUSPENDED)
    bench = Bench(host)
    await bench.driver().recover()
    assert bench.events == [GuestFoundStopped(DomId(8))]
    assert host.commands == []


async def test_a_guest_that_cannot_be_brought_back_keeps_nobody_else_waiting() -> None:
    host = a_host(Page(status=PageStatus.OFFLINE_PENDING), Page(PageUse.FREE, None))
    host.guests[7].state = DomainState.SUSPENDED
    host.trouble["resume"] = [ToolOutcome.REFUSED] * 100_000
    bench = Bench(host)
    first, other = cases_of(host)
    bench.log.commits.append(
        (replace(first, state=State.RESUMING, owner=DomId(7), guest="db"), other)
    )

    async def heal() -> None:
        while not host.is_offlined(FIRST + 1):
            await asyncio.sleep(0.001)
        host.trouble.clear()

    await asyncio.gather(bench.live_again(), heal())
    assert (host.stopped, bench.rests) == ([], {State.RETIRED})


async def test_a_guest_of_ours_that_stands_still_yet_is_not_told_as_somebody_else_s() -> None:
    host = a_host(Page(status=PageStatus.OFFLINE_PENDING))
    host.guests[7].state = DomainState.SUSPENDED
    host.trouble["resume"] = [ToolOutcome.REFUSED]
    bench = Bench(host)
    bench.docket.put(in_line(State.RESUMING, guest="db"))
    await bench.driver().recover()
    assert (bench.events, host.calls.count("resume")) == ([], 1)


async def test_guests_that_do_not_come_back_hold_up_no_other_guest() -> None:
    host = Host({n: Page(owner=n) for n in range(1, 4)})
    host.guests = {n: Domain(f"guest-{n}") for n in range(1, 4)}
    host.trouble["resume"] = [ToolOutcome.FAILED] * 100_000
    bench = Bench(host, replace(quick(), cases_in_flight_max=1))

    def all_tried() -> bool:
        if host.calls.count("exchange") == 3:
            host.trouble.clear()
        return bench.all_rest()

    await bench.settle(*cases_of(host), until=all_tried)
    assert host.stopped == []


async def test_a_guest_that_reboots_while_its_device_is_detached_gets_it_back() -> None:
    """For a moment it is in no domain at all, and then in another one."""
    host = a_host(Page(), devices=("nic",))
    loop = asyncio.get_running_loop()

    def reboot() -> None:
        loop.call_later(0.02, host.guests.update, {50: host.guests.pop(7)})

    def soon() -> None:
        loop.call_soon(reboot)

    bench = Bench(host)
    host.when["resume"] = soon
    await bench.settle(*cases_of(host))
    assert (host.without_device, bench.rests) == ([], {State.RETIRED})


async def test_more_pages_than_one_call_may_name_are_exchanged_in_several_stops() -> None:
    pages = [Page(status=PageStatus.OFFLINE_PENDING) for _ in range(PAGES_MAX + 10)]
    host = a_host(*pages)
    host.free_pages = len(pages)
    bench = Bench(host)
    bench.docket = Docket(Caps(len(pages)), str(BOOT))
    in_line_for_it = in_line(State.SUSPENDING, guest="db", use=PageUse.PV, rung=Rung.EXCHANGE)
    await bench.settle(*(replace(in_line_for_it, id=c.id, mfn=c.mfn) for c in cases_of(host)))
    assert sorted(map(len, host.exchanged)) == [10, PAGES_MAX]


# Leaving


async def test_stopping_the_agent_brings_the_guest_back_first() -> None:
    host = a_host(Page())
    host.trouble["resume"] = [UNHEARD, UNHEARD, UNHEARD]
    bench = Bench(host)
    await bench.settle(*cases_of(host), until=lambda: "resume" in host.calls)
    assert host.stopped == []
    assert host.calls.count("resume") == 4


async def test_stopping_the_agent_brings_the_device_back_first() -> None:
    host = a_host(Page(), devices=("nic",))
    bench = Bench(host)
    await bench.settle(*cases_of(host), stop_at="detach")
    assert to_guests(host) == ["detach", "attach"]


async def test_even_while_stopping_a_guest_is_not_asked_for_in_a_storm() -> None:
    """A toolstack that is down for a tenth of a second is asked a few times, not thousands."""
    host = a_host(Page())
    bench = Bench(host, SLOWLY)
    host.trouble["resume"] = [UNHEARD] * 10_000
    asyncio.get_running_loop().call_later(0.2, host.trouble.clear)
    await bench.settle(*cases_of(host), until=lambda: "resume" in host.calls)
    assert host.stopped == []
    assert host.calls.count("resume") < 100


async def test_told_to_stop_the_agent_does_not_begin_another_rung() -> None:
    """The exchange failed and the guest is given back: to save it now would stop it again."""
    host = a_host(Page())
    host.trouble["exchange"] = [ToolOutcome.FAILED]
    await Bench(host).settle(*cases_of(host), stop_at="exchange")
    assert host.calls[-1] == "resume"


async def test_nor_with_a_device_detached_which_is_attached_instead() -> None:
    host = a_host(Page(), devices=("nic",))
    host.trouble["exchange"] = [ToolOutcome.FAILED]
    await Bench(host).settle(*cases_of(host), stop_at="exchange")
    assert to_guests(host) == ["detach", *EXCHANGE, "attach"]


async def test_told_to_stop_while_the_last_late_command_is_forgotten_the_agent_ends() -> None:
    host = a_host(Page(PageUse.FREE, None))
    late = Owed(Command.SUSPEND, owner=DomId(7), guest="db", since_ns=0)
    done = in_line(State.RETIRED, mfn=Mfn(FIRST + 1), owed=(late,))
    bench = Bench(host)
    await bench.settle(*cases_of(host), done, until=lambda: False, stop_at="domains")
    assert bench.docket.owing == ()


async def test_told_to_stop_the_agent_stops_no_guest_that_was_only_waiting_its_turn() -> None:
    host = a_host(Page())
    bench = Bench(host)
    cases = [in_line(State.SUSPENDING, n, id=f"c{n}", mfn=Mfn(n)) for n in range(1, 20)]
    host.pages = {n: Page(owner=n) for n in range(1, 20)}
    host.guests = {n: Domain(f"guest-{n}") for n in range(1, 20)}
    await bench.settle(*cases, stop_at="suspend")
    assert host.calls.count("suspend") <= bench.manners.cases_in_flight_max


async def test_with_its_log_broken_the_agent_still_starts_the_guest_again() -> None:
    host = a_host(Page(), devices=("nic",))
    host.guests[7] = replace(host.guests[7], state=DomainState.SUSPENDED, devices=set())
    bench = Bench(host)
    bench.docket.put(in_line(State.EXCHANGING, detached=("nic",), guest="db"))
    await bench.driver().release()
    assert (host.stopped, host.without_device) == ([], [])


async def test_with_its_log_broken_a_guest_that_may_be_on_disk_is_restored() -> None:
    host = a_host(Page())
    await host.save(DomId(7), "c1--7")
    bench = Bench(host)
    bench.docket.put(in_line(State.SAVING, begun=True, image="c1--7"))
    await bench.driver().release()
    assert host.stopped == []


async def test_on_its_way_out_the_agent_starts_no_guest_that_it_has_not_stopped() -> None:
    """A case was in line, and somebody stopped the guest meanwhile."""
    host = a_host(Page(status=PageStatus.OFFLINE_PENDING))
    bench = Bench(host)
    driver = bench.driver()
    await driver.recover()
    host.guests[7].state = DomainState.SUSPENDED
    bench.docket.put(in_line(State.SUSPENDING, guest="db"))
    await driver.release()
    assert host.stopped == ["db"]


# Bounds


async def test_guests_whose_toolstack_is_silent_keep_no_free_page_waiting() -> None:
    host = a_host()
    host.pages = {n: Page(owner=n) for n in range(1, 5)} | {99: Page(PageUse.FREE, None)}
    host.guests = {n: Domain(f"guest-{n}") for n in range(1, 5)}
    host.trouble["suspend"] = [UNHEARD] * 100_000
    bench = Bench(host, replace(quick(), cases_in_flight_max=2))

    def free_page_moved() -> bool:
        if bench.docket.at(Mfn(99)).state is State.RETIRED:
            host.trouble.clear()
        return bench.all_rest()

    await bench.settle(*cases_of(host), until=free_page_moved)
    assert host.stopped == []


async def test_a_toolstack_that_says_nothing_at_all_keeps_no_free_page_waiting() -> None:
    """Before a guest's page is helped the toolstack is asked about the guest."""

    class Deaf(Host):
        async def domains(self) -> DomainsReply:
            self.calls.append("domains")
            await asyncio.Event().wait()
            raise AssertionError

    host = Deaf({n: Page() for n in range(1, 5)} | {99: Page(PageUse.FREE, None)})
    bench = Bench(host, replace(quick(), cases_in_flight_max=2))
    driving = asyncio.create_task(bench.settle(*cases_of(host)))
    async with asyncio.timeout(5):
        while not host.is_offlined(99):
            await asyncio.sleep(0.001)
    assert host.calls.count("domains") == 2
    driving.cancel()
    await asyncio.wait([driving])


async def test_a_hypervisor_that_is_silent_is_not_asked_in_a_storm() -> None:
    host = a_host(Page(PageUse.FREE, None))
    bench = Bench(host, SLOWLY)
    host.trouble["query"] = [UNHEARD] * 10_000
    asyncio.get_running_loop().call_later(0.2, host.trouble.clear)
    await bench.settle(*cases_of(host))
    assert 1 < host.calls.count("query") < 100


async def test_no_more_commands_are_under_way_than_the_operator_allows() -> None:
    host = a_host(*(Page(PageUse.FREE, None) for _ in range(20)))
    await Bench(host, replace(quick(), cases_in_flight_max=3)).settle(*cases_of(host))
    assert host.most_at_once == 3


async def test_a_lost_answer_of_an_exchange_is_asked_for_again_with_the_guest_still_stopped() -> (
    None
):
    host = a_host(Page())
    host.trouble["exchange"] = [LOST]
    await settled(host)
    assert to_guests(host) == ["suspend", "exchange", "exchange", "resume"]


async def test_two_submissions_of_one_case_are_one() -> None:
    host = a_host(Page(PageUse.FREE, None))
    bench = Bench(host)
    (case,) = cases_of(host)
    await bench.settle(case, case)
    assert host.commands == ["offline"]


# Recalled


async def recalled_at(call: str, host: Host) -> Bench:
    """Its pages are recalled at the moment at which that call is made."""
    bench = Bench(host)
    host.when[call] = lambda: bench.recall(Mfn(FIRST))
    await bench.settle(*cases_of(host))
    return bench


@pytest.mark.parametrize("call", ["query", "offline", "suspend", "exchange", "resume"])
async def test_a_recalled_page_is_back_in_use_and_its_guest_runs(call: str) -> None:
    """However far the stop was: it goes to its end first."""
    bench = await recalled_at(call, host := a_host(Page()))
    assert bench.rests == {State.RETURNED}
    assert (host.pages[FIRST].status, host.stopped) == (PageStatus.ONLINE, [])


async def test_a_page_that_is_recalled_in_time_costs_its_guest_nothing() -> None:
    assert to_guests((await recalled_at("offline", a_host(Page()))).host) == ["online"]


async def test_a_page_is_recalled_from_a_stop_without_the_others() -> None:
    host = a_host(Page(), Page())
    bench = await recalled_at("domains", host)
    assert sorted(case.state for case in bench.docket.cases) == [State.RETIRED, State.RETURNED]
    assert host.exchanged == [(FIRST + 1,)]


async def test_a_guest_has_its_device_when_its_page_is_back() -> None:
    bench = await recalled_at("detach", host := a_host(Page(), devices=("nic",)))
    assert (bench.rests, host.without_device) == ({State.RETURNED}, [])


async def test_a_broken_page_is_never_brought_back() -> None:
    host = a_host(Page(PageUse.FREE, None))
    bench = await settled(host)
    host.pages[FIRST].is_broken = True
    await bench.live_again(Mfn(FIRST))
    assert "online" not in host.calls
    assert rest_of(bench) == [(State.RETIRED, Reason.BROKEN)]


async def test_a_page_that_is_in_use_already_is_not_asked_for() -> None:
    """Xen 4.17 hands a page out twice that it was asked to bring back once too often."""
    host = a_host(Page(PageUse.FREE, None))
    bench = await settled(host)
    host.pages[FIRST].status = PageStatus.ONLINE
    await bench.live_again(Mfn(FIRST))
    assert "online" not in host.calls
    assert bench.rests == {State.RETURNED}


async def test_a_parked_page_is_not_commanded_by_two_at_once() -> None:
    """While it is looked at, it is recalled: the answer must not mark it after it is back."""
    host = a_host(Page(PageUse.DOM0, 0))
    bench = await settled(host)
    assert bench.rests == {State.PARKED}
    host.when["offline"] = lambda: bench.recall(Mfn(FIRST))
    await bench.settle(until=lambda: bench.docket.cases[0].state is State.RETURNED)
    assert host.pages[FIRST].status is PageStatus.ONLINE


async def taken_late(bench: Bench) -> None:
    """Its page is asked for, and recalled before the call that nobody answers is carried out."""
    host = bench.host
    host.trouble["offline"] = [LATE, ToolOutcome.TRY_AGAIN]
    host.when["offline"] = lambda: bench.recall(Mfn(FIRST))
    await bench.settle(*cases_of(host))
    assert bench.rests == {State.RETURNED}
    assert host.still_to_come == 1


async def until_late(bench: Bench) -> None:
    """Until nothing can come late any more, and all is at rest."""
    await bench.settle(until=bench.all_settled)


async def test_a_page_that_is_taken_late_is_given_back_once_more() -> None:
    bench = Bench(host := a_host(Page(PageUse.FREE, None)))
    await taken_late(bench)
    await until_late(bench)
    assert host.pages[FIRST].status is PageStatus.ONLINE
    assert [case.state for case in bench.docket.cases] == [State.RETURNED]


async def test_so_it_is_in_the_next_life() -> None:
    bench = Bench(host := a_host(Page(PageUse.FREE, None)))
    await taken_late(bench)
    await bench.live_again(until=bench.all_settled)
    assert host.pages[FIRST].status is PageStatus.ONLINE


async def test_what_an_earlier_life_has_asked_for_may_come_late() -> None:
    """The power went off before anybody could write down that there was no answer."""
    bench = Bench(host := a_host(Page(PageUse.FREE, None)))
    bench.log.commits.append(cases_of(host))
    host.when["query"] = lambda: host.come_late(lambda: host.mark(FIRST))
    await bench.live_again(Mfn(FIRST), until=bench.all_rest)
    assert bench.rests == {State.RETURNED}
    await until_late(bench)
    assert host.pages[FIRST].status is PageStatus.ONLINE


async def test_a_broken_page_is_left_alone_though_it_was_taken_late() -> None:
    bench = Bench(host := a_host(Page(PageUse.FREE, None)))
    await taken_late(bench)
    host.pages[FIRST].is_broken = True
    await until_late(bench)
    assert "online" not in host.commands
    assert [case.state for case in bench.docket.cases] == [State.RETURNED]


async def test_what_others_take_when_nothing_can_come_late_any_more_is_theirs() -> None:
    bench = Bench(host := a_host(Page(PageUse.FREE, None)))
    await taken_late(bench)
    await until_late(bench)
    host.mark(FIRST)
    looks = iter(range(50))
    await bench.settle(until=lambda: next(looks, None) is None)
    assert host.is_offlined(FIRST)


# Behind the agent's back


async def test_a_retired_page_that_is_back_in_use_is_asked_for_once_more() -> None:
    """Somebody brought it back with another tool, or an online came late."""
    bench = await settled(host := a_host(Page(PageUse.FREE, None)))
    host.pages[FIRST].status = PageStatus.ONLINE
    await bench.settle(until=lambda: host.is_offlined(FIRST) and bench.all_rest())
    assert bench.rests == {State.RETIRED}


async def test_that_somebody_brings_it_back_again_and_again_is_told() -> None:
    bench = await settled(host := a_host(Page(PageUse.FREE, None)))

    def brought_back() -> bool:
        if bench.docket.cases[0].state is State.RETIRED:
            host.pages[FIRST].status = PageStatus.ONLINE
        return Reason.COMES_BACK in {case.reason for case in bench.log.saved}

    await bench.settle(until=brought_back)


async def test_a_page_that_others_had_taken_is_theirs_to_bring_back() -> None:
    bench = await settled(host := a_host(Page(PageUse.FREE, None)))
    bench.docket.put(replace(bench.docket.cases[0], origin=Origin.FOUND))
    host.pages[FIRST].status = PageStatus.ONLINE
    await bench.settle(until=lambda: bench.docket.cases[0].state is State.RETURNED)
    assert not host.is_offlined(FIRST)


async def test_after_a_reboot_that_nobody_has_noticed_yet_retired_pages_are_left_alone() -> None:
    """They may lie on another DIMM now."""
    bench = await settled(host := a_host(Page(PageUse.FREE, None)))
    host.pages[FIRST].status, host.boot = PageStatus.ONLINE, UUID(int=5)
    looks = iter(range(50))
    await bench.settle(until=lambda: next(looks, None) is None)
    assert rest_of(bench) == [(State.RETIRED, None)]
    assert not host.is_offlined(FIRST)


async def test_retired_pages_are_looked_at_together_and_not_in_every_round() -> None:
    bench = await settled(host := a_host(*(Page(PageUse.FREE, None) for _ in range(3))))
    bench.manners = replace(bench.manners, audit_seconds=3600.0)
    asked = host.calls.count("query")
    looks = iter(range(50))
    await bench.settle(until=lambda: next(looks, None) is None)
    assert host.calls.count("query") == asked + 1


async def test_a_guest_that_was_saved_late_is_back_before_its_device_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The save came after the one that was to follow it had failed, and before the migration."""
    monkeypatch.setattr(host_module, "LATE_SECONDS", 0.003)
    host = a_host(Page(PageUse.HVM, mappers=(9,)), devices=("nic",))
    host.trouble = {"save": [LATE, ToolOutcome.FAILED], "migrate": [UNHEARD] * 3}
    bench = Bench(host, quick(Terms(migrate_to=HERE)))
    await bench.settle(*cases_of(host), until=bench.all_settled)
    assert (host.stopped, host.without_device) == ([], [])
