"""Which decoder reads an input: a table, asked in order, by content and never by a file's name."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from agent.telemetry import kernel_log, smartmem
from agent.telemetry.prefixes import Unsaid
from agent.telemetry.record import Outcome, Refused

# Enough to get past a banner, little enough to keep.
OPENING_LINES = 100


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write memory errors down, and how it is told and read."""

    name: str
    recognises: Callable[[Sequence[str], Unsaid], bool]
    decode: Callable[[Iterable[str], Unsaid], Iterator[Outcome]]


FORMATS = (
    Format("smartmem", smartmem.is_smartmem, smartmem.decode),
    Format("edac", kernel_log.is_kernel_log, kernel_log.decode),
)
NAMES = tuple(form.name for form in FORMATS)


def recognised(opening: Sequence[str], unsaid: Unsaid) -> Format | None:
    """The first format that knows these lines as its own."""
    return next((form for form in FORMATS if form.recognises(opening, unsaid)), None)


def decode(lines: Iterable[str], unsaid: Unsaid, name: str | None = None) -> Iterator[Outcome]:
    """What `lines` report, read as the format `name`, or as the one that their opening shows."""
    lines = iter(lines)
    opening = list(islice(lines, OPENING_LINES))
    form = _named(name) if name else recognised(opening, unsaid)
    if form:
        return form.decode(chain(opening, lines), unsaid)
    return iter((_unknown(opening),))


def _named(name: str) -> Format:
    return next(form for form in FORMATS if form.name == name)


def _unknown(opening: Sequence[str]) -> Refused:
    if not opening:
        return Refused(1, "empty")
    return Refused(
        1,
        f"no format that is read ({', '.join(NAMES)}) in the first {len(opening)} lines; "
        "if it is one of them all the same, say so with --format",
    )
