"""The driver: every rung to its end, each step failing, the agent stopped in between."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count

import pytest

from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PageStatus, PageUse
from agent.contract.toolstack import ToolOutcome
from agent.events import CaseMoved, Event, GuestPaused
from agent.retirement.acts import Acts
from agent.retirement.caps import Caps
from agent.retirement.case import Case, State
from agent.retirement.docket import Docket
from agent.retirement.driver import Driver, Manners
from tests.support.cases import FakeHost, ListLog, a_case

QUICK = Manners(retry_seconds_first=0.001, retry_seconds_max=0.002, watch_seconds=0.01)


@dataclass(slots=True)
class Bench:
    """A driver with everything around it faked."""

    host: FakeHost
    manners: Manners = QUICK
    log: ListLog = field(default_factory=ListLog)
    docket: Docket = field(default_factory=lambda: Docket(Caps(100)))
    events: list[Event] = field(default_factory=list[Event])

    def driver(self) -> Driver:
        ticks = count(1)
        return Driver(
            Acts(self.host, self.host),
            self.log,
            self.docket,
            self.events.append,
            lambda: next(ticks),
            self.manners,
        )

    async def settle(
        self, *cases: Case, until: Callable[[], bool] | None = None, stop_at: str = ""
    ) -> None:
        """Drive `cases` until all of them rest (or `until` is true), then stop.

        With `stop_at`, the driver is told to stop at that very call.
        """
        driver = self.driver()
        if stop_at:
            self.host.when[stop_at] = driver.stop
        for case in cases:
            self.docket.put(case)
            driver.submit(case)
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            running = group.create_task(driver.run())
            while not (running.done() or (until or self._all_rest)()):
                await asyncio.sleep(0.001)
            driver.stop()

    def _all_rest(self) -> bool:
        return all(case.state.is_at_rest for case in self.docket.cases)


async def test_a_free_page_takes_one_call_and_a_look() -> None:
    bench = Bench(FakeHost(use=PageUse.FREE))
    await bench.settle(a_case())
    assert bench.host.calls == ["offline", "query"]
    assert bench.log.states == [State.CONFIRMING, State.RETIRED]


async def test_an_hvm_guest_is_never_stopped_when_the_swap_works() -> None:
    bench = Bench(FakeHost(use=PageUse.HVM))
    await bench.settle(a_case())
    assert bench.host.calls == ["offline", "swap", "query"]
    assert not [event for event in bench.events if isinstance(event, GuestPaused)]


async def test_a_pv_guest_is_stopped_once_and_its_pause_is_told() -> None:
    bench = Bench(FakeHost(use=PageUse.PV))
    await bench.settle(a_case())
    assert bench.host.calls == ["offline", "suspend", "exchange", "resume", "query"]
    assert [e.seconds for e in bench.events if isinstance(e, GuestPaused)] == [0.25]


async def test_a_failed_exchange_is_followed_by_save_and_restore() -> None:
    bench = Bench(FakeHost(trouble={"exchange": [ToolOutcome.FAILED]}))
    await bench.settle(a_case())
    assert bench.host.calls == [
        *["offline", "suspend", "exchange", "resume"],
        *["save", "restore", "query"],
    ]
    assert bench.docket.counts()["retired"] == 1


async def test_every_state_is_written_down_before_its_command_is_given() -> None:
    """The log names the command; otherwise a power cut after it would leave no trace of it."""
    host = FakeHost()
    bench = Bench(host)
    written: list[tuple[str, State]] = []

    class SpyLog(ListLog):
        async def save(self, case: Case) -> None:
            written.append((host.calls[-1], case.state))

    bench.log = SpyLog()
    await bench.settle(a_case())
    assert ("offline", State.SUSPENDING) in written
    assert ("suspend", State.EXCHANGING) in written
    assert ("exchange", State.RESUMING) in written


CALLS_OF_A_PV_PAGE = ["offline", "suspend", "exchange", "resume", "save", "restore", "query"]


@pytest.mark.parametrize("call", CALLS_OF_A_PV_PAGE)
@pytest.mark.parametrize("trouble", ["silence", *(t for t in ToolOutcome)])
async def test_whatever_one_step_answers_the_guest_runs_in_the_end(
    call: str, trouble: ToolOutcome | str
) -> None:
    """Each step failing, in each way, once; `save` is reached by failing the exchange too."""
    plan: dict[str, list[ToolOutcome | str]] = {call: [trouble]}
    if call in {"save", "restore"}:
        plan["exchange"] = [ToolOutcome.FAILED]
    bench = Bench(FakeHost(trouble=plan))
    await bench.settle(a_case())
    assert not bench.host.suspended


@pytest.mark.parametrize("state", [s for s in State if s.stops_guest and s is not State.RESTORING])
async def test_what_was_cut_off_with_a_guest_stopped_is_picked_up_there(state: State) -> None:
    """Power cut in each state: on the next start the guest runs before anything else is done."""
    bench = Bench(FakeHost(suspended=True, status=PageStatus.OFFLINE_PENDING))
    bench.docket.put(a_case(state, owner=DomId(7), use=PageUse.PV))
    await bench.driver().recover()
    assert not bench.host.suspended


async def test_a_guest_on_disk_is_restored_before_anything_else() -> None:
    host = FakeHost(suspended=True, status=PageStatus.OFFLINED, images={"c1"})
    bench = Bench(host)
    bench.docket.put(a_case(State.RESTORING, owner=DomId(7)))
    await bench.driver().recover()
    assert host.calls == ["restore"]
    assert not host.suspended


async def test_stopping_the_agent_brings_the_guest_back_first() -> None:
    host = FakeHost(trouble={"resume": ["silence", "silence", "silence"]})
    bench = Bench(host)
    await bench.settle(a_case(), until=lambda: "resume" in host.calls)
    assert not host.suspended
    assert host.calls.count("resume") == 4


async def test_even_while_stopping_a_guest_is_not_asked_for_in_a_storm() -> None:
    """A toolstack that is down for a tenth of a second is asked a few times, not thousands."""
    host = FakeHost()
    bench = Bench(host, Manners(retry_seconds_first=0.01, retry_seconds_max=0.01))
    host.trouble["resume"] = ["silence"] * 10_000
    asyncio.get_running_loop().call_later(0.2, host.trouble.clear)
    await bench.settle(a_case(), until=lambda: "resume" in host.calls)
    assert not host.suspended
    assert host.calls.count("resume") < 100


async def test_a_parked_page_is_asked_for_again_and_retired_once_it_is_freed() -> None:
    host = FakeHost(use=PageUse.UNKNOWN)
    bench = Bench(host)

    def let_go_once_parked() -> bool:
        (case,) = bench.docket.cases
        if case.state is State.PARKED:
            host.status = PageStatus.OFFLINED
        return case.state is State.RETIRED

    await bench.settle(a_case(), until=let_go_once_parked)
    assert bench.log.states[-2:] == [State.CONFIRMING, State.RETIRED]


async def test_two_cases_of_one_guest_never_stop_it_at_the_same_time() -> None:
    host = FakeHost()
    bench = Bench(host)
    first = a_case(State.SUSPENDING, owner=DomId(7), use=PageUse.PV)
    await bench.settle(first, replace(first, id="c2", mfn=Mfn(0x5678)))
    stops = [call for call in host.calls if call in {"suspend", "resume"}]
    assert stops == ["suspend", "resume", "suspend", "resume"]


async def test_moves_are_told_in_order() -> None:
    bench = Bench(FakeHost(use=PageUse.FREE))
    await bench.settle(a_case())
    moves = [(e.before, e.case.state) for e in bench.events if isinstance(e, CaseMoved)]
    assert moves == [
        (State.OPEN, State.CONFIRMING),
        (State.CONFIRMING, State.RETIRED),
    ]


@pytest.mark.parametrize(
    "plan",
    [
        {"suspend": ["silence", ToolOutcome.REFUSED]},
        {"exchange": [ToolOutcome.FAILED], "save": ["silence", ToolOutcome.NO_SUCH_DOMAIN]},
        {"exchange": [ToolOutcome.FAILED], "save": ["silence", ToolOutcome.REFUSED]},
        {"exchange": ["silence", ToolOutcome.REFUSED]},
    ],
)
async def test_a_lost_answer_followed_by_a_refusal_leaves_no_guest_stopped(
    plan: dict[str, list[ToolOutcome | str]],
) -> None:
    """The first try was carried out; the second is refused for that very reason."""
    bench = Bench(FakeHost(trouble=plan))
    await bench.settle(a_case())
    assert not bench.host.suspended


async def test_told_to_stop_the_agent_does_not_begin_another_rung() -> None:
    """The exchange failed and the guest is given back: to save it now would stop it again."""
    host = FakeHost(trouble={"exchange": [ToolOutcome.FAILED]})
    bench = Bench(host)
    await bench.settle(a_case(), stop_at="exchange")
    assert host.calls[-1] == "resume"


async def test_told_to_stop_the_agent_stops_no_guest_that_was_only_waiting_its_turn() -> None:
    host = FakeHost()
    bench = Bench(host)
    first = a_case(State.SUSPENDING, owner=DomId(7), use=PageUse.PV)
    cases = [replace(first, id=f"c{n}", mfn=Mfn(n)) for n in range(1, 5)]
    await bench.settle(*cases, stop_at="suspend")
    assert host.calls.count("suspend") == 1


async def test_guests_whose_toolstack_is_silent_keep_no_free_page_waiting() -> None:
    host = FakeHost()
    host.trouble["suspend"] = ["silence"] * 100_000
    bench = Bench(host, replace(QUICK, cases_in_flight_max=2))
    stuck = a_case(State.SUSPENDING, use=PageUse.PV)
    held = [replace(stuck, id=f"c{n}", mfn=Mfn(n), owner=DomId(n)) for n in range(1, 5)]
    free = a_case(id="free", mfn=Mfn(99))

    def free_page_moved() -> bool:
        moved = bench.docket.find("free")
        if moved is not None and moved.state is not State.OPEN:
            host.trouble.clear()
        return not host.trouble and all(c.state.is_at_rest for c in bench.docket.cases)

    await bench.settle(*held, free, until=free_page_moved)
    assert not host.suspended


async def test_with_its_log_broken_the_agent_still_starts_the_guest_again() -> None:
    host = FakeHost(suspended=True)
    bench = Bench(host)
    bench.docket.put(a_case(State.EXCHANGING, owner=DomId(7)))
    await bench.driver().release()
    assert (host.calls, host.suspended) == (["resume"], False)


async def test_with_its_log_broken_a_guest_that_may_be_on_disk_is_restored() -> None:
    host = FakeHost(suspended=True, images={"c1"})
    bench = Bench(host)
    bench.docket.put(a_case(State.SAVING, owner=DomId(7)))
    await bench.driver().release()
    assert (host.calls, host.suspended) == (["restore"], False)


async def test_a_hypervisor_that_is_silent_is_not_asked_in_a_storm() -> None:
    host = FakeHost(use=PageUse.FREE)
    bench = Bench(host, Manners(retry_seconds_first=0.01, retry_seconds_max=0.01))
    host.trouble["offline"] = ["silence"] * 10_000
    asyncio.get_running_loop().call_later(0.2, host.trouble.clear)
    await bench.settle(a_case())
    assert 1 < host.calls.count("offline") < 100


async def test_no_more_commands_are_under_way_than_the_operator_allows() -> None:
    host = FakeHost(use=PageUse.FREE)
    bench = Bench(host, replace(QUICK, cases_in_flight_max=3))
    await bench.settle(*(a_case(id=f"c{n}", mfn=Mfn(n)) for n in range(1, 20)))
    assert host.most_at_once == 3
