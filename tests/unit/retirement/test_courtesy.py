"""The driver's manners: whom it leaves running, what it only looks at, what it asks for first."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import time

import pytest

from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PAGES_MAX, PageStatus, PageUse
from agent.contract.toolstack import DomainState
from agent.events import CapReached, CaseMoved
from agent.retirement.caps import HOUR_NS, Caps, StopCaps
from agent.retirement.docket import Docket
from agent.retirement.ladder import Rung
from agent.retirement.reason import Reason
from agent.retirement.states import State
from agent.retirement.windows import Window
from tests.support.cases import BOOT, a_case
from tests.support.driving import Bench, cases_of, in_line, quick
from tests.support.host import FIRST, UNHEARD, Host, Page, a_host

EXCHANGE = ["suspend", "exchange", "resume"]
ONCE = StopCaps(pauses_per_hour_max=1)
FROM_ONE = StopCaps(windows=(Window(time(1), time(2)),))


@dataclass(slots=True)
class Clock:
    """Stands still until somebody sets it. It begins at midnight."""

    now_ns: int = 0

    def __call__(self) -> int:
        return self.now_ns


def a_bench(host: Host, **manners: object) -> Bench:
    return Bench(host, replace(quick(), **manners), clock=Clock())  # type: ignore[arg-type] # names of fields


def to_guests(host: Host) -> list[str]:
    return [call for call in host.commands if call not in {"offline", "host"}]


def states(bench: Bench) -> list[State]:
    return [case.state for case in bench.docket.cases]


def once(bench: Bench, state: State, do: Callable[[], None]) -> Callable[[], bool]:
    """Does something when all cases are there; true when all are retired."""

    def look() -> bool:
        if set(states(bench)) == {state}:
            do()
        return set(states(bench)) == {State.RETIRED}

    return look


def an_hour_later(bench: Bench) -> Callable[[], None]:
    return lambda: setattr(bench.clock, "now_ns", HOUR_NS)


# Who is stopped


async def test_a_guest_that_was_stopped_as_often_as_may_be_is_left_running() -> None:
    host = a_host(Page(), Page())
    bench = a_bench(host, stops=ONCE)
    first, second = cases_of(host)
    await bench.settle(first)
    await bench.settle(second)
    assert to_guests(host) == EXCHANGE
    assert states(bench) == [State.RETIRED, State.POSTPONED]
    assert bench.docket.at(second.mfn).reason is Reason.PAUSES_CAP
    assert CapReached(Reason.PAUSES_CAP) in bench.events


async def test_it_is_stopped_once_for_all_its_postponed_pages_when_there_is_room() -> None:
    host = a_host(Page(), Page(), Page())
    bench = a_bench(host, stops=ONCE)
    first, *others = cases_of(host)
    await bench.settle(first)
    await bench.settle(*others)
    an_hour_later(bench)()
    await bench.settle(until=lambda: set(states(bench)) == {State.RETIRED})
    assert to_guests(host) == EXCHANGE * 2
    assert host.exchanged == [(FIRST,), (FIRST + 1, FIRST + 2)]


async def test_how_often_a_guest_was_stopped_survives_a_restart() -> None:
    host = a_host(Page(), Page())
    bench = a_bench(host, stops=ONCE)
    first, second = cases_of(host)
    await bench.settle(first)
    bench.log.commits.append((second,))
    await bench.live_again()
    assert to_guests(host) == EXCHANGE
    assert states(bench) == [State.RETIRED, State.POSTPONED]


async def test_a_restart_stops_no_guest_whose_stop_was_postponed() -> None:
    host = a_host(Page())
    bench = a_bench(host, stops=FROM_ONE)
    await bench.settle(*cases_of(host))
    await bench.live_again()
    assert to_guests(host) == []


async def test_told_to_stop_at_its_start_it_starts_no_guest_that_it_has_not_stopped() -> None:
    """It has just asked for the page; somebody else stopped the guest."""
    host = a_host(Page())
    host.guests[7].state = DomainState.SUSPENDED
    bench = a_bench(host)
    bench.docket.put(replace(cases_of(host)[0], boot=str(BOOT)))
    driver = bench.driver()

    await driver._take_at_once(bench.docket.unfinished)
    await driver.release()
    assert (states(bench), host.stopped) == ([State.SUSPENDING], ["db"])


async def test_outside_the_windows_only_what_needs_no_stop_goes_on() -> None:
    host = a_host(Page(PageUse.FREE, None), Page(PageUse.HVM), Page())
    bench = a_bench(host, stops=FROM_ONE)
    await bench.settle(*cases_of(host))
    assert to_guests(host) == ["swap"]
    assert states(bench) == [State.RETIRED, State.RETIRED, State.POSTPONED]
    assert bench.docket.at(Mfn(FIRST + 2)).reason is Reason.OUTSIDE_WINDOWS


async def test_a_stop_waits_for_its_window_and_then_is_made() -> None:
    host = a_host(Page())
    bench = a_bench(host, stops=FROM_ONE)
    await bench.settle(*cases_of(host), until=once(bench, State.POSTPONED, an_hour_later(bench)))
    assert to_guests(host) == EXCHANGE


async def test_no_device_is_taken_for_a_stop_that_may_not_be() -> None:
    host = a_host(Page(), devices=("nic",))
    bench = a_bench(host, stops=FROM_ONE)
    await bench.settle(*cases_of(host))
    assert to_guests(host) == []


async def test_a_device_is_taken_for_a_swap_at_any_time() -> None:
    host = a_host(Page(PageUse.HVM), devices=("nic",))
    bench = a_bench(host, stops=FROM_ONE)
    await bench.settle(*cases_of(host))
    assert to_guests(host) == ["detach", "swap", "attach"]


async def test_a_postponed_page_that_its_guest_gives_up_is_retired_without_a_stop() -> None:
    host = a_host(Page())
    bench = a_bench(host, stops=FROM_ONE)

    def freed() -> None:
        host.pages[FIRST] = Page(PageUse.FREE, None, PageStatus.OFFLINED)
        an_hour_later(bench)()

    await bench.settle(*cases_of(host), until=once(bench, State.POSTPONED, freed))
    assert to_guests(host) == []


async def test_a_postponed_page_is_not_looked_at_before_its_time() -> None:
    host = a_host(Page())
    bench = a_bench(host, stops=FROM_ONE, watch_seconds=0.001)
    await bench.settle(*cases_of(host))
    host.calls.clear()
    looks = iter(range(20))
    await bench.settle(until=lambda: next(looks, None) is None)
    assert host.calls == []


# What is only looked at


async def test_who_observes_asks_what_a_page_is_used_for_and_nothing_else() -> None:
    host = a_host(Page(PageUse.FREE, None), Page(PageUse.HVM), Page())
    bench = a_bench(host, observes=True)
    await bench.settle(*cases_of(host))
    assert set(host.calls) == {"query", "domains"}
    assert [case.detail for case in bench.docket.cases] == [
        "free: at once",
        "hvm: swap first",
        "pv: exchange first",
    ]
    moves = [event for event in bench.events if isinstance(event, CaseMoved)]
    assert [move.case.state for move in moves] == [State.OBSERVED] * 3


async def test_what_was_observed_is_taken_up_when_it_is_to_be_enforced() -> None:
    host = a_host(Page(PageUse.FREE, None), Page(PageUse.HVM), Page())
    bench = a_bench(host, observes=True)
    await bench.settle(*cases_of(host))
    bench.manners = replace(bench.manners, observes=False)
    await bench.live_again()
    assert set(states(bench)) == {State.RETIRED}


async def test_who_observes_brings_a_guest_back_that_was_stopped_and_stops_it_no_more() -> None:
    host = a_host(Page(status=PageStatus.OFFLINE_PENDING), Page(status=PageStatus.OFFLINE_PENDING))
    await host.suspend(DomId(7))
    host.calls.clear()
    bench = a_bench(host, observes=True)
    stopped = in_line(
        State.RESUMING, use=PageUse.PV, guest="db", boot=str(BOOT), rungs=(Rung.SAVE_RESTORE,)
    )
    parked = a_case(State.PARKED, id="c2", mfn=Mfn(FIRST + 1), boot=str(BOOT))
    bench.log.commits.append((stopped, parked))
    await bench.live_again()
    assert to_guests(host) == ["resume"]
    assert [case.detail for case in bench.docket.cases] == ["pv: exchange first", ""]


# After a reboot of the host


def rebooted(host: Host, **manners: object) -> Bench:
    """The bench of a life that finds its pages retired in an earlier boot."""
    bench = a_bench(host, **manners)
    bench.docket = Docket(Caps(10_000), str(BOOT))
    retired = [replace(case, state=State.RETIRED, boot="first") for case in cases_of(host)]
    bench.docket.restore(retired, now_ns=9)
    return bench


async def test_a_thousand_pages_are_taken_again_in_three_calls_and_two_commits() -> None:
    """The guests of the host are booting meanwhile, and each takes what is free."""
    host = a_host(*(Page(PageUse.FREE, None) for _ in range(1000)))
    bench = rebooted(host)
    await bench.driver().recover()
    assert host.calls == ["query", "offline", "query", "domains"]
    assert len(bench.log.commits) == 2
    assert set(states(bench)) == {State.RETIRED}


async def test_no_call_names_more_pages_than_one_may() -> None:
    host = a_host(*(Page(PageUse.FREE, None) for _ in range(PAGES_MAX + 1)))
    bench = rebooted(host)
    await bench.driver().recover()
    assert host.calls == ["query", "offline"] * 2 + ["query"] * 2 + ["domains"]


async def test_one_page_that_is_refused_spoils_the_call_for_the_others_once() -> None:
    host = a_host(Page(PageUse.FREE, None), Page(PageUse.DOM0, 0), Page(PageUse.FREE, None))
    bench = rebooted(host)
    await bench.driver().recover()
    assert states(bench) == [State.RETIRED, State.PARKED, State.RETIRED]


async def test_a_broken_page_among_them_is_not_asked_for() -> None:
    host = a_host(Page(PageUse.FREE, None, is_broken=True), Page(PageUse.FREE, None))
    bench = rebooted(host)
    await bench.driver().recover()
    assert host.harm == []
    assert states(bench) == [State.PARKED, State.RETIRED]


async def test_pages_are_taken_before_a_guest_is_restored_onto_them() -> None:
    host = a_host(Page(PageUse.FREE, None), Page(status=PageStatus.OFFLINE_PENDING))
    await host.save(DomId(7), "c2--7")
    host.calls.clear()
    bench = rebooted(host)
    second = replace(cases_of(host)[1], state=State.RESTORING, image="c2--7", guest="db")
    bench.docket.put(replace(second, boot=str(BOOT)))
    await bench.driver().recover()
    assert host.calls.index("offline") < host.calls.index("restore")


@pytest.mark.parametrize("pages", [2 * PAGES_MAX])
async def test_a_hypervisor_that_does_not_answer_is_asked_once_and_then_the_usual_way(
    pages: int,
) -> None:
    host = a_host(*(Page(PageUse.FREE, None) for _ in range(pages)))
    host.trouble["query"] = [UNHEARD]
    await rebooted(host).driver().recover()
    assert host.calls == ["query", "domains"]
