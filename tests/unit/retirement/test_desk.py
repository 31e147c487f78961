"""The desk: requests are durable before they are acted upon, and fed as there is room."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

import pytest

from agent.contract.frames import Mfn
from agent.contract.hypercall import HostReply, Interleave, PageStatus, PageUse
from agent.contract.requests import Ask, Wish
from agent.contract.status import Rest
from agent.events import CapReached, CaseOpened
from agent.retirement import desk as desk_module
from agent.retirement import request as request_module
from agent.retirement.caps import Caps
from agent.retirement.case import Case
from agent.retirement.desk import Desk
from agent.retirement.docket import Docket
from agent.retirement.reason import Reason
from agent.retirement.request import Pages, Request, RequestRefused
from tests.support.cases import BOOT
from tests.support.driving import Bench
from tests.support.host import FIRST, Host, Page, a_host

HOST = HostReply(
    host="h",
    boot_id=BOOT,
    frames=FIRST + 1000,
    personality="thread",
    interleave=Interleave(dimms=("A", "B")),
)


@dataclass(slots=True)
class RequestsLog:
    """Remembers each request as it was written last, and how many cases came with it."""

    requests: dict[str, Request] = field(default_factory=dict[str, Request])
    commits: list[tuple[Request, int]] = field(default_factory=list[tuple[Request, int]])

    async def save_request(self, request: Request, *cases: Case) -> None:
        await asyncio.sleep(0)
        self.requests[request.id] = request
        self.commits.append((request, len(cases)))


@dataclass(slots=True)
class Life:
    """A desk and a driver over one host."""

    bench: Bench
    desk: Desk
    log: RequestsLog

    async def over(self, request_id: str = "r") -> dict[tuple[Rest | None, Reason | None], int]:
        """What came of the request, once it is over."""
        async with asyncio.timeout(10):
            while True:
                found = self.desk.find(request_id)
                if found is not None and found.is_over:
                    return dict(found.came)
                await asyncio.sleep(0.005)


@asynccontextmanager
async def a_life(
    host: Host, log: RequestsLog | None = None, cap: int = 1000
) -> AsyncIterator[Life]:
    bench = Bench(host, docket=Docket(Caps(cap), str(BOOT)))
    ticks = count(1)
    log = log or RequestsLog()
    driver = bench.driver()
    desk = Desk(driver, bench.docket, log, HOST, bench.events.append, lambda: next(ticks))
    await desk.restore(log.requests.values())
    running = [asyncio.create_task(driver.run()), asyncio.create_task(desk.run())]
    try:
        yield Life(bench, desk, log)
    finally:
        driver.stop()
        running[1].cancel()
        await asyncio.wait(running)


def pages(wish: Wish, count: int = 1, request_id: str = "r", *, beyond_cap: bool = False) -> Ask:
    return Ask(id=request_id, wish=wish, first=FIRST, last=FIRST + count - 1, beyond_cap=beyond_cap)


def free(count: int) -> Host:
    return a_host(*(Page(PageUse.FREE, None) for _ in range(count)))


@dataclass(slots=True)
class FullDisk(RequestsLog):
    """Writes nothing down until `has_room`."""

    has_room: bool = False

    async def save_request(self, request: Request, *cases: Case) -> None:
        if not self.has_room:
            raise OSError("no space left")
        await RequestsLog.save_request(self, request, *cases)


async def test_who_asks_again_is_told_taken_only_once_it_is_written_down() -> None:
    log = FullDisk()
    async with a_life(free(1), log) as life:
        for _ in range(2):
            with pytest.raises(OSError, match="no space"):
                await life.desk.take(pages(Wish.OFFLINE))
        log.has_room = True
        await life.desk.take(pages(Wish.OFFLINE))
        assert await life.over() == {(Rest.RETIRED, None): 1}


async def test_a_range_is_taken_and_brought_back() -> None:
    async with a_life(host := free(3)) as life:
        await life.desk.take(pages(Wish.OFFLINE, 3))
        assert await life.over() == {(Rest.RETIRED, None): 3}
        await life.desk.take(pages(Wish.ONLINE, 3, "back"))
        assert await life.over("back") == {(Rest.RETURNED, None): 3}
        assert {page.status for page in host.pages.values()} == {PageStatus.ONLINE}


async def test_a_request_is_written_down_before_any_page_is_touched() -> None:
    async with a_life(host := free(1)) as life:
        await life.desk.take(pages(Wish.OFFLINE))
        assert life.log.commits[0][0].fed == 0
        assert host.commands == []
        await life.over()


async def test_cases_come_a_bounded_number_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "PAGES_AT_ONCE", 4)
    async with a_life(free(20)) as life:
        await life.desk.take(pages(Wish.OFFLINE, 20))
        assert await life.over() == {(Rest.RETIRED, None): 20}
        assert max(cases for _, cases in life.log.commits) <= 4
        assert max(len(request.under_way) for request, _ in life.log.commits) <= 4


async def test_a_page_that_is_on_its_way_already_is_that_case() -> None:
    async with a_life(free(1)) as life:
        await life.desk.take(pages(Wish.OFFLINE, request_id="one"))
        await life.desk.take(pages(Wish.OFFLINE, request_id="two"))
        assert await life.over("one") == await life.over("two") == {(Rest.RETIRED, None): 1}
        assert len([e for e in life.bench.events if isinstance(e, CaseOpened)]) == 1


async def test_an_id_is_one_request_however_often_it_is_asked() -> None:
    async with a_life(free(2)) as life:
        twice = await asyncio.gather(*(life.desk.take(pages(Wish.OFFLINE)) for _ in range(2)))
        assert twice[0].asked_at_ns == twice[1].asked_at_ns
        with pytest.raises(RequestRefused, match="take another id"):
            await life.desk.take(pages(Wish.OFFLINE, 2))
        await life.over()


async def test_past_the_cap_pages_are_refused_with_the_reason_unless_told_otherwise() -> None:
    async with a_life(free(3), cap=1) as life:
        await life.desk.take(pages(Wish.OFFLINE, 3))
        assert await life.over() == {
            (Rest.RETIRED, None): 1,
            (None, Reason.RETIRED_MEMORY_CAP): 2,
        }
        assert [event for event in life.bench.events if isinstance(event, CapReached)]
        await life.desk.take(pages(Wish.OFFLINE, 3, "more", beyond_cap=True))
        assert await life.over("more") == {(Rest.RETIRED, None): 3}


async def test_a_dimm_s_pages_and_no_others_are_taken() -> None:
    host = free(1000)
    host.pages = {mfn: Page(PageUse.FREE, None) for mfn in range(HOST.frames)}
    async with a_life(host, cap=1) as life:
        await life.desk.take(Ask(id="r", wish=Wish.EVACUATE, dimm="B"))
        assert await life.over() == {(Rest.RETIRED, None): HOST.frames // 2}
        taken = {m for m, page in host.pages.items() if page.status is PageStatus.OFFLINED}
        assert taken == set(range(1, HOST.frames, 2))
        assert {case.dimm for case in life.bench.docket.cases} == {"B"}


async def test_a_request_of_an_earlier_boot_is_over() -> None:
    """What is a DIMM now may be another one."""
    log = RequestsLog()
    log.requests["r"] = Request("r", Wish.EVACUATE, "DIMM A", _pages(9), 0, boot="earlier")
    async with a_life(free(1), log) as life:
        assert await life.over() == {(None, Reason.HOST_REBOOTED): 9}


async def test_what_was_to_be_brought_back_is_brought_back_by_the_next_life() -> None:
    log = RequestsLog()
    host = free(1)
    async with a_life(host, log) as life:
        await life.desk.take(pages(Wish.OFFLINE))
        await life.over()
        cases = life.bench.docket.cases
    log.requests["back"] = Request(
        "back", Wish.ONLINE, "", _pages(1), 0, str(BOOT), fed=1, under_way=(Mfn(FIRST),)
    )
    async with a_life(host, log) as life:
        life.bench.docket.restore(cases, 9)
        assert await life.over("back") == {(Rest.RETURNED, None): 1}


def _pages(count: int) -> Pages:
    return Pages(FIRST, count, count, count)


async def test_a_later_request_for_the_opposite_wins() -> None:
    async with a_life(host := a_host(Page(PageUse.PV))) as life:
        await life.desk.take(pages(Wish.OFFLINE, request_id="in"))
        await life.desk.take(pages(Wish.ONLINE, request_id="out"))
        assert await life.over("out") == {(Rest.RETURNED, None): 1}
        assert await life.over("in") == {(Rest.RETURNED, Reason.OVERRULED): 1}
        assert (host.pages[FIRST].status, host.stopped) == (PageStatus.ONLINE, [])


async def test_of_a_million_hopeless_pages_a_few_get_cases_and_the_rest_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(request_module, "HOPELESS_FED", 2)
    xens = [Page(PageUse.XEN_HEAP, None) for _ in range(6)]
    async with a_life(a_host(*xens, Page(PageUse.FREE, None))) as life:
        await life.desk.take(pages(Wish.OFFLINE, 7))
        assert await life.over() == {
            (None, Reason.XEN_HEAP): 4,
            (Rest.UNRETIRABLE, Reason.XEN_HEAP): 2,
            (Rest.RETIRED, None): 1,
        }
        assert len(life.bench.docket.cases) == 3


async def test_free_pages_go_in_one_call_and_one_commit_a_step() -> None:
    async with a_life(host := free(100)) as life:
        await life.desk.take(pages(Wish.OFFLINE, 100))
        assert await life.over() == {(Rest.RETIRED, None): 100}
        assert host.calls.count("offline") == 1
        assert len(life.bench.log.commits) == 2


async def test_pages_come_back_in_one_call_and_one_commit_a_step_too() -> None:
    async with a_life(host := free(100)) as life:
        await life.desk.take(pages(Wish.OFFLINE, 100))
        await life.over()
        commits = len(life.bench.log.commits)
        await life.desk.take(pages(Wish.ONLINE, 100, "back"))
        assert await life.over("back") == {(Rest.RETURNED, None): 100}
        assert host.calls.count("online") == 1
        assert len(life.bench.log.commits) == commits + 2


async def test_a_broken_page_does_not_keep_the_others_of_its_request_out_of_use() -> None:
    async with a_life(host := free(3)) as life:
        await life.desk.take(pages(Wish.OFFLINE, 3))
        await life.over()
        host.pages[FIRST].is_broken = True
        await life.desk.take(pages(Wish.ONLINE, 3, "back"))
        assert await life.over("back") == {
            (Rest.RETURNED, None): 2,
            (Rest.RETIRED, Reason.BROKEN): 1,
        }


async def test_a_page_that_is_refused_does_not_either() -> None:
    """It is asked for alone once more, and so is each of the others."""
    async with a_life(host := free(3)) as life:
        await life.desk.take(pages(Wish.OFFLINE, 3))
        await life.over()
        host.never_back = {FIRST}
        await life.desk.take(pages(Wish.ONLINE, 3, "back"))
        assert await life.over("back") == {
            (Rest.RETURNED, None): 2,
            (Rest.RETIRED, Reason.CANNOT_RETURN): 1,
        }


async def test_a_cancelled_request_begins_no_page_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "PAGES_AT_ONCE", 2)
    async with a_life(host := free(20)) as life:
        await life.desk.take(pages(Wish.OFFLINE, 20))
        await life.desk.end("r")
        came = await life.over()
        assert came[None, Reason.CANCELLED] + came.get((Rest.RETIRED, None), 0) == 20
        taken = sum(page.status is PageStatus.OFFLINED for page in host.pages.values())
        assert taken == came.get((Rest.RETIRED, None), 0) < 20
        assert (await life.desk.end("r")) == life.desk.find("r")  # twice is once


async def test_a_cancel_is_durable_when_it_is_answered() -> None:
    async with a_life(free(20)) as life:
        await life.desk.take(pages(Wish.OFFLINE, 20))
        await life.desk.end("r")
        assert life.log.requests["r"].is_cancelled


async def test_what_cannot_be_cancelled_is_refused_with_the_reason() -> None:
    async with a_life(free(1)) as life:
        assert await life.desk.end("nobody's") is None
        await life.desk.take(pages(Wish.OFFLINE))
        await life.over()
        with pytest.raises(RequestRefused, match="is over"):
            await life.desk.end("r")


async def test_beyond_the_first_pages_of_a_request_cases_are_quiet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(desk_module, "PAGES_AT_ONCE", 4)
    monkeypatch.setattr(desk_module, "TOLD_OF", 4)
    async with a_life(free(10)) as life:
        await life.desk.take(pages(Wish.OFFLINE, 10))
        await life.over()
        assert sum(case.quiet for case in life.bench.docket.cases) == 6


async def test_a_request_may_not_be_called_like_a_case() -> None:
    async with a_life(free(1)) as life:
        with pytest.raises(RequestRefused, match="what a case is called"):
            await life.desk.take(pages(Wish.OFFLINE, request_id="c17"))
