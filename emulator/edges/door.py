"""One door: HTTP with JSON over a Unix socket, and whoever may open the file may come in.

A request is a pydantic model or it is refused, 400 and one line of text. So is a body over
`BODY_BYTES_MAX`, with 413. A surprise of ours is 500 and one line, on both sides.

A host in trouble may also give no answer: say nothing as long as the caller waits, or hang up.

A call whose caller has hung up is dropped where it waits: before its act, or after it, and never
within, because no act waits.

The file is its owner's alone, unless its name ends in `-unprivileged`: such a door is everybody's.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISSOCK
from typing import Generic, TypeVar

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ValidationError

from agent.contract.codec import one_line
from emulator.errors import EmulatorError

BODY_BYTES_MAX = 1 << 16  # 1,024 frame numbers are 12 kB
UNPRIVILEGED = "-unprivileged"
_PATH_BYTES_MAX = 107  # sockaddr_un
_BACKLOG = 64
_LOOK_SECONDS = 0.05

Ask = TypeVar("Ask", bound=BaseModel)


def tell(path: str, act: Callable[[], Awaitable[BaseModel]]) -> web.RouteDef:
    """GET `path` answers what `act` does."""

    async def handle(_: web.Request) -> web.Response:
        return answer(await act())

    return web.get(path, handle)


@dataclass(frozen=True, slots=True)
class Doing(Generic[Ask]):
    """What is done with a body: it is read as a `model`, and handed to `act`."""

    path: str
    model: type[Ask]
    act: Callable[[Ask], Awaitable[BaseModel]]

    async def read(self, request: web.Request) -> Ask:
        try:
            return self.model.model_validate_json(await request.read())
        except ValidationError as error:
            raise web.HTTPBadRequest(text=f"{self.path}: {one_line(error)}\n") from None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        return answer(await self.act(await self.read(request)))


def do(path: str, model: type[Ask], act: Callable[[Ask], Awaitable[BaseModel]]) -> web.RouteDef:
    """POST `path` hands its body, as a `model`, to `act`."""
    return web.post(path, Doing(path, model, act).handle)


def reader_of(handler: Handler) -> Callable[[web.Request], Awaitable[BaseModel]] | None:
    """How this handler of a door reads a body; None if it reads none."""
    doing: Doing[BaseModel] | None = getattr(handler, "__self__", None)
    return None if doing is None else doing.read


def answer(reply: BaseModel) -> web.Response:
    return web.json_response(text=reply.model_dump_json())


async def say_nothing(request: web.Request, still: Callable[[], bool] = lambda: True) -> None:
    """Return when the caller has hung up, or when it is `still` no more."""
    while still() and waits(request):  # noqa: ASYNC110 - no event tells of a caller that hung up
        await asyncio.sleep(_LOOK_SECONDS)


def hang_up(request: web.Request) -> web.Response:
    """Close the connection. What is returned reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def waits(request: web.Request) -> bool:
    """True as long as the caller has not hung up."""
    return request.transport is not None and not request.transport.is_closing()


@asynccontextmanager
async def door(
    path: Path, routes: Sequence[web.RouteDef], say: Callable[[str], None]
) -> AsyncGenerator[None]:
    """Answer at `path` as long as the context lasts.

    Raises:
        EmulatorError: if a live server has the path, or it cannot be had.
    """
    app = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[_no_surprises(say)])
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0, handler_cancellation=True)
    listening = _listen(path)
    try:
        await runner.setup()
        await web.SockSite(runner, listening, backlog=_BACKLOG).start()
        yield
    finally:
        await runner.cleanup()
        listening.close()
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - one unlink, while nothing else runs


def _no_surprises(say: Callable[[str], None]) -> Callable[..., Awaitable[web.StreamResponse]]:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException:
            raise
        except Exception as error:  # noqa: BLE001 - the last resort: a line in place of a traceback
            line = f"{request.path}: {type(error).__name__}: {error}"
            say(f"a call failed: {line}")
            return web.Response(status=500, text=f"{line}\n")

    return middleware


def _listen(path: Path) -> socket.socket:
    if len(bytes(path)) > _PATH_BYTES_MAX:
        raise EmulatorError(
            f"{path}: longer than the {_PATH_BYTES_MAX} bytes a socket's path may have; "
            "choose a shorter --sockets"
        )
    _make_way(path)
    listening = socket.socket(socket.AF_UNIX)
    try:
        # Others may pass through it, to the one socket that is theirs too.
        path.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        listening.bind(str(path))
        path.chmod(_mode_of(path))  # nobody can connect before `listen`, so nobody slips in
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise EmulatorError(f"{path}: cannot listen there: {error.strerror}") from None
    return listening


def _mode_of(path: Path) -> int:
    return 0o666 if path.stem.endswith(UNPRIVILEGED) else 0o600


def _make_way(path: Path) -> None:
    """Remove the socket of a server that is gone; refuse to disturb anything else."""
    try:
        is_socket = S_ISSOCK(path.stat().st_mode)
    except OSError:
        return
    if not is_socket:
        raise EmulatorError(f"{path}: is there already, and is no socket; choose other --sockets")
    if _is_live(path):
        raise EmulatorError(
            f"{path}: an emulator answers there already; stop it, or choose other --sockets"
        )
    path.unlink(missing_ok=True)


def _is_live(path: Path) -> bool:
    with closing(socket.socket(socket.AF_UNIX)) as caller:
        try:
            caller.connect(str(path))
        except OSError:
            return False
        return True
