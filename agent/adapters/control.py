"""The agent's own socket: what it is doing, told to whoever may open the file.

Mode 0600 is the privilege: who may ask may also have pages taken, or brought back. `Answers` is
where the answers come from.
"""

import socket
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISSOCK

from aiohttp import web
from pydantic import BaseModel, ValidationError

from agent.contract.codec import one_line
from agent.contract.errors import AgentError
from agent.contract.frames import MFN_MAX, Mfn
from agent.contract.requests import Ask, RequestsView, RequestView
from agent.contract.status import (
    CasesView,
    CaseView,
    DimmsView,
    PageView,
    StatusView,
    TopView,
    View,
)
from agent.retirement.request import RequestRefused

BACKLOG = 16
CLOSE_SECONDS_MAX = 1.0  # for answers under way
PATH_BYTES_MAX = 107  # of a Unix socket's address


@dataclass(frozen=True, slots=True)
class Answers:
    """Who answers which question. `case`, `request` and `end` give None for an id that nobody
    knows, `page` for a page that the host does not have; `ask` and `end` raise `RequestRefused`.
    """

    status: Callable[[], StatusView]
    top: Callable[[], TopView]
    dimms: Callable[[], DimmsView]
    page: Callable[[Mfn], Awaitable[PageView | None]]
    cases: Callable[[], CasesView]
    case: Callable[[str], Awaitable[CaseView | None]]
    ask: Callable[[Ask], Awaitable[RequestView]]
    requests: Callable[[], RequestsView]
    request: Callable[[str], RequestView | None]
    end: Callable[[str], Awaitable[RequestView | None]]


class ControlServer:
    """Made by `open`."""

    def __init__(self, path: Path, answers: Answers) -> None:
        self._path = path
        self._answers = answers
        app = web.Application()
        app.router.add_get(View.STATUS, self._status)
        app.router.add_get(View.TOP, self._top)
        app.router.add_get(View.DIMMS, self._dimms)
        app.router.add_get(f"{View.PAGES}/{{mfn:\\d+}}", self._page)
        app.router.add_get(View.CASES, self._cases)
        app.router.add_get(f"{View.CASES}/{{id}}", self._case)
        app.router.add_post(View.REQUESTS, self._ask)
        app.router.add_get(View.REQUESTS, self._requests)
        app.router.add_get(f"{View.REQUESTS}/{{id}}", self._request)
        app.router.add_delete(f"{View.REQUESTS}/{{id}}", self._end)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_SECONDS_MAX)

    @classmethod
    async def open(cls, path: Path, answers: Answers) -> "ControlServer":
        """Answer at `path` until closed.

        Raises:
            AgentError: if another agent answers there, or the socket cannot be made.
        """
        server = cls(path, answers)
        listener = _listener(path)
        await server._runner.setup()
        await web.SockSite(server._runner, listener, backlog=BACKLOG).start()
        return server

    async def close(self) -> None:
        await self._runner.cleanup()
        self._path.unlink(missing_ok=True)

    async def _status(self, _: web.Request) -> web.Response:
        return _reply(self._answers.status())

    async def _top(self, _: web.Request) -> web.Response:
        return _reply(self._answers.top())

    async def _dimms(self, _: web.Request) -> web.Response:
        return _reply(self._answers.dimms())

    async def _page(self, request: web.Request) -> web.Response:
        mfn = int(request.match_info["mfn"])
        view = await self._answers.page(Mfn(mfn)) if mfn <= MFN_MAX else None
        return _found(view, f"the host has no page {mfn:#x}")

    async def _cases(self, _: web.Request) -> web.Response:
        return _reply(self._answers.cases())

    async def _case(self, request: web.Request) -> web.Response:
        case_id = request.match_info["id"]
        return _found(await self._answers.case(case_id), f"there is no case {case_id!r}")

    async def _ask(self, request: web.Request) -> web.Response:
        try:
            ask = Ask.model_validate_json(await request.read())
            return _reply(await self._answers.ask(ask))
        except ValidationError as error:
            raise web.HTTPBadRequest(text=f"{one_line(error)}\n") from None
        except RequestRefused as refused:
            raise web.HTTPBadRequest(text=f"{refused}\n") from None

    async def _requests(self, _: web.Request) -> web.Response:
        return _reply(self._answers.requests())

    async def _request(self, request: web.Request) -> web.Response:
        request_id = request.match_info["id"]
        return _found(self._answers.request(request_id), f"there is no request {request_id!r}")

    async def _end(self, request: web.Request) -> web.Response:
        request_id = request.match_info["id"]
        try:
            view = await self._answers.end(request_id)
        except RequestRefused as refused:
            raise web.HTTPBadRequest(text=f"{refused}\n") from None
        return _found(view, f"there is no request {request_id!r}")


def _reply(view: BaseModel) -> web.Response:
    return web.json_response(text=view.model_dump_json())


def _found(view: BaseModel | None, otherwise: str) -> web.Response:
    if view is None:
        raise web.HTTPNotFound(text=f"{otherwise}\n")
    return _reply(view)


def _listener(path: Path) -> socket.socket:
    """A socket at `path` that is ours alone."""
    if len(bytes(path)) > PATH_BYTES_MAX:
        raise _useless(
            path, f"longer than the {PATH_BYTES_MAX} bytes that a socket's path may have"
        )
    _make_way(path)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))
        path.chmod(0o600)  # before `listen`, so that nobody connects who may not
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _useless(path, f"cannot listen there: {error.strerror}") from None
    return listener


def _make_way(path: Path) -> None:
    """Remove the socket of an agent that is gone, and nothing else."""
    try:
        is_socket = S_ISSOCK(path.stat().st_mode)
        if is_socket and not _answers(path):
            path.unlink()
            return
    except FileNotFoundError:
        return
    except OSError as error:
        raise _useless(path, f"cannot be looked at: {error.strerror}") from None
    raise _useless(path, "an agent answers there already" if is_socket else "is not a socket")


def _answers(path: Path) -> bool:
    with closing(socket.socket(socket.AF_UNIX)) as caller:
        return caller.connect_ex(str(path)) == 0


def _useless(path: Path, why: str) -> AgentError:
    return AgentError(
        f"control.socket: {path}: {why}; choose another path, in a directory that is there "
        "and that the agent's user may write in"
    )
