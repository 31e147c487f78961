"""A log that still grows, read as if it were whole: nothing is said twice, whenever reading stops.

Of a log that grows, only a part is there, and its last lines may begin a block whose rest is yet to
come. So a place in it is a *mark* and a number: how many outcomes of what lies behind were taken.

    mark ─ line line line line line line line line line line line ─ what is yet to come
            └─ taken: 3 outcomes ─┘  └─ said, not taken ─┘ └ held ┘

A walk over the lines from the mark on says the same each time. After a stop it is made again, and
as many outcomes as were taken are passed over. What the walk still holds is said when nothing came
for a while (`conclude`); then the mark moves up to the end, and another walk begins there.

Where a log never rests, the mark moves up to a *cut*: a place where a new walk, begun there, says
what the old one said from there on, and where the old one, ended there, would have said the rest.
A cut that would show is not made; nor one that would show later, by what the walks say is owed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Protocol
from uuid import UUID

from agent.telemetry.lines import text_of
from agent.telemetry.record import Outcome

LINES_MAX = 4096  # with more since the mark, a cut is looked for
LINES_BEHIND = 1024  # a cut: more than a walk holds anything for
LINES_LIMIT = 4 * LINES_MAX  # a log that cannot be cut for so long is concluded where it is
TRIES_MAX = 4  # at a cut, each of which walks the window once more


class Mark(Protocol):
    """A place in a source, behind a line; as text it can be kept, and found again."""

    def __str__(self) -> str: ...


class Walk(Protocol):
    """A decoder between two lines."""

    def line(self, number: int, line: str) -> Iterable[Outcome]:
        """What can be said now that this line has come."""
        ...

    def close(self) -> Iterable[Outcome]:
        """What is left to say if no other comes."""
        ...

    @property
    def owed(self) -> object:
        """What is known already of errors that are yet to be told once more, to be compared."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """One line as it is written; `mark` is None where the source cannot go on right behind it.

    `number` is for people, `boot_id` the boot that wrote it, where the source says so.
    """

    raw: bytes
    mark: Mark | None
    number: int = 0
    boot_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, and what the line was that it says it of."""

    outcome: Outcome
    line: Line


class _Walked:
    """Lines, walked from the first of them on, and what was said of them by now."""

    def __init__(self, walk: Walk, lines: Iterable[Line] = ()) -> None:
        self._walk = walk
        self.lines: list[Line] = []
        self.said: list[Outcome] = []
        self.said_at: list[int] = []  # how many lines had been walked by then
        for line in lines:
            self.go(line)

    def go(self, line: Line) -> None:
        self.lines.append(line)
        self._say(self._walk.line(len(self.lines), text_of(line.raw.removesuffix(b"\n"))))

    def end(self) -> None:
        """Have the walk say what it holds; it goes no further."""
        self._say(self._walk.close())

    @property
    def owed(self) -> object:
        return self._walk.owed

    def _say(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            self.said.append(outcome)
            self.said_at.append(len(self.lines))

    def found(self, first: int) -> list[Found]:
        """What was said from outcome number `first` on."""
        return [Found(said, self.lines[said.line - 1]) for said in self.said[first:]]


@dataclass(slots=True)
class Window:
    """The lines since `mark`. `taken` counts the outcomes of them that were handed out before."""

    begin_walk: Callable[[], Walk]
    mark: str | None = None
    taken: int = 0
    _walked: _Walked = field(init=False)
    _cut_at: int = field(init=False, default=LINES_MAX)

    def __post_init__(self) -> None:
        self._begin()

    @property
    def is_settled(self) -> bool:
        """True when to conclude would change nothing."""
        return not self._walked.lines

    def feed(self, lines: Sequence[Line]) -> list[Found]:
        """What is said now that there are `lines` too."""
        if self.is_settled:
            self._begin()  # now, and not when the last one was concluded: that may be months ago
        for line in lines:
            self._walked.go(line)
        fresh = self._fresh()
        if len(self._walked.lines) > self._cut_at:
            self._cut()
        if len(self._walked.lines) > LINES_LIMIT:
            fresh += self.conclude()
        return fresh

    def begin(self, mark: Mark) -> list[Found]:
        """Conclude, and go on at `mark`, which is not behind the last line."""
        fresh = self.conclude()
        self.mark = str(mark)
        return fresh

    def conclude(self) -> list[Found]:
        """What there is to say if nothing follows: what comes from here on is read for itself."""
        self._walked.end()
        fresh = self._fresh()
        if self._walked.lines:
            self.mark = str(self._walked.lines[-1].mark)
        self.taken = 0
        self._begin()
        return fresh

    def _begin(self) -> None:
        self._walked = _Walked(self.begin_walk())
        self._cut_at = LINES_MAX

    def _fresh(self) -> list[Found]:
        fresh = self._walked.found(self.taken)
        self.taken += len(fresh)
        return fresh

    def _cut(self) -> None:
        """Move the mark up to the last cut that leaves `LINES_BEHIND` lines, if there is one."""
        for lines in islice(self._candidates(), TRIES_MAX):
            before = _Walked(self.begin_walk(), self._walked.lines[:lines])
            before.end()
            behind = _Walked(self.begin_walk(), self._walked.lines[lines:])
            if self._is_alike(before, behind) and len(before.said) <= self.taken:
                self.mark = str(self._walked.lines[lines - 1].mark)
                self.taken -= len(before.said)
                self._walked, self._cut_at = behind, LINES_MAX
                return
        self._cut_at = len(self._walked.lines) + LINES_BEHIND

    def _is_alike(self, before: _Walked, behind: _Walked) -> bool:
        lines = len(before.lines)
        moved = [replace(said, line=said.line + lines) for said in behind.said]
        is_said_alike = before.said + moved == self._walked.said
        return is_said_alike and behind.owed == self._walked.owed

    def _candidates(self) -> Iterator[int]:
        """Where a cut may be, the best first: behind what was said last, as a rule."""
        limit = len(self._walked.lines) - LINES_BEHIND
        spoken = {lines for at in self._walked.said_at for lines in (at, at - 1)}
        places = {self._marked(min(lines, limit)) for lines in (limit, *spoken)}
        yield from sorted(places - {0}, reverse=True)

    def _marked(self, lines: int) -> int:
        """The last place up to `lines` where the source can go on; 0 if there is none."""
        while lines and self._walked.lines[lines - 1].mark is None:
            lines -= 1
        return lines
