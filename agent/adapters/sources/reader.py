"""Lines into outcomes, and records that are outcomes already.

A log is recognised by its first lines, once: what it was recognised to be is part of its place, for
a later life begins in the middle of it, where it may not show.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from agent.adapters.spool import Place
from agent.telemetry import formats
from agent.telemetry.formats import Format
from agent.telemetry.prefixes import Unsaid
from agent.telemetry.record import Outcome, Refused
from agent.telemetry.source import OPENING_LINES, Stream, opening
from agent.telemetry.window import Found, Line, Mark, Window


class LogReader:
    """Reads the lines of a log. `form` names its format; without, it is recognised.

    What its lines leave unsaid is asked for anew each time: a date without a year is that of the
    last such day, and days go by.
    """

    def __init__(self, place: Place, unsaid: Callable[[], Unsaid], form: str = "") -> None:
        self._unsaid = unsaid
        self._form = form or place.form
        self._window = Window(self._decode, place.mark, place.taken)
        self._opening: list[Line] = []

    @property
    def place(self) -> Place:
        return Place(self._window.mark, self._window.taken, self._form)

    @property
    def is_settled(self) -> bool:
        return self._window.is_settled and not self._opening

    def begin(self, mark: Mark) -> list[Found]:
        return [*self._window.feed(self._opened()), *self._window.begin(mark)]

    def feed(self, items: Sequence[Line]) -> list[Found]:
        if self._form:
            return self._window.feed(items)
        self._opening += items
        self._recognise()
        if self._form or len(self._opening) >= OPENING_LINES:
            return self._window.feed(self._opened())
        return []

    def conclude(self) -> list[Found]:
        return [*self._window.feed(self._opened()), *self._window.conclude()]

    def _opened(self) -> list[Line]:
        opened, self._opening = self._opening, []
        return opened

    def _recognise(self) -> None:
        head = b"".join(line.raw for line in self._opening[:OPENING_LINES])
        form = formats.recognised(opening(Stream(head), self._unsaid()))
        self._form = form.name if form else ""

    def _decode(self, lines: Iterable[bytes]) -> Iterator[Outcome]:
        if self._form:
            return _named(self._form).decode(Stream(b"", lines), self._unsaid())
        return _unknown(lines)


def _named(name: str) -> Format:
    return next(form for form in formats.FORMATS if form.name == name)


def _unknown(lines: Iterable[bytes]) -> Iterator[Refused]:
    """Lines of which nobody knows what they are: passed over, and said so once a window."""
    if list(islice(lines, 1)):
        yield Refused(1, f"in no format that is read ({', '.join(formats.NAMES)})")
    for _ in lines:
        pass


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
