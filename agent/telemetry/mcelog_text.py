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
from dataclasses import replace

from agent.telemetry.coordinates import coordinates
from agent.telemetry.exact import nanoseconds
from agent.telemetry.machine_check import MachineCheck, judged
from agent.telemetry.prefixes import Stamped, Unsaid, unprefixed
from agent.telemetry.reader import read
from agent.telemetry.record import Decoded, Outcome, Refused, checked

_PROSE_LINES_MAX = 32
_PROSE_CHARS_MAX = 1024

_HEADER = re.compile(
    r"\s*(?:Hardware event\. This is not a software error\.|HARDWARE ERROR\. This is NOT a "
    r"software problem!|Please contact your hardware vendor|MCE \d{1,10})\s*",
    re.ASCII,
)
_END = r"(?=\s|$)"
_NUMBER = r"(?:0x)?[0-9a-fA-F]{1,16}"
_TOKEN = re.compile(
    rf"\s*(?:CPU (?P<CPU>\d{{1,5}})"
    rf"(?: (?:BANK )?(?P<BANK>\d{{1,3}})| (?P<THERMAL>THERMAL EVENT)"
    rf"|: Machine Check(?: Exception)?:\s+(?:{_NUMBER}) Bank (?P<ITS_BANK>\d{{1,3}}):"
    rf"\s+(?P<ITS_STATUS>{_NUMBER})){_END}"
    rf"|(?P<name>STATUS|ADDR|MISC|MCGSTATUS|MCGCAP|TSC|SYND|IPID|PPIN|MICROCODE|APICID)"
    rf"\s+(?P<hex>{_NUMBER}){_END}"
    rf"|(?P<counted>TIME|SOCKETID)\s+(?P<decimal>\d{{1,20}}){_END}"
    rf"|PROCESSOR\s+(?P<VENDOR>\d{{1,3}}):(?P<CPUID>{_NUMBER}){_END}"
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
_THERMAL_BANK = 128


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
        if self._record is None or self._record.program != said.program or _FOREIGN.search(text):
            return () if said.program else None
        self._record.add_prose(rest)
        return ()

    def close(self) -> Sequence[Outcome]:
        record, self._record = self._record, None
        return (record.outcome(self._unsaid),) if record else ()

    def _header(self, number: int, said: Stamped) -> Sequence[Outcome]:
        if self._record and self._record.is_headed_by(said.program):
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
        if record is None or record.program != said.program or is_first:
            ended = self.close()
            record = self._record = _Record(number, said, is_whole="CPU" in tokens)
        record.add_registers(number, tokens, rest)
        return ended


def _tokens(text: str) -> tuple[dict[str, str], str]:
    """The registers that `text` begins with, by their names, and what stands after them."""
    tokens: dict[str, str] = {}
    at = 0
    while found := _TOKEN.match(text, at):
        said = {name: value for name, value in found.groupdict().items() if value is not None}
        for name, value in (("name", "hex"), ("counted", "decimal")):
            if name in said:
                said = {said[name]: said[value]}
        if tokens.keys() & said.keys():
            break
        tokens |= said
        at = found.end()
    return tokens, text[at:]


class _Record:
    """What was told since the first line of a record."""

    def __init__(self, line: int, said: Stamped, *, is_whole: bool) -> None:
        self.program = said.program
        self._line = line
        self._said = said
        self._is_whole = is_whole
        self._registers: dict[str, str] = {}
        self._prose: list[str] = []
        self._trouble: str | None = None

    def is_headed_by(self, program: str | None) -> bool:
        """True if only a header of this program has been told yet."""
        return self.program == program and not self._registers and self._trouble is None

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

    def add_prose(self, text: str) -> None:
        if _KEPT.match(text) and len(self._prose) < _PROSE_LINES_MAX:
            self._prose.append(text.strip())

    def outcome(self, unsaid: Unsaid) -> Outcome:
        reason = self._trouble or self._gap()
        if reason:
            return Refused(self._line, f"mcelog: {reason}")
        time_ns = unsaid.boot_ns if self._said.time_ns is None else self._said.time_ns
        outcome = judged(_check(self._registers), self._line, time_ns, self._said.host)
        return outcome if isinstance(outcome, Refused) else explained(outcome, self._prose)

    def _gap(self) -> str | None:
        """What is missing."""
        if not self._is_whole:
            return "registers without the line of their CPU: the rest of a record torn apart"
        if not self._registers:
            return "a header without a record"
        if "THERMAL" not in self._registers and not _status(self._registers):
            return "a record without its STATUS: torn apart"
        return None


def _status(registers: Mapping[str, str]) -> str | None:
    return registers.get("STATUS") or registers.get("ITS_STATUS")


def _check(registers: Mapping[str, str]) -> MachineCheck:
    def number(*names: str, base: int = 10) -> int | None:
        told = next((registers[name] for name in names if name in registers), None)
        return None if told is None else int(told, base)

    maker = registers.get("MAKER")
    named = None if maker is None else _MAKERS.get(maker, _OTHER_MAKER)
    vendor = number("VENDOR")
    return MachineCheck(
        status=int(_status(registers) or "0", 16),
        cpu=number("CPU"),
        bank=_THERMAL_BANK if "THERMAL" in registers else number("BANK", "ITS_BANK"),
        addr=number("ADDR", base=16),
        misc=number("MISC", base=16),
        mcgcap=number("MCGCAP", base=16),
        synd=number("SYND", base=16),
        ipid=number("IPID", base=16),
        time_ns=nanoseconds(registers.get("TIME", "0")),
        socket=number("SOCKETID"),
        vendor=named if vendor is None else vendor,
        cpuid=number("CPUID", base=16),
    )


def explained(record: Decoded, prose: Sequence[str]) -> Outcome:
    """`record` with the coordinates and the count that mcelog found, and its words."""
    if not prose:
        return record
    words = "; ".join(prose)
    counted = _COUNT.search(words)
    return checked(
        replace(
            record,
            count=record.count or (int(counted[1]) if counted else 0),
            detail=f"{record.detail}; {words}"[:_PROSE_CHARS_MAX],
            **coordinates(words),
        )
    )
