"""The text of `mcelog`: what it writes, and what `mcelog --ascii` reads.

    Hardware event. This is not a software error.         or, older, HARDWARE ERROR. This is NOT …
    MCE 0
    CPU 1 BANK 8 TSC 1193fd60c6699 [at 2000 Mhz …]        a record's first line; also `CPU 1 8`
    MISC 8f44960800095840 ADDR 4a9f3b1c0                  registers, hexadecimal, in any order
    Memory corrected error count (CORE_ERR_CNT): 18       prose: what mcelog made of them
    STATUS cc0004800001009f MCGSTATUS 0                   a record ends at the next one's first
                                                          line, a blank line or the log's end
Logged to a system log, every line has a prefix, and other programs' lines stand between.

A record whose registers come twice, or without its first line, is two records mixed or one torn
apart: its address could be another's, so it is refused.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from agent.telemetry.coordinates import coordinates
from agent.telemetry.machine_check import MachineCheck, Told, judged
from agent.telemetry.prefixes import Stamped, Unsaid, unprefixed
from agent.telemetry.reader import read
from agent.telemetry.record import Outcome, Refused

_WORDS_LINES_MAX = 32
_WORDS_CHARS_MAX = 1024

_HEADER = re.compile(
    r"\s*(?:Hardware event\. This is not a software error\.|HARDWARE ERROR\. This is NOT a "
    r"software problem!|Please contact your hardware vendor|MCE \d{1,10})\s*",
    re.ASCII,
)
_END = r"(?=\s|$)"
_NUMBER = r"(?:0x)?[0-9a-fA-F]{1,16}"
_TOKEN = re.compile(
    rf"\s*(?:CPU (?P<CPU>\d{{1,5}})"
    rf"(?: (?:BANK )?(?P<BANK>\d{{1,3}})| (?P<thermal>THERMAL EVENT)"
    rf"|: Machine Check(?: Exception)?:\s+(?:{_NUMBER}) Bank (?P<bank>\d{{1,3}}):"
    rf"\s+(?P<status>{_NUMBER})){_END}"
    rf"|(?P<name>STATUS|ADDR|MISC|MCGSTATUS|MCGCAP|TSC|SYND|IPID|PPIN|MICROCODE|APICID)"
    rf"\s+(?P<hex>{_NUMBER}){_END}"
    rf"|(?P<counted>TIME|SOCKETID)\s+(?P<decimal>\d{{1,11}}){_END}"
    rf"|PROCESSOR\s+(?P<PROCESSOR>\d{{1,3}}:{_NUMBER}){_END}"
    r"|(?P<RIP>RIP(?: !INEXACT!)? [0-9a-f]{1,4}:<?[0-9a-fx]{1,18}>?(?: ?\{[^}]{0,200}\})?)"
    r"|CPUID Vendor (?P<MAKER>\w{1,20}) Family \d{1,5} Model \d{1,5}[^\n]*)",
    re.ASCII,
)
# A register that is named and cannot be read: the line is cut off, or another is mixed into it.
_BROKEN = re.compile(
    r"\s*(?:(?:STATUS|ADDR|MISC|MCGSTATUS|MCGCAP|TSC|SYND|IPID|TIME|SOCKETID|PROCESSOR)(?:\s|$)"
    r"|CPU \d{1,5} BANK)",
    re.ASCII,
)
# Lines of the kernel and of Xen never are mcelog's words.
_FOREIGN = re.compile(r"\bEDAC |\[Hardware Error\]|\(XEN\)|\bmce_record: |\bmc_event: ")
_KEPT = re.compile(r"(?:MCA: |Memory |Transaction: |bank: |rank: |ecc mode: )", re.ASCII)
_COUNT = re.compile(r"Memory corrected error count \(CORE_ERR_CNT\): (\d{1,5})\b", re.ASCII)
_MAKERS: Mapping[str, int] = {"Intel": 0, "AMD": 2, "Hygon": 9}
_OTHER_MAKER = 255
# What no two records have in common.
_OWN = frozenset({"CPU", "BANK", "ADDR", "MISC", "TIME", "TSC"})
_SOME = Unsaid(latest=datetime.max.replace(tzinfo=UTC))  # whether there is a prefix says any
_SECOND_NS = 1_000_000_000
_THERMAL_BANK = "128"

Writer = tuple[str | None, str | None]  # a program on a host: another's lines are of other errors


def is_mcelog_text(opening: Sequence[str], unsaid: Unsaid) -> bool:
    """True if a record begins, and no line is of a log in which others write too."""
    is_shared = any(
        _FOREIGN.search(line) or unprefixed(line, unsaid).text != line for line in opening
    )
    return not is_shared and any(
        _HEADER.fullmatch(line) or "CPU" in _tokens(line)[0] for line in opening
    )


def decode(lines: Iterable[str], unsaid: Unsaid) -> Iterator[Outcome]:
    """The errors that `lines` report."""
    return read(McelogText(unsaid), lines, unsaid)


class McelogText:
    """Keeps the record that has begun."""

    def __init__(self, unsaid: Unsaid) -> None:
        self._unsaid = unsaid
        self._record: _Record | None = None

    def feed(self, number: int, said: Stamped) -> Sequence[Outcome] | None:
        text = said.text
        if said.program == "kernel":
            return None
        if not text or text.isspace():
            return self.close()
        if _HEADER.fullmatch(text):
            return self._header(number, said)
        tokens, rest = _tokens(text)
        if tokens or _BROKEN.match(rest):
            return self._registers(number, said, tokens, rest)
        if self._record is None or self._record.writer != _writer(said) or _FOREIGN.search(text):
            return () if said.program else None
        self._record.add_words(text)
        return ()

    @property
    def awaits_a_cpu(self) -> bool:
        """True if a record has begun by its header alone."""
        return self._record is not None and self._record.awaits_its_cpu

    def close(self) -> Sequence[Outcome]:
        record, self._record = self._record, None
        return (record.outcome(self._unsaid),) if record else ()

    def _header(self, number: int, said: Stamped) -> Sequence[Outcome]:
        if self._record and self._record.is_headed_by(_writer(said)):
            return ()  # the second line of the same header
        ended = self.close()
        self._record = _Record(number, said, is_whole=True)
        return ended

    def _registers(
        self, number: int, said: Stamped, tokens: dict[str, str], rest: str
    ) -> Sequence[Outcome]:
        record = self._record
        ended: Sequence[Outcome] = ()
        is_first = "CPU" in tokens and not (record and record.awaits_its_cpu)
        if record is None or record.writer != _writer(said) or is_first:
            ended = self.close()
            record = self._record = _Record(number, said, is_whole="CPU" in tokens)
        record.add_registers(number, tokens, rest)
        return ended


def _writer(said: Stamped) -> Writer:
    return said.host, said.program


def rest_of(text: str) -> tuple[dict[str, str], Told | None] | None:
    """The registers and words in the rest of a record; None if it is not whole, or not the rest.

    The rest is what stands behind the registers that no two records have in common. A blank line
    may end it.
    """
    registers: dict[str, str] = {}
    words: list[str] = []
    *whole, torn = (
        text.removesuffix("\n").split("\n") if text.endswith("\n\n") else text.split("\n")
    )
    for line in whole:
        tokens, rest = _tokens(line)
        if _is_of_others(line) or tokens.keys() & (registers.keys() | _OWN):
            return None
        if _BROKEN.match(rest) or _TOKEN.match(rest):
            return None
        registers |= tokens
        if not tokens:
            _keep(words, line)
    return None if torn or "STATUS" not in registers else (registers, told_by(words))


def _is_of_others(line: str) -> bool:
    """True if `line` ends a record, or is of none of mcelog's."""
    ends = not line.strip() or _HEADER.fullmatch(line)
    return bool(ends or _FOREIGN.search(line) or unprefixed(line, _SOME).text != line)


