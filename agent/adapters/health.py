"""Is the agent well? A value that the loop renews, and any thread may read.

The heartbeat is the point: an agent whose loop is stuck still has threads that answer, and they
must not answer that all is well. A board that was not renewed for `stale_seconds` says so itself.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Health:
    """What ails the agent, a line each; nothing, if it is well."""

    ailments: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        return not self.ailments


class HealthBoard:
    """Written by the loop, read by anybody. One reference is swapped, so there is no lock.

    `hear` is called with each renewal, from the loop.
    """

    def __init__(
        self,
        stale_seconds: float = 10.0,
        now: Callable[[], float] = time.monotonic,
        hear: Callable[[Health], None] = lambda _: None,
    ) -> None:
        self._stale_seconds = stale_seconds
        self._now = now
        self._hear = hear
        self._last = (now(), Health())

    def renew(self, health: Health) -> None:
        """The loop runs, and this is how things are."""
        self._last = (self._now(), health)
        self._hear(health)

    def read(self) -> Health:
        """How things are; a loop that was silent for too long is an ailment too."""
        renewed_at, health = self._last
        silent_seconds = self._now() - renewed_at
        if silent_seconds <= self._stale_seconds:
            return health
        stalled = f"the event loop has not run for {silent_seconds:.0f} s"
        return Health((stalled, *health.ailments))
