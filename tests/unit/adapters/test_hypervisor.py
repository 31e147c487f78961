"""Everything that a peer can do to us comes out as a reply or as one line."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiohttp import web

from agent.adapters.hypervisor import caller
from agent.adapters.hypervisor.emulated import EmulatedHypervisor, EmulatedToolstack
from agent.contract.errors import PeerError, Unreachable
from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import (
    Call,
    MarkedReply,
    PageReply,
    PagesReply,
    PageStatus,
    PageUse,
    Refusal,
)
from agent.contract.toolstack import DomainsReply, ToolCall, ToolOutcome, ToolReply
from agent.events import CallMade, Event
from tests.support.cases import page

XEN_HEAP = PageReply(
    mfn=5, status=PageStatus.FAILED, use=PageUse.XEN_HEAP, refusal=Refusal.XEN_HEAP
)
REFUSED = PagesReply(changed=False, pages=(XEN_HEAP,))
PAGES = PagesReply(changed=True, pages=(page(Mfn(5), PageStatus.OFFLINED, PageUse.FREE),))
DONE = ToolReply(outcome=ToolOutcome.DONE, pause_seconds=0.01)

Answer = Callable[[], Awaitable[web.Response]]


class Peer:
    """A socket that answers every call the same way, and remembers what it was asked."""

    def __init__(self, path: Path, answer: Answer) -> None:
        self.path = path
        self.answer = answer
        self.asked: list[tuple[str, str, str]] = []
        self.events: list[Event] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.path, await request.text()))
        return await self.answer()

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        return [(e.call, e.outcome) for e in self.events if isinstance(e, CallMade)]


@asynccontextmanager
async def a_peer(tmp_path: Path, answer: Answer) -> AsyncIterator[Peer]:
    peer = Peer(tmp_path / "peer.sock", answer)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", peer.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(peer.path)).start()
    try:
        yield peer
    finally:
        await runner.cleanup()


@asynccontextmanager
async def a_hypervisor(peer: Peer, deadline: float = 5.0) -> AsyncIterator[EmulatedHypervisor]:
    hypervisor = EmulatedHypervisor(peer.path, deadline, peer.events.append)
    try:
        yield hypervisor
    finally:
        await hypervisor.close()


@asynccontextmanager
async def a_toolstack(peer: Peer) -> AsyncIterator[EmulatedToolstack]:
    toolstack = EmulatedToolstack(peer.path, 5.0, peer.events.append)
    try:
        yield toolstack
    finally:
        await toolstack.close()


def json(text: str, status: int = 200) -> Answer:
    async def answer() -> web.Response:
        return web.Response(text=text, status=status, content_type="application/json")

    return answer


async def test_what_is_marked_is_asked_from_a_page_on(tmp_path: Path) -> None:
    reply = MarkedReply(more_from=9)
    async with (
        a_peer(tmp_path, json(reply.model_dump_json())) as peer,
        a_hypervisor(peer) as hypervisor,
    ):
        assert await hypervisor.marked(Mfn(5)) == reply
        assert peer.asked == [("POST", Call.MARKED, '{"first":5}')]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("offline", Call.OFFLINE),
        ("query", Call.QUERY),
        ("online", Call.ONLINE),
        ("swap", Call.SWAP),
    ],
)
async def test_a_call_about_pages_names_them_at_its_path(
    tmp_path: Path, name: str, path: Call
) -> None:
    async with (
        a_peer(tmp_path, json(PAGES.model_dump_json())) as peer,
        a_hypervisor(peer) as hypervisor,
    ):
        assert await getattr(hypervisor, name)([Mfn(5)]) == PAGES
        assert peer.asked == [("POST", path, '{"mfns":[5]}')]


async def test_a_guest_is_resumed_by_the_slow_path(tmp_path: Path) -> None:
    """The fast one would leave it writing to the frames that it no longer has."""
    async with (
        a_peer(tmp_path, json(DONE.model_dump_json())) as peer,
        a_toolstack(peer) as toolstack,
    ):
        assert await toolstack.resume(DomId(7)) == DONE
        assert peer.asked == [("POST", ToolCall.RESUME, '{"domid":7,"path":"slow"}')]


async def test_each_command_about_a_guest_has_its_path(tmp_path: Path) -> None:
    async with (
        a_peer(tmp_path, json(DONE.model_dump_json())) as peer,
        a_toolstack(peer) as toolstack,
    ):
        await toolstack.suspend(DomId(7))
        await toolstack.exchange(DomId(7), [Mfn(5)])
        await toolstack.save(DomId(7), "c1")
        await toolstack.restore("c1")
        assert [asked[1:] for asked in peer.asked] == [
            (ToolCall.SUSPEND, '{"domid":7}'),
            (ToolCall.EXCHANGE, '{"domid":7,"mfns":[5]}'),
            (ToolCall.SAVE, '{"domid":7,"image":"c1"}'),
            (ToolCall.RESTORE, '{"image":"c1"}'),
        ]


async def test_what_takes_no_argument_is_a_get(tmp_path: Path) -> None:
    """So that `curl --unix-socket` shows it."""
    reply = DomainsReply(domains=())
    async with (
        a_peer(tmp_path, json(reply.model_dump_json())) as peer,
        a_toolstack(peer) as toolstack,
    ):
        assert await toolstack.domains() == reply
        assert peer.asked == [("GET", ToolCall.DOMAINS, "")]


async def test_a_peer_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    peer = Peer(tmp_path / "nobody.sock", json("{}"))
    async with a_hypervisor(peer) as hypervisor:
        with pytest.raises(Unreachable, match=r"nobody\.sock: /v1/page_query: "):
            await hypervisor.query([Mfn(5)])


async def test_a_peer_that_is_silent_is_unreachable_at_the_deadline(tmp_path: Path) -> None:
    async def never() -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async with a_peer(tmp_path, never) as peer, a_hypervisor(peer, 0.05) as hypervisor:
        with pytest.raises(Unreachable, match=r"/v1/page_query: no answer in 0\.05 s"):
            await hypervisor.query([Mfn(5)])


@pytest.mark.parametrize(
    "answer",
    [
        json("oops", 500),
        json("busy", 503),
        json("not JSON"),
        json('{"changed": true}'),
        json('{"changed": true, "pages": [{"mfn": 5, "status": "melted", "use": "free"}]}'),
        json("", 302),
    ],
)
async def test_what_is_no_answer_is_unreachable_in_one_line(tmp_path: Path, answer: Answer) -> None:
    async with a_peer(tmp_path, answer) as peer, a_hypervisor(peer) as hypervisor:
        with pytest.raises(Unreachable) as trouble:
            await hypervisor.query([Mfn(5)])
        assert str(trouble.value).startswith(f"{peer.path}: /v1/page_query: ")
        assert "\n" not in str(trouble.value)


async def test_a_reply_without_end_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caller, "REPLY_BYTES_MAX", 1000)
    async with a_peer(tmp_path, json(" " * 2000)) as peer, a_hypervisor(peer) as hypervisor:
        with pytest.raises(Unreachable, match="a reply of more than 1000 bytes"):
            await hypervisor.query([Mfn(5)])


async def test_a_call_that_is_wrong_is_a_peer_error_with_the_peer_s_reason(tmp_path: Path) -> None:
    answer = json("mfns: too many\nsecond line", 400)
    async with a_peer(tmp_path, answer) as peer, a_hypervisor(peer) as hypervisor:
        with pytest.raises(PeerError, match=r"400 mfns: too many$") as trouble:
            await hypervisor.query([Mfn(5)])
        assert not isinstance(trouble.value, Unreachable)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (json(PAGES.model_dump_json()), "done"),
        (json(REFUSED.model_dump_json()), "refused"),
        (json("no such call", 404), "not_a_call"),
        (json("", 500), "unreachable"),
    ],
)
async def test_every_call_is_told_with_its_outcome(
    tmp_path: Path, answer: Answer, outcome: str
) -> None:
    async with a_peer(tmp_path, answer) as peer, a_hypervisor(peer) as hypervisor:
        with suppress(PeerError):
            await hypervisor.offline([Mfn(5)])
        assert peer.outcomes == [("page_offline_pending", outcome)]


async def test_a_command_is_told_with_the_toolstack_s_own_word(tmp_path: Path) -> None:
    reply = ToolReply(outcome=ToolOutcome.GUEST_MAY_BE_DAMAGED)
    async with (
        a_peer(tmp_path, json(reply.model_dump_json())) as peer,
        a_toolstack(peer) as toolstack,
    ):
        await toolstack.suspend(DomId(7))
        assert peer.outcomes == [("suspend", "guest_may_be_damaged")]
