"""Both ends of the agent's socket: what one tells, the other reads."""

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from pydantic import BaseModel

from agent.adapters.client import delete, fetch, send
from agent.adapters.control import Answers, ControlServer
from agent.contract.errors import AgentError, PeerError
from agent.contract.requests import Ask, RequestsView, RequestView, Wish
from agent.contract.status import (
    CasesView,
    CaseView,
    Counted,
    DimmsView,
    DimmView,
    PageView,
    StatusView,
    TopView,
    View,
)
from agent.retirement.request import RequestRefused

CASE = CaseView(id="c1", mfn=0x1234, state="open", rest="open", opened_at=1.0, moved_at=2.0)  # type: ignore[arg-type] # a word stands for its enum on the wire
REQUEST = RequestView(id="r1", wish=Wish.CANCEL, what="case c1", pages=1, left=1, asked_at=1.0)
STATUS = StatusView(host="hv-1", version="1.2.3", healthy=True, cases={"open": 1})
TOP = TopView(at=5.0, status=STATUS, open=1, under_way=(CASE,))
DIMMS = DimmsView(dimms=(DimmView(dimm="A1", pages_retired=3),))
PAGE = PageView(mfn=0x1234, counted=Counted(errors=1, threshold=2, window_seconds=3600.0))


async def the_page(mfn: int) -> PageView | None:
    return PAGE if mfn == PAGE.mfn else None


async def ended(request_id: str) -> RequestView | None:
    if request_id == "over":
        raise RequestRefused("request over is over")
    return REQUEST if request_id == REQUEST.id else None


async def the_case(case_id: str) -> CaseView | None:
    return CASE if case_id == CASE.id else None


async def asked(ask: Ask) -> RequestView:
    if ask.case == "c99":
        raise RequestRefused("there is no case 'c99'")
    return REQUEST


