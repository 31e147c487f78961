"""The language of `mce-inject`: machine checks as testers write them down.

    # comment                                  words in any case, numbers as in C: 0x…, 0…, decimal
    CPU 0 BANK 2                               a record begins at CPU or MCE
    STATUS UNCORRECTED SRAO OVER 0xc0          words and numbers, or-ed together
    MCGSTATUS RIPV MCIP
    ADDR 0x1234 MISC 0x8c                      each also says that it is valid
    RIP 0x73:<0x1eadbabe>{symbol} HOLD

A record is a list of terms, each a keyword with its arguments, and lines mean nothing. Said of one
error again, a term replaces the earlier one.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from agent.telemetry.machine_check import (
    ADDRV,
    EN,
    MISCV,
    OVER,
    PCC,
    UC,
    VAL,
    MachineCheck,
    judged,
)
from agent.telemetry.prefixes import Unsaid
from agent.telemetry.record import Outcome, Refused

_TOKENS_MAX = 64  # in a line
_ARGUMENTS_MAX = 32
_SECOND_NS = 1_000_000_000

_S, _AR, _YELLOW = 1 << 56, 1 << 55, 1 << 54
_STATUS_WORDS: Mapping[str, int] = {
    "CORRECTED": VAL | EN,
    "UNCORRECTED": VAL | UC | EN,
    "FATAL": VAL | UC | EN | PCC,
    "VAL": VAL,
    "OVER": OVER,
    "UC": UC,
    "EN": EN,
    "PCC": PCC,
    "S": _S,
    "AR": _AR,
    "TES_YELLOW": _YELLOW,
    "UCNA": 0,
    "SRAO": _S,
    "SRAR": _S | _AR,
}
_OPENERS = frozenset({"CPU", "MCE"})
_NUMBERED = frozenset({"BANK", "ADDR", "MISC", "TIME", "SOCKETID", "MCGCAP"})
_UNUSED = frozenset({"MCGSTATUS", "RIP", "TSC", "APICID"})  # told, but nothing hangs on it
_FLAGS = frozenset(
    {"HOLD", "NOBROADCAST", "IRQBROADCAST", "NMIBROADCAST", "IN_IRQ", "IN_PROC", "POLL", "EXCP"}
)
_KEYWORDS = _OPENERS | _NUMBERED | _UNUSED | _FLAGS | {"STATUS", "PROCESSOR"}

_TOKEN = re.compile(r"[0-9a-z_]+|\{[^{}]{0,200}\}|[:<>]|[^\s0-9a-z_:<>]+", re.IGNORECASE | re.ASCII)
_TOO_MANY = ""  # stands for the rest of a line
_NUMBER = re.compile(r"0X([0-9A-F]{1,16})|0([0-7]{1,21})|([0-9]{1,20})", re.ASCII)
_TELLTALE = re.compile(
    rf"\s*(?:[^#]*\s)?STATUS\s+(?:[^#:]*\s)?(?:{'|'.join(_STATUS_WORDS)})\b"
    rf"|\s*(?:{'|'.join(sorted(_FLAGS))})\s*(?:#|$)",
    re.IGNORECASE | re.ASCII,
)


class _TermError(ValueError):
    """A term that cannot be read; the text says which and why."""


def is_mce_inject(opening: Sequence[str], _unsaid: Unsaid) -> bool:
    """True if a STATUS is told in words, or a flag stands alone: only this language has both."""
    return any(_TELLTALE.match(line) for line in opening)


def decode(lines: Iterable[str], unsaid: Unsaid) -> Iterator[Outcome]:
    """The errors that the records in `lines` report."""
    record = _Record(1)
    for number, token in _tokens(lines):
        if token in _OPENERS:
            yield from record.outcome(unsaid)
            record = _Record(number)
        record.take(token)
    yield from record.outcome(unsaid)


def _tokens(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, 1):
        tokens = _TOKEN.finditer(line.partition("#")[0])
        for found in islice(tokens, _TOKENS_MAX):
            yield number, found[0].upper()
        if next(tokens, None):
            yield number, _TOO_MANY


class _Record:
    """The terms since the last CPU or MCE, in line `line`."""

    def __init__(self, line: int) -> None:
        self._line = line
        self._terms: dict[str, list[str]] = {}
        self._last: list[str] = []
        self._trouble: str | None = None

    def take(self, token: str) -> None:
        if token == _TOO_MANY:
            self._trouble = f"more than {_TOKENS_MAX} words in a line"
        elif token in _KEYWORDS:
            self._last = self._terms[token] = []
        elif not self._terms:
            self._trouble = f"{token[:40]} stands before the first CPU or MCE"
        elif len(self._last) < _ARGUMENTS_MAX:
            self._last.append(token)
        else:
            self._trouble = f"more than {_ARGUMENTS_MAX} arguments for one keyword"

    def outcome(self, unsaid: Unsaid) -> Sequence[Outcome]:
        """What the record reports; nothing if there is none."""
        if self._trouble:
            return (Refused(self._line, f"mce-inject: {self._trouble}"),)
        try:
            return (judged(self._check(), self._line, unsaid.boot_ns),) if self._terms else ()
        except _TermError as error:
            return (Refused(self._line, f"mce-inject: {error}"),)

    def _check(self) -> MachineCheck:
        if not _OPENERS & self._terms.keys():
            raise _TermError("terms before the first CPU or MCE")
        for flag in _FLAGS & self._terms.keys():
            if self._terms[flag]:
                raise _TermError(f"{flag} takes no argument (got {self._terms[flag][0]})")
        cpu, bank = self._cpu()
        addr, misc, time = (self._number(name) for name in ("ADDR", "MISC", "TIME"))
        vendor, cpuid = self._processor()
        return MachineCheck(
            status=self._status(addr, misc),
            cpu=cpu,
            bank=self._number("BANK") if "BANK" in self._terms else bank,
            addr=addr,
            misc=misc,
            mcgcap=self._number("MCGCAP"),
            time_ns=None if time is None else time * _SECOND_NS,
            socket=self._number("SOCKETID"),
            vendor=vendor,
            cpuid=cpuid,
        )

    def _status(self, addr: int | None, misc: int | None) -> int:
        """The words and numbers of STATUS, and what ADDR and MISC say of themselves."""
        status = (ADDRV if addr is not None else 0) | (MISCV if misc is not None else 0)
        for token in self._terms.get("STATUS", ()):
            status |= _STATUS_WORDS[token] if token in _STATUS_WORDS else _value("STATUS", token)
        return status

    def _number(self, name: str) -> int | None:
        if name not in self._terms:
            return None
        if len(self._terms[name]) != 1:
            raise _TermError(f"{name} takes one number (got {' '.join(self._terms[name]) or None})")
        return _value(name, self._terms[name][0])

    def _cpu(self) -> tuple[int | None, int | None]:
        """The processor and the bank that may stand behind it."""
        numbers = [_value("CPU", token) for token in self._terms.get("CPU", ())]
        if "CPU" in self._terms and len(numbers) not in {1, 2}:
            raise _TermError(f"CPU takes one number or two (got {len(numbers)})")
        cpu, bank, *_ = *numbers, None, None
        return cpu, bank

    def _processor(self) -> tuple[int | None, int | None]:
        match self._terms.get("PROCESSOR"):
            case None:
                return None, None
            case [vendor, ":", cpuid]:
                return _value("PROCESSOR", vendor), _value("PROCESSOR", cpuid)
            case _:
                raise _TermError("PROCESSOR takes a vendor and a cpuid, as in 0:0x50654")


def _value(name: str, token: str) -> int:
    found = _NUMBER.fullmatch(token)
    if found is None:
        raise _TermError(f"{name} takes numbers and words of its own (got {token[:40]})")
    hexadecimal, octal, decimal = found.groups()
    value = int(hexadecimal, 16) if hexadecimal else int(octal, 8) if octal else int(decimal)
    if value >= 1 << 64:
        raise _TermError(f"{name}: more than 64 bits (got {token[:40]})")
    return value
