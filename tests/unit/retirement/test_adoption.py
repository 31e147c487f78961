"""Adoption: marks that no case is about are found, counted and watched; no guest is touched."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import pytest

from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import HostReply, Interleave, PageStatus, PageUse
from agent.events import CaseOpened, MarksUnlisted
from agent.retirement import adoption as adoption_module
from agent.retirement.adoption import Adoption
from agent.retirement.case import Case, Origin
from agent.retirement.driver import Driver
from agent.retirement.reason import Reason
from agent.retirement.states import State
from tests.support.cases import BOOT, MFN, a_case
from tests.support.driving import Bench, now_ns
from tests.support.host import FIRST, UNHEARD, UNLISTED, Page, a_host

PENDING, OFFLINED = PageStatus.OFFLINE_PENDING, PageStatus.OFFLINED
HOST = HostReply(
    host="h",
    boot_id=BOOT,
    frames=1 << 20,
    personality="thread",
    interleave=Interleave(dimms=("A", "B")),
)


def pending(**changes: object) -> Page:
    return replace(Page(status=PENDING), **changes)  # type: ignore[arg-type] # fields, checked at run time


def adoption(bench: Bench, driver: Driver | None = None) -> Adoption:
    driver = driver or bench.driver()
    return Adoption(bench.host, driver, bench.docket, bench.log, HOST, bench.events.append, now_ns)


async def adopted(*pages: Page) -> tuple[Bench, Case]:
    """The case of the last of these pages, when what is marked has been seen once."""
    bench = Bench(a_host(*pages))
    await adoption(bench).once()
    return bench, bench.docket.at(Mfn(FIRST + len(pages) - 1))


async def test_a_page_that_others_have_marked_is_watched_and_its_guest_left_alone() -> None:
    bench, case = await adopted(pending())
    assert (case.state, case.origin, case.owner) == (State.FOUND, Origin.FOUND, DomId(7))
    assert case.reason is Reason.FOUND_MARKED
    assert bench.host.commands == ["marked"]


async def test_a_page_that_others_have_taken_out_is_retired_once_it_is_read_back() -> None:
    bench, case = await adopted(Page(use=PageUse.FREE, owner=None, status=OFFLINED))
    assert case.state is State.RETIRED
    assert bench.host.calls == ["marked", "query"]


async def test_a_page_that_is_not_marked_gets_no_case() -> None:
    bench = Bench(a_host(Page(), pending()))
    await adoption(bench).once()
    assert [case.mfn for case in bench.docket.cases] == [FIRST + 1]


async def test_a_page_with_a_case_keeps_it() -> None:
    bench = Bench(a_host(pending()))
    bench.docket.put(a_case(State.PARKED, mfn=MFN))
    await adoption(bench).once()
    assert [case.id for case in bench.docket.cases] == ["c1"]


async def test_a_page_that_a_late_call_may_have_marked_is_nobody_elses() -> None:
    """Taken for theirs, it would never come back."""
    bench = Bench(a_host(pending()))
    given_back = a_case(State.RETURNED, mfn=MFN, boot=str(BOOT), unheard_ns=now_ns())
    bench.docket.put(given_back)
    await adoption(bench).once()
    assert bench.docket.at(MFN) is given_back


async def test_it_is_written_down_before_it_is_told() -> None:
    bench, case = await adopted(pending())
    (opened,) = [event.case for event in bench.events if isinstance(event, CaseOpened)]
    assert bench.log.commits[0] == (opened,)
    assert opened.id == case.id


async def test_it_knows_its_dimm_where_the_host_says_where_they_lie() -> None:
    _, case = await adopted(Page(), pending())
    assert case.dimm == "AB"[case.mfn % 2]


async def test_a_broken_page_is_the_hypervisors_own_and_gets_no_case() -> None:
    bench = Bench(a_host(pending(is_broken=True), pending()))
    await adoption(bench).once()
    assert [case.mfn for case in bench.docket.cases] == [FIRST + 1]


async def test_however_many_there_are_all_are_seen() -> None:
    bench = Bench(a_host(*(pending() for _ in range(5))))
    bench.host.listed_max = 2
    await adoption(bench).once()
    assert len(bench.docket.cases) == 5


async def test_while_nobody_answers_it_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adoption_module, "AGAIN_SECONDS", 0.001)
    bench = Bench(a_host(pending()))
    bench.host.trouble["marked"] = [UNHEARD, UNHEARD]
    seeing = adoption(bench)
    await seeing.once()
    assert not bench.docket.cases
    async with asyncio.timeout(5):
        await seeing.run()
    assert len(bench.docket.cases) == 1


async def test_a_hypervisor_without_a_list_is_told_of_and_not_asked_again() -> None:
    bench = Bench(a_host(pending()))
    bench.host.trouble["marked"] = [UNLISTED]
    seeing = adoption(bench)
    await seeing.once()
    async with asyncio.timeout(5):
        await seeing.run()
    assert bench.events == [MarksUnlisted("marked: this host keeps no list of that")]
    assert bench.host.calls == ["marked"]


async def test_a_list_that_leads_back_is_not_followed_for_ever() -> None:
    bench = Bench(a_host(pending(), pending()))
    bench.host.listed_max = 0
    async with asyncio.timeout(5):
        await adoption(bench).once()
    assert [type(event) for event in bench.events] == [MarksUnlisted]


# What becomes of it


async def watched(bench: Bench, until: Iterable[State]) -> Case:
    """The adopted case, when a driver that does nothing but watch has taken it there."""
    wanted = {*until}

    def is_there() -> bool:
        return {case.state for case in bench.docket.cases} <= wanted

    await bench.settle(until=is_there)
    return bench.docket.at(MFN)


async def test_it_is_retired_when_whoever_has_it_lets_go_of_it() -> None:
    bench, _ = await adopted(pending())
    bench.host.destroy(7)
    case = await watched(bench, {State.RETIRED})
    assert (case.state, bench.host.commands) == (State.RETIRED, ["marked"])


async def test_it_is_closed_when_somebody_brings_it_back_and_not_asked_for_again() -> None:
    bench, _ = await adopted(pending())
    bench.host.pages[FIRST].status = PageStatus.ONLINE
    case = await watched(bench, {State.RETURNED})
    assert (case.state, case.reason) == (State.RETURNED, Reason.NOT_OFFLINE_PENDING)
    assert bench.host.commands == ["marked"]


async def test_who_only_observes_looks_at_it_too() -> None:
    bench, _ = await adopted(pending())
    bench.manners = replace(bench.manners, observes=True)
    bench.host.destroy(7)
    assert (await watched(bench, {State.RETIRED})).state is State.RETIRED


async def test_an_operator_may_bring_it_back() -> None:
    bench, case = await adopted(pending())

    def recall_once() -> bool:
        if not bench.docket.is_recalled(case.mfn) and bench.docket.at(MFN).state is State.FOUND:
            bench.recall(case.mfn)
        return bench.docket.at(MFN).state is State.RETURNED

    await bench.settle(until=recall_once)
    assert bench.host.pages[FIRST].status is PageStatus.ONLINE
