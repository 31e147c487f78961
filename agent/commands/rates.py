"""How fast something counts, from looks at its counter: over the last seconds, not since the start.

Pure: whoever looks says when.
"""

from collections import deque
from dataclasses import dataclass, field

OVER_SECONDS = 10.0


@dataclass(slots=True)
class Rate:
    """A counter as it was seen lately."""

    _seen: deque[tuple[float, int]] = field(default_factory=deque[tuple[float, int]])

    def see(self, at: float, count: int) -> None:
        """At this time it stood at `count`; a counter that went back began anew."""
        if self._seen and (count < self._seen[-1][1] or at < self._seen[-1][0]):
            self._seen.clear()
        self._seen.append((at, count))
        while len(self._seen) > 2 and at - self._seen[1][0] >= OVER_SECONDS:
            self._seen.popleft()

    @property
    def per_second(self) -> float | None:
        """None before it was seen twice."""
        if len(self._seen) < 2 or self._seen[-1][0] == self._seen[0][0]:
            return None
        (then, before), (now, after) = self._seen[0], self._seen[-1]
        return (after - before) / (now - then)
