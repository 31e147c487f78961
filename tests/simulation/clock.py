"""What a clock on the wall says: usually what it should."""

import asyncio

EPOCH_NS = 1_767_225_600 * 1_000_000_000  # 2026-01-01
_NS = 1_000_000_000


class WallClock:
    """Virtual time, and whatever somebody has set it to. Host and agent have the same."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.offset_ns = 0

    def __call__(self) -> int:
        return EPOCH_NS + round(self._loop.time() * _NS) + self.offset_ns

    def step(self, seconds: float) -> None:
        """Somebody sets it: forward, or back."""
        self.offset_ns += round(seconds * _NS)
