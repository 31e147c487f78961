"""Lines into outcomes, and records that are outcomes already.

Whatever a host's log may hold, `kernel_log` reads: nothing has to be recognised first, and a log
may be read from the middle of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from agent.adapters.spool import Place
from agent.telemetry.kernel_log import KernelLog
from agent.telemetry.prefixes import Unsaid
from agent.telemetry.record import Outcome
from agent.telemetry.window import Found, Line, Mark, Walk, Window


class LogReader:
    """Reads the lines of a log.

    What they leave unsaid is asked for anew with each walk: a date without a year is that of the
    last such day, and days go by.
    """

    def __init__(self, place: Place, unsaid: Callable[[], Unsaid]) -> None:
        def begin_walk() -> Walk:
            return KernelLog(unsaid())

        self._window = Window(begin_walk, place.mark, place.taken)

    @property
    def place(self) -> Place:
        return Place(self._window.mark, self._window.taken)

    @property
    def is_settled(self) -> bool:
        return self._window.is_settled

    def begin(self, mark: Mark) -> list[Found]:
        return self._window.begin(mark)

    def feed(self, items: Sequence[Line]) -> list[Found]:
        return self._window.feed(items)

    def conclude(self) -> list[Found]:
        return self._window.conclude()


@dataclass(frozen=True, slots=True)
class Row:
    """A record of a source that keeps records, decoded; `mark` is behind it."""

    outcome: Outcome
    mark: Mark
    number: int


@dataclass(slots=True)
class RowReader:
    """Each row stands for itself: its place is behind the last one."""

    place: Place = field(default_factory=Place)
    is_settled: bool = field(default=True, init=False)

    def begin(self, mark: Mark) -> list[Found]:
        self.place = Place(str(mark))
        return []

    def feed(self, items: Sequence[Row]) -> list[Found]:
        if items:
            self.place = Place(str(items[-1].mark))
        return [Found(row.outcome, Line(b"", row.mark, row.number)) for row in items]

    def conclude(self) -> list[Found]:
        return []
