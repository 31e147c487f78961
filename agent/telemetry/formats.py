"""Which decoder reads an input: a table, asked in order, by content and never by a file's name.

A format is told by how the input begins, its bytes or its lines, and reads from the source what it
likes: `in_lines` makes a format of a decoder of lines.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from agent.telemetry import (
    kernel_log,
    mce_inject,
    mce_record,
    mce_struct,
    mcelog_fast,
    mcelog_text,
    rasdaemon,
    smartmem,
    xen_console,
)
from agent.telemetry.lines import lines
from agent.telemetry.prefixes import Unsaid
from agent.telemetry.record import Outcome, Refused
from agent.telemetry.source import Opening, Source, opening

Recognise = Callable[[Opening], bool]
Decode = Callable[[Source, Unsaid], Iterator[Outcome]]


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write memory errors down, and how it is told and read."""

    name: str
    recognises: Recognise
    decode: Decode


def by_lines(is_ours: Callable[[Sequence[str], Unsaid], bool]) -> Recognise:
    """Told by the first lines."""
    return lambda begins: is_ours(begins.lines, begins.unsaid)


def in_lines(decode_lines: Callable[[Iterable[str], Unsaid], Iterator[Outcome]]) -> Decode:
    """Read line by line."""
    return lambda source, unsaid: decode_lines(lines(source.chunks()), unsaid)


FORMATS = (
    Format("smartmem", by_lines(smartmem.is_smartmem), in_lines(smartmem.decode)),
    Format("rasdaemon-db", rasdaemon.is_database, rasdaemon.decode),
    Format("mce-struct", mce_struct.is_mce_struct, mce_struct.decode),
    Format("mce-inject", by_lines(mce_inject.is_mce_inject), in_lines(mce_inject.decode)),
    Format("mce-record", by_lines(mce_record.is_mce_record), in_lines(mce_record.decode)),
    Format("xen", by_lines(xen_console.is_xen_console), in_lines(xen_console.decode)),
    Format("mcelog", by_lines(mcelog_text.is_mcelog_text), mcelog_fast.decode),
    Format("edac", by_lines(kernel_log.is_kernel_log), in_lines(kernel_log.decode)),
)
NAMES = tuple(form.name for form in FORMATS)


def recognised(begins: Opening) -> Format | None:
    """The first format that knows this beginning as its own."""
    return next((form for form in FORMATS if form.recognises(begins)), None)


def decode(source: Source, unsaid: Unsaid, name: str | None = None) -> Iterator[Outcome]:
    """What `source` reports, read as the format `name`, or as the one that its opening shows."""
    begins = opening(source, unsaid)
    form = _named(name) if name else recognised(begins)
    if form:
        return form.decode(source, unsaid)
    return iter((_unknown(begins),))


def _named(name: str) -> Format:
    return next(form for form in FORMATS if form.name == name)


def _unknown(begins: Opening) -> Refused:
    if not begins.head:
        return Refused(1, "empty")
    return Refused(
        1,
        f"no format that is read ({', '.join(NAMES)}) in the first {len(begins.lines)} lines; "
        "if it is one of them all the same, say so with --format",
    )
