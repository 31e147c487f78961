"""The agent's own socket: what it is doing, told to whoever may open the file.

Mode 0600 is the privilege. Only questions are answered here; `Answers` is where they come from.
"""

import socket
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISSOCK

from aiohttp import web
from pydantic import BaseModel

from agent.contract.errors import AgentError
from agent.contract.status import CasesView, CaseView, StatusView, View

BACKLOG = 16
CLOSE_SECONDS_MAX = 1.0  # for answers under way
PATH_BYTES_MAX = 107  # of a Unix socket's address


@dataclass(frozen=True, slots=True)
class Answers:
    """Who answers which question. `case` gives None for an id that nobody knows."""

    status: Callable[[], StatusView]
    cases: Callable[[], CasesView]
    case: Callable[[str], Awaitable[CaseView | None]]


class ControlServer:
    """Made by `open`."""

    def __init__(self, path: Path, answers: Answers) -> None:
        self._path = path
        self._answers = answers
        app = web.Application()
        app.router.add_get(View.STATUS, self._status)
        app.router.add_get(View.CASES, self._cases)
        app.router.add_get(f"{View.CASES}/{{id}}", self._case)
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

    async def _cases(self, _: web.Request) -> web.Response:
        return _reply(self._answers.cases())

    async def _case(self, request: web.Request) -> web.Response:
        case_id = request.match_info["id"]
        view = await self._answers.case(case_id)
        if view is None:
            raise web.HTTPNotFound(text=f"there is no case {case_id!r}\n")
        return _reply(view)


def _reply(view: BaseModel) -> web.Response:
    return web.json_response(text=view.model_dump_json())


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
