"""A log that still grows, read as if it were whole: nothing is said twice, whenever reading stops.

A decoder says of a whole log what it reports. Of a log that grows, only a part is there, and its
last lines may begin a block whose rest is yet to come. So the lines since a *mark* are kept, and
decoded anew as often as lines are added:

    mark ─ line line line line line line line line line line ─ what is yet to come
             └─ taken: 3 outcomes ─┘  └─ concluded ─┘ └ open ┘

What a decoder says before it asks for the line that is not there yet is *concluded*: more lines
change nothing of it. What it says only because the lines end is *open*. All that is to be written
down of a reading is the mark and how many outcomes behind it were taken. Read again from the mark,
the same lines say the same, and that many are passed over.

The mark moves up when nothing came for a while (`conclude`), and where a log never rests, at a
*cut*: a line behind which both halves, decoded apart, say what the whole says. No decoder has to
tell that it remembers something; a cut that it would notice is not made.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Protocol
from uuid import UUID

from agent.telemetry.record import Outcome

LINES_MAX = 1024  # with more in the window, a cut is looked for
LINES_BEHIND = 256  # a cut; far more than any block has
LINES_LIMIT = 8 * LINES_MAX  # a log that cannot be cut for so long is concluded where it is
TRIES_MAX = 16  # at a cut, each of which decodes the window once more


class Mark(Protocol):
    """A place in a source, behind a line; as text it can be kept, and found again."""

    def __str__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Line:
    """One line with its end; `mark` is None where the source cannot go on right behind it.

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


@dataclass(frozen=True, slots=True)
class _Said:
    """An outcome, how many lines had been read for it, and whether they had ended by then."""

    outcome: Outcome
    lines: int
    is_open: bool


@dataclass(slots=True)
class Window:
    """The lines since `mark`. `taken` counts the outcomes of them that were handed out before."""

    decode: Callable[[Iterable[bytes]], Iterator[Outcome]]
    mark: str | None = None
    taken: int = 0
    _lines: list[Line] = field(default_factory=list[Line])

    @property
    def is_settled(self) -> bool:
        """True when to conclude would change nothing."""
        return not self._lines

    def feed(self, lines: Sequence[Line]) -> list[Found]:
        """What is concluded, now that there are `lines` too."""
        self._lines += lines
        said = list(self._said(self._lines))
        concluded = sum(not each.is_open for each in said)
        fresh = [self._found(each.outcome) for each in said[self.taken : concluded]]
        self.taken = max(self.taken, concluded)
        if len(self._lines) > LINES_MAX:
            self._shorten(said, concluded)
        if len(self._lines) > LINES_LIMIT:
            fresh += self.conclude()
        return fresh

    def begin(self, mark: Mark) -> list[Found]:
        """Conclude, and go on at `mark`, which is not behind the last line."""
        fresh = self.conclude()
        self.mark = str(mark)
        return fresh

    def conclude(self) -> list[Found]:
        """What there is to say if nothing follows: what comes from here on is read for itself."""
        said = list(self._said(self._lines))
        fresh = [self._found(each.outcome) for each in said[self.taken :]]
        self._begin_behind(len(self._lines), len(said))
        return fresh

    def _said(self, lines: Sequence[Line]) -> Iterator[_Said]:
        read = _Counted(lines)
        for outcome in self.decode(read):
            yield _Said(outcome, read.count, read.is_over)

    def _found(self, outcome: Outcome) -> Found:
        return Found(outcome, self._lines[outcome.line - 1])

    def _shorten(self, said: Sequence[_Said], concluded: int) -> None:
        """Move the mark up to the last cut that leaves `LINES_BEHIND` lines, if there is one."""
        whole = [each.outcome for each in said]
        for lines in islice(self._candidates(said), TRIES_MAX):
            before = self._outcomes(self._lines[:lines])
            behind = self._outcomes(self._lines[lines:])
            if len(before) <= concluded and before + [_moved(o, lines) for o in behind] == whole:
                self._begin_behind(lines, len(before))
                return

    def _candidates(self, said: Sequence[_Said]) -> Iterator[int]:
        """Where to cut, the best first: behind what was said last, or where nothing was said."""
        limit = len(self._lines) - LINES_BEHIND
        spoken = {lines for each in said for lines in (each.lines, each.lines - 1)}
        places = {self._marked(min(lines, limit)) for lines in (limit, *spoken)}
        yield from sorted(places - {0}, reverse=True)

    def _marked(self, lines: int) -> int:
        """The last place up to `lines` where a source can go on; 0 if there is none."""
        while lines and self._lines[lines - 1].mark is None:
            lines -= 1
        return lines

    def _outcomes(self, lines: Sequence[Line]) -> list[Outcome]:
        return [each.outcome for each in self._said(lines)]

    def _begin_behind(self, lines: int, outcomes: int) -> None:
        if lines:
            self.mark = str(self._lines[lines - 1].mark)
        self._lines = self._lines[lines:]
        self.taken = max(self.taken - outcomes, 0)


class _Counted(Iterator[bytes]):
    """The bytes of `lines`, which knows how many were asked for."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines
        self.count = 0
        self.is_over = False

    def __next__(self) -> bytes:
        if self.count == len(self._lines):
            self.is_over = True
            raise StopIteration
        self.count += 1
        return self._lines[self.count - 1].raw


def _moved(outcome: Outcome, lines: int) -> Outcome:
    """`outcome` of a half as the whole numbers it."""
    return replace(outcome, line=outcome.line + lines)
