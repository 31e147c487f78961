"""The text of mcelog, a record at a time where it is written as usual; else line by line.

    Hardware event. This is not a software error.      the beginning: one pattern takes it apart
    MCE 0
    CPU 3 BANK 13
    MISC 86 ADDR 45678040
    TIME 1700000000 Tue Nov 14 22:13:20 2023
    MCA: MEMORY CONTROLLER RD_CHANNEL2_ERR             the rest: of a failing DIMM it is nearly the
    STATUS 8c00008000010092 MCGSTATUS 0                same thousands of times, so what it means is
    MCGCAP f000c15 APICID 6 SOCKETID 1                 worked out once, by `mcelog_text`

Whatever is not written so is left to `mcelog_text`, which reads everything, and whose word counts:
what is said here is what it would have said, only sooner.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from agent.telemetry.lines import CUT, LINE_BYTES_MAX, lines
from agent.telemetry.machine_check import Verdict, judged, verdict_of
from agent.telemetry.mcelog_text import McelogText, check_of, rest_of
from agent.telemetry.prefixes import Unsaid
from agent.telemetry.reader import fed
from agent.telemetry.record import Outcome
from agent.telemetry.source import Source

_N = "(?:0x)?[0-9a-fA-F]{1,16}"
_HEADER = "Hardware event. This is not a software error.\n"
_FIRST, _FIRST_OF_HEADER = "CPU ", "Hardware event. "
_BEGIN = re.compile(
    rf"(?P<header>{re.escape(_HEADER)})?(?:MCE \d{{1,10}}\n)?"
    r"CPU (?P<CPU>\d{1,5}) (?:BANK )?(?P<BANK>\d{1,3})"
    rf"(?P<tsc> TSC {_N})?(?: \[[^\]\n]{{0,200}}\])? ?\n"
    rf"(?P<status>STATUS {_N} ?\n)?(?(tsc)|(?:TSC {_N} ?\n)?)"
    rf"(?:MISC (?P<MISC>{_N})(?: ?\n| (?=ADDR )))?(?:ADDR (?P<ADDR>{_N}) ?\n)?"
    r"(?:TIME (?P<TIME>\d{1,11})(?: [A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d [\d:]{8} \d{4})? ?\n)?",
    re.ASCII,
)
_REST_CHARS_MAX = 2000
_SECOND_NS = 1_000_000_000

Rest = tuple[dict[str, str], Verdict | str]


def decode(source: Source, unsaid: Unsaid) -> Iterator[Outcome]:
    """The errors that `source` reports: just what `mcelog_text.decode` says of its lines."""
    walk = _Walk(unsaid)
    for stretch in _stretches(source.chunks()):
        if stretch.isascii() and b"\r" not in stretch:
            yield from walk.over(stretch.decode("ascii"))
        else:
            yield from walk.over_lines(lines((stretch,)))
    yield from walk.close()


def _stretches(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes again, cut only at ends of lines; a line that never ends is cut off."""
    rest = b""
    for chunk in chunks:
        whole, end, rest = (rest + chunk).rpartition(b"\n")
        if end:
            yield whole + end
        rest = rest[: LINE_BYTES_MAX + 2]
    if rest:
        yield rest


class _Walk:
    """Where we are: the next line's number, and the record that has begun."""

    def __init__(self, unsaid: Unsaid) -> None:
        self._unsaid = unsaid
        self._reader = McelogText(unsaid)
        self._number = 1

    def over(self, text: str) -> list[Outcome]:
        """What the lines of `text`, plain ASCII, complete."""
        outcomes: list[Outcome] = []
        at, begin = 0, _BEGIN.match(text)
        while at < len(text):
            following = None if begin is None else self._following(text, begin)
            outcome = self._usual(begin, following) if begin and following else None
            if following and outcome:
                outcomes += self._reader.close()
                outcomes.append(outcome)
                start = following.start()
                self._number += text.count("\n", at, start)
                at, begin = start, following
            else:
                end = text.find("\n", at) + 1 or len(text)
                outcomes += self._line(text[at:end].removesuffix("\n"))
                at, begin = end, _BEGIN.match(text, end)
        return outcomes

    def over_lines(self, texts: Iterable[str]) -> Iterator[Outcome]:
        for text in texts:
            yield from self._line(text)

    def close(self) -> Sequence[Outcome]:
        return self._reader.close()

    def _line(self, text: str) -> Sequence[Outcome]:
        number, self._number = self._number, self._number + 1
        short = text if len(text) <= LINE_BYTES_MAX else text[:LINE_BYTES_MAX] + CUT
        return fed(self._reader, number, short, self._unsaid)

    def _following(self, text: str, begin: re.Match[str]) -> re.Match[str] | None:
        """The beginning of the next record: without it, it is not known that this one is over."""
        after = _FIRST_OF_HEADER if begin["header"] else _FIRST
        at = text.find(after, begin.end(), begin.end() + _REST_CHARS_MAX)
        return _BEGIN.match(text, at) if at >= 0 and not self._reader.awaits_a_cpu else None

    def _usual(self, begin: re.Match[str], following: re.Match[str]) -> Outcome | None:
        """What the record between two beginnings reports; None if it is not written as usual."""
        _, cpu, bank, _, status, misc, addr, time = begin.groups()
        rest = _rest_of(bank, (status or "") + begin.string[begin.end() : following.start()])
        if rest is None:
            return None
        registers, verdict = rest
        line = self._number
        if begin.start("CPU") > begin.start() + len(_FIRST):
            line += begin.string.count("\n", begin.start(), begin.start("CPU"))
        if isinstance(verdict, str):
            return judged(check_of({**registers, "CPU": cpu}), line, self._unsaid.boot_ns)
        return verdict.of(
            line,
            int(time or 0) * _SECOND_NS or self._unsaid.boot_ns,
            int(addr, 16) if addr else None,
            int(misc, 16) if misc else None,
            None,
        )


@lru_cache(maxsize=4096)
def _rest_of(bank: str, text: str) -> Rest | None:
    """What follows from the rest of a record of this bank, if it is written as usual."""
    rest = rest_of(text)
    if rest is None:
        return None
    registers, told = rest
    registers["BANK"] = bank
    return registers, verdict_of(check_of(registers), told)
