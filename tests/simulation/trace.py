"""What happened, line by line, for a person to read and a test to compare."""

import asyncio
from dataclasses import dataclass, field


@dataclass(slots=True)
class Trace:
    """`lines` are kept only if somebody wants to see them: most lives are told by their outcome."""

    loop: asyncio.AbstractEventLoop
    is_wanted: bool = False
    lines: list[str] = field(default_factory=list[str])

    def __call__(self, who: str, what: object) -> None:
        if self.is_wanted:
            self.lines.append(f"{_told(self.loop.time())}  {who:<9} {what}")


def _told(seconds: float) -> str:
    """`day 3 04:05:06.789`."""
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    return f"day {days:2.0f} {hours:02.0f}:{minutes:02.0f}:{rest:06.3f}"
