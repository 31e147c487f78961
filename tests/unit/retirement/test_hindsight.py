"""Closed cases, looked at again: what becomes of them is in `test_driver.py`."""

from dataclasses import replace
from uuid import UUID

from agent.contract.hypercall import PageStatus, PageUse
from agent.retirement.hindsight import Hindsight
from agent.retirement.states import State
from agent.retirement.steps import Steps
from tests.support.cases import BOOT, MFN, a_case
from tests.support.driving import Bench
from tests.support.host import Page, a_host


async def test_a_case_that_was_opened_during_the_look_is_not_replaced() -> None:
    """Whoever drives it would find that it had moved on, and drop the answer that it waits for."""
    bench = Bench(host := a_host(Page(PageUse.FREE, None)))
    bench.docket.put(a_case(State.RETURNED, mfn=MFN, boot=str(BOOT), unheard_ns=1))
    fresh = a_case(State.OPEN, mfn=MFN, id="c2")
    host.when["query"] = lambda: bench.docket.put(fresh)
    manners = replace(bench.manners, late_seconds=0)
    await Hindsight(steps_of(bench), manners).look_at_given_back()
    assert bench.docket.at(MFN) is fresh


async def test_in_a_boot_that_nobody_has_noticed_yet_no_page_is_brought_back() -> None:
    """Whoever marked it there, it was no call of the boot before."""
    bench = Bench(host := a_host(Page(PageUse.FREE, None, status=PageStatus.OFFLINED)))
    bench.docket.put(a_case(State.RETURNED, mfn=MFN, boot=str(BOOT), unheard_ns=bench.clock()))
    host.boot = UUID(int=5)
    assert await Hindsight(steps_of(bench), bench.manners).look_at_given_back() == ()
    assert bench.docket.at(MFN).state is State.RETURNED


def steps_of(bench: Bench) -> Steps:
    driver = bench.driver()
    return Steps(
        driver.acts,
        bench.log,
        bench.docket,
        bench.events.append,
        bench.clock,
        bench.manners.terms,
        rouse=lambda _: None,
    )
