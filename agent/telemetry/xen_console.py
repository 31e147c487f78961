"""Machine checks on Xen's console: a line that says which processor, and one for each bank.

    (XEN) [2023-04-15 19:49:46] CMCI occurred on CPU 3.           also POLLED
    (XEN) CPU3: Machine Check Exception:                5
    (XEN) MCE: The hardware reports a non fatal, correctable incident occurred on CPU 1.   (old)
    (XEN) Bank 7: 8c00004000010090[              86] at         45678040
                  └ STATUS          └ MISC if valid      └ ADDR if valid, of the machine

Each register takes sixteen places, and MISC and ADDR are there if STATUS says so: by that a line
that was cut off is told from a whole one. Xen prints neither vendor nor MCG_CAP. Its dates, if it
was booted to print them, are UTC.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC

from agent.telemetry.machine_check import ADDRV, MISCV, MachineCheck, judged
from agent.telemetry.prefixes import Stamped, Unsaid, unprefixed
from agent.telemetry.reader import read
from agent.telemetry.record import Outcome, Refused

_XEN = re.compile(r"\(XEN\) (?:\[ *(?P<stamp>[^\]]{1,40})\] )?", re.ASCII)
_HEADER = re.compile(
    r"(?:CMCI occurred on CPU |POLLED occurred on CPU |CPU(?=\d{1,5}: Machine Check Exception: )"
    r"|MCE: The hardware reports a non fatal, correctable incident occurred on CPU )"
    r"(?P<cpu>\d{1,5})\b",
    re.ASCII,
)
_REGISTER = "(?=[ 0-9a-f]{16}) {0,15}[0-9a-f]{1,16}"
_BANK = re.compile(
    rf"Bank (?P<bank>\d{{1,3}}): (?P<status>{_REGISTER})"
    rf"(?:\[(?P<misc>{_REGISTER})\])?(?: at (?P<addr>{_REGISTER}))?\s*",
    re.ASCII,
)


def is_xen_console(opening: Sequence[str], _unsaid: Unsaid) -> bool:
    """True if Xen alone writes here, and of a machine check."""
    said = [line for line in opening if line.strip()]
    return all(line.startswith("(XEN) ") for line in said) and any(
        _HEADER.search(line) or _BANK.search(line) for line in said
    )


def decode(lines: Iterable[str], unsaid: Unsaid) -> Iterator[Outcome]:
    """The errors that `lines` report."""
    return read(XenConsole(unsaid), lines, unsaid)


@dataclass(frozen=True, slots=True)
class _Header:
    """Which processor the banks that follow belong to, and whether one has come yet."""

    line: int
    cpu: int
    has_banks: bool = False


class XenConsole:
    """Keeps the last header, because its banks follow it."""

    def __init__(self, unsaid: Unsaid) -> None:
        self._unsaid = unsaid
        self._header: _Header | None = None

    def feed(self, number: int, said: Stamped) -> Sequence[Outcome] | None:
        xen = _XEN.match(said.text)
        if xen is None:
            return None
        text = said.text[xen.end() :]
        if header := _HEADER.match(text):
            unfinished = self.close()
            self._header = _Header(number, int(header["cpu"]))
            return unfinished
        if not text.startswith("Bank "):
            return None
        return (self._bank(number, text, said, xen["stamp"]),)

    def close(self) -> Sequence[Outcome]:
        header, self._header = self._header, None
        if header is None or header.has_banks:
            return ()
        reason = f"a machine check on CPU {header.cpu} without its Bank line: what it was is lost"
        return (Refused(header.line, reason),)

    def _bank(self, number: int, text: str, said: Stamped, stamp: str | None) -> Outcome:
        found = _BANK.fullmatch(text)
        if self._header:
            self._header = replace(self._header, has_banks=True)
        cpu = self._header.cpu if self._header else None
        check = _check(found, cpu) if found else None
        if check is None or not _is_complete(check):
            return Refused(number, "Bank line of Xen that is cut off, or mixed with another")
        return judged(check, number, self._time_ns(said, stamp), said.host)

    def _time_ns(self, said: Stamped, stamp: str | None) -> int:
        """Xen's own stamp, a date or seconds since its boot, or else the line's."""
        unsaid = replace(self._unsaid, zone=UTC)
        own = unprefixed(f"{stamp} " if stamp and "-" in stamp else f"[{stamp}] ", unsaid).time_ns
        times = (time for time in (own, said.time_ns) if time is not None)
        return next(times, self._unsaid.boot_ns)


def _is_complete(check: MachineCheck) -> bool:
    has_addr, has_misc = check.addr is not None, check.misc is not None
    return (has_addr, has_misc) == (bool(check.status & ADDRV), bool(check.status & MISCV))


def _check(found: re.Match[str], cpu: int | None) -> MachineCheck:
    return MachineCheck(
        status=int(found["status"], 16),
        cpu=cpu,
        bank=int(found["bank"]),
        addr=int(found["addr"], 16) if found["addr"] else None,
        misc=int(found["misc"], 16) if found["misc"] else None,
    )
