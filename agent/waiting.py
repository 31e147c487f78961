"""Waiting for something to be set, but not for ever; and for anything to change."""

import asyncio


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Return when `event` is set, or after `seconds`; true if it was set."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


class Changes:
    """Counts what changed, so that no change is missed by who was looking meanwhile:

    seen = changes.count
    … look at how things are …
    await changes.since(seen)
    """

    def __init__(self) -> None:
        self.count = 0
        self._next = asyncio.Event()

    def note(self) -> None:
        """Something changed: whoever waits looks again."""
        self.count += 1
        self._next.set()
        self._next = asyncio.Event()

    async def since(self, seen: int) -> None:
        """Return when anything has changed since the count was `seen`."""
        while self.count == seen:
            await self._next.wait()