def _keep(words: list[str], line: str) -> None:
    if _KEPT.match(line) and len(words) < _WORDS_LINES_MAX:
        words.append(line.strip())


def _tokens(text: str) -> tuple[dict[str, str], str]:
    """The registers that `text` begins with, by their names, and what stands after them."""
    tokens: dict[str, str] = {}
    at = 0
    while found := _TOKEN.match(text, at):
        said = _named(found)
        if tokens.keys() & said.keys():
            break
        tokens |= said
        at = found.end()
    return tokens, text[at:]


def _named(found: re.Match[str]) -> dict[str, str]:
    """One token's registers, by the names that they have in every form of it."""
    for name, value in (("name", "hex"), ("counted", "decimal")):
        if found[name]:
            return {found[name]: found[value]}
    said = {name: value for name, value in found.groupdict().items() if value is not None}
    if said.pop("thermal", None):
        said["BANK"] = _THERMAL_BANK
    for name in ("bank", "status"):
        if name in said:
            said[name.upper()] = said.pop(name)
    return said


class _Record:
    """What was told since the first line of a record."""

    def __init__(self, line: int, said: Stamped, *, is_whole: bool) -> None:
        self.writer = _writer(said)
        self._line = line
        self._said = said
        self._is_whole = is_whole
        self._registers: dict[str, str] = {}
        self._words: list[str] = []
        self._trouble: str | None = None

    def is_headed_by(self, writer: Writer) -> bool:
        """True if only a header of this writer has been told yet."""
        return self.writer == writer and not self._registers and self._trouble is None

    @property
    def awaits_its_cpu(self) -> bool:
        """True if a header began it and the line of its CPU can still come."""
        return self._is_whole and "CPU" not in self._registers

    def add_registers(self, line: int, tokens: Mapping[str, str], rest: str) -> None:
        if "CPU" in tokens:
            self._line = line
        twice = sorted(tokens.keys() & self._registers.keys())
        if twice:
            self._trouble = f"{twice[0]} is told twice: two records are mixed"
        self._registers |= tokens
        if _BROKEN.match(rest) or _TOKEN.match(rest):
            self._trouble = f"cut off, or mixed with another line, at {rest.strip()[:40]!r}"

    def add_words(self, text: str) -> None:
        _keep(self._words, text)

    def outcome(self, unsaid: Unsaid) -> Outcome:
        reason = self._trouble or self._gap()
        if reason:
            return Refused(self._line, f"mcelog: {reason}")
        time_ns = unsaid.boot_ns if self._said.time_ns is None else self._said.time_ns
        told = told_by(self._words)
        return judged(check_of(self._registers), self._line, time_ns, self._said.host, told)

    def _gap(self) -> str | None:
        """What is missing."""
        if not self._is_whole:
            return "registers without the line of their CPU: the rest of a record torn apart"
        if not self._registers:
            return "a header without a record"
        if "STATUS" not in self._registers and self._registers.get("BANK") != _THERMAL_BANK:
            return "a record without its STATUS: torn apart"
        return None


