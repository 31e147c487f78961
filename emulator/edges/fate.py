"""How a boot of the host ends: it hangs, or it goes down.

    up ──hangs──► hung ──rebooted by hand──► rebooting
     └──crashes, is rebooted────────────────────▲

A call that is under way then is not carried out. A hung host keeps its sockets and answers nobody,
so that a caller finds out by its own deadline; one that goes down drops its callers. The control
socket is not of the host, and goes on telling the truth about one that is down.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from aiohttp import web

from emulator.edges.door import hang_up, say_nothing
from emulator.edges.truth import HostState
from emulator.xen.defects import Down, HostDown

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class HostDownError(Exception):
    """A call has brought the host down, and so has no answer."""

    def __init__(self, down: HostDown) -> None:
        super().__init__(down.why)
        self.down = down


class Fate:
    """The end of one boot, once it has come. Make it inside a running loop."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._stopped: asyncio.Future[None] = loop.create_future()
        self._over: asyncio.Future[str] = loop.create_future()
        self._calls: set[asyncio.Task[web.StreamResponse]] = set()

    @property
    def state(self) -> HostState:
        if self._over.done():
            return HostState.REBOOTING
        return HostState.HUNG if self._stopped.done() else HostState.UP

    def end(self, down: HostDown) -> None:
        """Hang or go down. What hangs can still go down; what is down stays so."""
        if not self._stopped.done():
            self._stopped.set_result(None)
        if down.kind is Down.CRASHED and not self._over.done():
            self._over.set_result(down.why)
        for call in self._calls:
            call.cancel()

    async def stopped(self) -> None:
        """Return when the host answers no more."""
        await asyncio.shield(self._stopped)

    async def over(self) -> str:
        """Return when the boot is over; why it is."""
        return await asyncio.shield(self._over)

    def bound(self, routes: Sequence[web.RouteDef]) -> list[web.RouteDef]:
        """`routes` that fall silent with the host, and whose calls can bring it down."""
        return wrapped(routes, lambda _, handler: self._heeding(handler))

    def _heeding(self, handler: Handler) -> Handler:
        async def heed(request: web.Request) -> web.StreamResponse:
            if not self._stopped.done():
                try:
                    return await self._carry_out(handler, request)
                except HostDownError as end:
                    self.end(end.down)
                except asyncio.CancelledError:
                    if not self._stopped.done() or _is_cancelled():
                        raise
            await say_nothing(request, lambda: self.state is HostState.HUNG)
            return hang_up(request)

        return heed

    async def _carry_out(self, handler: Handler, request: web.Request) -> web.StreamResponse:
        """In a task of its own, which ends with the host."""
        call = asyncio.ensure_future(handler(request))
        self._calls.add(call)
        try:
            return await call
        finally:
            self._calls.discard(call)


def wrapped(
    routes: Sequence[web.RouteDef], wrap: Callable[[web.RouteDef, Handler], Handler]
) -> list[web.RouteDef]:
    """The same routes, each answered by what `wrap` makes of its handler."""
    return [
        web.RouteDef(route.method, route.path, wrap(route, handler), route.kwargs)
        for route in routes
        for handler in [cast("Handler", route.handler)]  # our doors have functions, no views
    ]


def _is_cancelled() -> bool:
    """True if it is we who are to stop, and not a call that we wait for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
