"""The text of mcelog, a record at a time where it is written as usual; else line by line.

Most of a long file is records in one of two shapes: as `mcelog --ascii` reads them, and as mcelog
writes them. One pattern finds such a record whole, with what must follow it. Whatever is not found
so is left to `mcelog_text`, which reads everything, and whose word counts: what is said here is
what it would have said, only sooner.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from agent.telemetry.lines import CUT, LINE_BYTES_MAX, lines
from agent.telemetry.machine_check import NOTHING, Told, Verdict, judged, verdict_of
from agent.telemetry.mcelog_text import McelogText, check_of, words_of
from agent.telemetry.prefixes import Unsaid
from agent.telemetry.reader import fed
from agent.telemetry.record import Outcome
from agent.telemetry.source import Source

_N = "(?:0x)?[0-9a-fA-F]{1,16}"
_CPU = r"CPU (?P<CPU>\d{1,5}) (?:BANK )?(?P<BANK>\d{1,3})"
_HEADER = r"Hardware event\. This is not a software error\.\n"
# A blank line, or the first of another record: only then it is known that this one is over.
_OVER = rf"(?:\n|(?=CPU \d{{1,5}} (?:BANK )?\d{{1,3}}[ \n]|MCE \d{{1,10}}\n|{_HEADER}))"
_AS_READ = re.compile(
    rf"{_CPU} ?\n(?P<registers>(?:(?:"
    rf"(?:STATUS|ADDR|MISC|MCGSTATUS|MCGCAP|TSC|SYND|IPID|PPIN|MICROCODE|APICID) {_N}"
    rf"|(?:TIME|SOCKETID) \d{{1,11}}|PROCESSOR \d{{1,3}}:{_N})(?: ?\n| (?=\S))){{1,20}})"
    rf"(?<=\n){_OVER}",
    re.ASCII,
)
_BEGIN = re.compile(
    rf"(?:{_HEADER})?(?:MCE \d{{1,10}}\n)?(?P<begin>){_CPU}"
    rf"(?: TSC {_N})?(?: \[[^\]\n]{{0,200}}\])? ?\n"
    rf"(?:(?:MISC (?P<MISC>{_N})(?: ADDR (?P<ADDR>{_N}))?|ADDR (?P<ALONE>{_N})) ?\n)?"
    r"(?:TIME (?P<TIME>\d{1,11}) [A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d [\d:]{8} \d{4}\n)?",
    re.ASCII,
)
_END = re.compile(
    rf"STATUS (?P<STATUS>{_N}) MCGSTATUS {_N} ?\n"
    rf"(?:MCGCAP (?P<MCGCAP>{_N}) APICID {_N} SOCKETID (?P<SOCKETID>\d{{1,11}}) ?\n)?"
    rf"(?:PPIN {_N} ?\n)?(?:MICROCODE {_N} ?\n)?"
    r"(?:CPUID Vendor (?P<MAKER>\w{1,20}) Family \d{1,5} Model \d{1,5}[^\n]{0,40}\n)?"
    rf"{_OVER}",
    re.ASCII,
)
_WORDS_CHARS_MAX = 2000
_SECOND_NS = 1_000_000_000
# What is the same in many records of one failing DIMM, and decides all but time and address.
_REPEATING = ("STATUS", "BANK", "MCGCAP", "SOCKETID", "PROCESSOR", "MAKER", "SYND", "IPID")

Registers = Mapping[str, str | None]


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

    def over(self, text: str) -> Iterator[Outcome]:
        at = 0
        while at < len(text):
            usual = self._usual(text, at)
            if usual:
                yield from self._reader.close()
                outcome, end = usual
                yield outcome
            else:
                end = text.find("\n", at) + 1 or len(text)
                yield from self._line(text[at:end].removesuffix("\n"))
            at = end

    def over_lines(self, texts: Iterable[str]) -> Iterator[Outcome]:
        for text in texts:
            yield from self._line(text)

    def close(self) -> Iterator[Outcome]:
        yield from self._reader.close()

    def _line(self, text: str) -> Iterator[Outcome]:
        number, self._number = self._number, self._number + 1
        short = text if len(text) <= LINE_BYTES_MAX else text[:LINE_BYTES_MAX] + CUT
        yield from fed(self._reader, number, short, self._unsaid)

    def _usual(self, text: str, at: int) -> tuple[Outcome, int] | None:
        """What a record in a usual shape reports, if one begins at `at`, and where it ends."""
        if self._reader.awaits_a_cpu:
            return None
        usual = self._as_read(text, at) or self._as_written(text, at)
        if usual:
            self._number += text.count("\n", at, usual[1])
        return usual

    def _as_read(self, text: str, at: int) -> tuple[Outcome, int] | None:
        found = _AS_READ.match(text, at)
        if found is None:
            return None
        words = found["registers"].split()
        registers = dict(zip(words[::2], words[1::2], strict=True))
        if 2 * len(registers) != len(words) or "STATUS" not in registers:
            return None  # one is told twice, or none: the reader says what is wrong
        registers["CPU"], registers["BANK"] = found["CPU"], found["BANK"]
        return self._outcome(registers, self._number, NOTHING), found.end()

    def _as_written(self, text: str, at: int) -> tuple[Outcome, int] | None:
        begin = _BEGIN.match(text, at)
        if begin is None:
            return None
        words_at = begin.end()
        end_at = text.find("STATUS ", words_at, words_at + _WORDS_CHARS_MAX)
        end = _END.match(text, end_at) if end_at >= 0 else None
        told = _told_by(text[words_at:end_at]) if end else None
        if end is None or told is None:
            return None
        registers = {**begin.groupdict(), **end.groupdict()}
        registers["ADDR"] = registers["ADDR"] or registers["ALONE"]
        line = self._number + text.count("\n", at, begin.start("begin"))
        return self._outcome(registers, line, told), end.end()

    def _outcome(self, registers: Registers, line: int, told: Told) -> Outcome:
        """As `judged` has it, but what follows from the registers that repeat is looked up."""
        get = registers.get
        verdict = _verdict_of(tuple(map(get, _REPEATING)))
        if isinstance(verdict, str):
            return judged(check_of(_present(registers)), line, self._unsaid.boot_ns)
        time, addr, misc = get("TIME"), get("ADDR"), get("MISC")
        return verdict.of(
            line,
            int(time or 0) * _SECOND_NS or self._unsaid.boot_ns,
            int(addr, 16) if addr else None,
            int(misc, 16) if misc else None,
            None,
            told,
        )


def _present(registers: Registers) -> dict[str, str]:
    return {name: value for name, value in registers.items() if value is not None}


@lru_cache(maxsize=4096)
def _verdict_of(values: tuple[str | None, ...]) -> Verdict | str:
    """The verdict on the registers `_REPEATING`."""
    return verdict_of(check_of(_present(dict(zip(_REPEATING, values, strict=True)))))


# mcelog says the same words of all errors that are alike.
_told_by = lru_cache(maxsize=1024)(words_of)