def check_of(registers: Mapping[str, str]) -> MachineCheck:
    """The machine check that these registers, under mcelog's names, are."""
    told = registers.get
    time = told("TIME")
    return MachineCheck(
        status=int(told("STATUS", "0"), 16),
        cpu=_decimal(told("CPU")),
        bank=_decimal(told("BANK")),
        addr=_hexadecimal(told("ADDR")),
        misc=_hexadecimal(told("MISC")),
        mcgcap=_hexadecimal(told("MCGCAP")),
        synd=_hexadecimal(told("SYND")),
        ipid=_hexadecimal(told("IPID")),
        time_ns=int(time) * _SECOND_NS if time else None,
        socket=_decimal(told("SOCKETID")),
        vendor=_vendor(told("PROCESSOR"), told("MAKER")),
    )


def _decimal(text: str | None) -> int | None:
    return None if text is None else int(text)


def _hexadecimal(text: str | None) -> int | None:
    return None if text is None else int(text, 16)


def _vendor(processor: str | None, maker: str | None) -> int | None:
    """Who made it, by the kernel's number, or else by the name that mcelog gives."""
    if processor:
        return int(processor.partition(":")[0])
    return None if maker is None else _MAKERS.get(maker, _OTHER_MAKER)


def told_by(words: Sequence[str]) -> Told | None:
    """What mcelog's words tell: the coordinates and the count that it found."""
    if not words:
        return None
    text = "; ".join(words)[:_WORDS_CHARS_MAX]
    counted = _COUNT.search(text)
    return Told(words=text, count=int(counted[1]) if counted else 0, **coordinates(text))