ANSWERS = Answers(
    status=lambda: STATUS,
    top=lambda: TOP,
    dimms=lambda: DIMMS,
    page=the_page,
    cases=lambda: CasesView(cases=(CASE,)),
    case=the_case,
    ask=asked,
    requests=lambda: RequestsView(requests=(REQUEST,)),
    request=lambda request_id: REQUEST if request_id == REQUEST.id else None,
    end=ended,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent.sock"


@asynccontextmanager
async def a_server(path: Path) -> AsyncIterator[ControlServer]:
    server = await ControlServer.open(path, ANSWERS)
    try:
        yield server
    finally:
        await server.close()


@pytest.mark.parametrize(
    ("view", "told"),
    [
        (View.STATUS, STATUS),
        (View.TOP, TOP),
        (View.DIMMS, DIMMS),
        (f"{View.PAGES}/{0x1234}", PAGE),
        (View.CASES, CasesView(cases=(CASE,))),
        (f"{View.CASES}/c1", CASE),
        (View.REQUESTS, RequestsView(requests=(REQUEST,))),
        (f"{View.REQUESTS}/r1", REQUEST),
    ],
)
async def test_what_the_agent_tells_is_what_is_read(path: Path, view: str, told: BaseModel) -> None:
    async with a_server(path):
        assert await asyncio.to_thread(fetch, path, view, type(told)) == told


async def test_an_unknown_case_is_named_in_one_line(path: Path) -> None:
    async with a_server(path):
        with pytest.raises(AgentError, match=r"^there is no case 'c99'$"):
            await asyncio.to_thread(fetch, path, f"{View.CASES}/c99", CaseView)


@pytest.mark.parametrize("mfn", [0x99, 1 << 70])
async def test_a_page_that_the_host_does_not_have_is_named(path: Path, mfn: int) -> None:
    async with a_server(path):
        with pytest.raises(AgentError, match=f"^the host has no page {mfn:#x}$"):
            await asyncio.to_thread(fetch, path, f"{View.PAGES}/{mfn}", PageView)


async def test_a_request_is_cancelled_by_its_id(path: Path) -> None:
    async with a_server(path):
        view = await asyncio.to_thread(delete, path, f"{View.REQUESTS}/r1", RequestView)
        assert view == REQUEST


@pytest.mark.parametrize(
    ("name", "complaint"), [("r9", "there is no request 'r9'"), ("over", "request over is over")]
)
async def test_a_request_that_cannot_be_cancelled_is_one_line(
    path: Path, name: str, complaint: str
) -> None:
    async with a_server(path):
        with pytest.raises(AgentError, match=f"^{complaint}$"):
            await asyncio.to_thread(delete, path, f"{View.REQUESTS}/{name}", RequestView)


async def test_a_request_is_answered_with_what_is_made_of_it(path: Path) -> None:
    async with a_server(path):
        ask = Ask(id="r1", wish=Wish.CANCEL, case="c1")
        assert await asyncio.to_thread(send, path, View.REQUESTS, ask, RequestView) == REQUEST


async def test_a_request_that_is_refused_is_one_line(path: Path) -> None:
    async with a_server(path):
        ask = Ask(id="r1", wish=Wish.CANCEL, case="c99")
        with pytest.raises(AgentError, match=r"^there is no case 'c99'$"):
            await asyncio.to_thread(send, path, View.REQUESTS, ask, RequestView)


async def test_what_is_no_request_is_refused_with_what_is_wrong(path: Path) -> None:
    async with a_server(path):
        with pytest.raises(AgentError, match="wish"):
            await asyncio.to_thread(send, path, View.REQUESTS, CASE, RequestView)


async def test_an_unknown_request_is_named_in_one_line(path: Path) -> None:
    async with a_server(path):
        with pytest.raises(AgentError, match=r"^there is no request 'r9'$"):
            await asyncio.to_thread(fetch, path, f"{View.REQUESTS}/r9", RequestView)


async def test_nobody_but_the_agent_s_user_may_ask(path: Path) -> None:
    async with a_server(path):
        mode = os.lstat(path).st_mode
        assert stat.S_IMODE(mode) == 0o600


async def test_the_socket_is_gone_with_the_agent(path: Path) -> None:
    async with a_server(path):
        pass
    with pytest.raises(AgentError, match="is it running"):
        await asyncio.to_thread(fetch, path, View.STATUS, StatusView)
    assert not list(path.parent.iterdir())


async def test_the_socket_of_a_live_agent_is_not_taken(path: Path) -> None:
    async with a_server(path):
        with pytest.raises(AgentError, match="an agent answers there already"):
            await ControlServer.open(path, ANSWERS)
        assert await asyncio.to_thread(fetch, path, View.STATUS, StatusView) == STATUS


async def test_the_socket_of_a_dead_agent_is_replaced(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(path))
    async with a_server(path):
        assert await asyncio.to_thread(fetch, path, View.STATUS, StatusView) == STATUS


def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    path.write_text("precious")
    with pytest.raises(AgentError, match=r"control\.socket: .* is not a socket"):
        asyncio.run(ControlServer.open(path, ANSWERS))
    assert path.read_text() == "precious"


@pytest.mark.parametrize("name", ["nowhere/agent.sock", "a" * 120])
async def test_a_path_that_cannot_be_a_socket_is_one_line_with_the_fix(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(AgentError, match="choose another path"):
        await ControlServer.open(tmp_path / name, ANSWERS)


def test_no_agent_is_one_line_with_the_fix(path: Path) -> None:
    with pytest.raises(AgentError, match=r"no agent answers at .*\(`pagewarden agent`\)"):
        fetch(path, View.STATUS, StatusView)


def test_an_agent_that_is_stuck_is_not_waited_for(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as stuck:
        stuck.bind(str(path))
        stuck.listen()
        with pytest.raises(AgentError, match=r"did not answer in 0\.05 s: is it stuck"):
            fetch(path, View.STATUS, StatusView, deadline_seconds=0.05)


async def test_an_answer_that_is_not_understood_is_the_peer_s_doing(path: Path) -> None:
    async with a_server(path):
        with pytest.raises(PeerError, match="not an answer of this version's agent"):
            await asyncio.to_thread(fetch, path, View.STATUS, CasesView)
