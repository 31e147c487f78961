"""Formats that are read line by line: readers that are fed, and the walk that feeds one of them.

A reader takes the lines that are its own and leaves the others, so that several of them can share
one log. A record may span lines: then it comes with the line that ends it, or on closing.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from agent.telemetry.prefixes import Stamped, Unsaid, unprefixed
from agent.telemetry.record import Outcome, Refused


class Reader(Protocol):
    """One format's state between two lines."""

    def feed(self, number: int, said: Stamped) -> Sequence[Outcome] | None:
        """What line `number` completes, or None if it is not a line of this format."""
        ...

    def close(self) -> Sequence[Outcome]:
        """What the last lines hold: no other comes."""
        ...


# Words of all formats that may stand in one log. What one reader leaves would be lost.
_OF_ERRORS = re.compile(
    r"\bEDAC MC\d|\[Hardware Error\]|\(XEN\) (?:\[[^\]]{1,40}\] )?Bank \d|\bmce_record: "
    r"|\bmc_event: |\bCPU \d+ BANK \d",
    re.ASCII,
)


def read(reader: Reader, lines: Iterable[str], unsaid: Unsaid) -> Iterator[Outcome]:
    """What `reader` makes of `lines`, which hold its format alone."""
    for number, line in enumerate(lines, 1):
        yield from fed(reader, number, line, unsaid)
    yield from reader.close()


def fed(reader: Reader, number: int, line: str, unsaid: Unsaid) -> Sequence[Outcome]:
    """What `reader` makes of one line of a log that holds its format alone."""
    outcomes = reader.feed(number, unprefixed(line, unsaid))
    if outcomes is None and _OF_ERRORS.search(line):
        return (Refused(number, "an error in another format: read the log as a kernel log"),)
    return outcomes or ()
