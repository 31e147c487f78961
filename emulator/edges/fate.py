"""How a host ends before it is told to: it hangs, or it crashes.

A hung host keeps its sockets and answers nobody, so that a caller finds out by its own deadline. A
crashed one drops the caller and is gone. The control socket is not of the host, and goes on telling
the truth about one that hangs.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from aiohttp import web

from emulator.errors import EmulatorError
from emulator.xen.defects import Down, HostDown

_LOOK_SECONDS = 0.05

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HostDownError(Exception):
    """A call has brought the host down, and so has no answer."""

    def __init__(self, down: HostDown) -> None:
        super().__init__(down.why)
        self.down = down


class Fate:
    """One host's end, once it has come. Make it inside a running loop."""

    def __init__(self) -> None:
        self._down: asyncio.Future[HostDown] = asyncio.get_running_loop().create_future()

    def bound(self, routes: Sequence[web.RouteDef]) -> list[web.RouteDef]:
        """`routes` that fall silent with the host, and whose calls can bring it down."""
        return [
            web.RouteDef(route.method, route.path, self._heeding(handler), route.kwargs)
            for route in routes
            for handler in [cast("Handler", route.handler)]  # our doors have functions, no views
        ]

    async def crash(self) -> None:
        """Wait for the end. A crash is an EmulatorError that says why."""
        down = await asyncio.shield(self._down)
        if down.kind is Down.CRASHED:
            raise EmulatorError(f"the host crashed: {down.why}")

    def _heeding(self, handler: Handler) -> Handler:
        async def heed(request: web.Request) -> web.StreamResponse:
            try:
                if not self._down.done():
                    return await handler(request)
            except HostDownError as end:
                if not self._down.done():
                    self._down.set_result(end.down)
            return await self._fall_silent(request)

        return heed

    async def _fall_silent(self, request: web.Request) -> web.StreamResponse:
        """Say nothing as long as the caller waits; after a crash, until its socket is closed."""
        while _waits(request):  # noqa: ASYNC110 - no event tells of a caller that hung up
            await asyncio.sleep(_LOOK_SECONDS)
        return web.Response(status=500)  # to nobody


def _waits(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()
