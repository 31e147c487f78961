"""The tracepoint `mce:mce_record`, as the kernel prints it: one machine check on one line.

    kworker/0:4-1042 [000] ..... 53303.037895: mce_record: CPU: 0, MCGc/s: c0c/0, MC13: 8c…,
        IPID: 0…, ADDR/MISC/SYND: 0…/0…/0…, RIP: 00:<0…>, TSC: c7…, PROCESSOR: 0:a0655,
        TIME: 1687361699, SOCKET: 0, APIC: 0

Kernels before 4.10 lack IPID and SYND. Since 6.9 ADDR, MISC and SYND stand apart, and `PPIN: …,
vendor: 0, CPUID: a0655` in place of PROCESSOR. PPIN, microcode and vendor data may follow.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from agent.telemetry.exact import nanoseconds
from agent.telemetry.machine_check import MachineCheck, judged
from agent.telemetry.prefixes import Stamped, Unsaid
from agent.telemetry.reader import read
from agent.telemetry.record import Outcome, Refused

_NAME = "mce_record: "
_TRACED = re.compile(rf"(?:^|: )(?:mce:)?{_NAME}CPU", re.ASCII)
_UPTIME = re.compile(r"(\d{1,11}\.\d{1,9}): $", re.ASCII)
_HEX = "[0-9a-f]{1,16}"
_EVENT = re.compile(
    rf"CPU: (?P<cpu>\d{{1,5}}), MCGc/s: (?P<mcgcap>{_HEX})/{_HEX}, "
    rf"MC(?P<bank>\d{{1,3}}): (?P<status>{_HEX})"
    rf"(?:, IPID: (?P<ipid>{_HEX}))?"
    rf", ADDR(?:/MISC(?:/SYND)?)?: (?P<addr>{_HEX})(?:/|, MISC: )(?P<misc>{_HEX})"
    rf"(?:(?:/|, SYND: )(?P<synd>{_HEX}))?"
    rf", RIP: {_HEX}:<{_HEX}>, TSC: {_HEX}(?:, PPIN: {_HEX})?"
    rf", (?:PROCESSOR|vendor): (?P<vendor>\d{{1,3}})(?::|, CPUID: )(?P<cpuid>{_HEX})"
    r", TIME: (?P<time>\d{1,11}), SOCKET: (?P<socket>\d{1,5})"
    rf", APIC: {_HEX}(?:, (?:PPIN|microcode): {_HEX}){{0,2}}(?:, v_data: .*)?\s*",
    re.ASCII | re.IGNORECASE,
)


def is_mce_record(opening: Sequence[str], _unsaid: Unsaid) -> bool:
    """True if the opening holds this tracepoint and no other: those are for the kernel log."""
    events = [line for line in opening if line.strip() and not line.startswith("#")]
    return bool(events) and all(_TRACED.search(line) for line in events)


def decode(lines: Iterable[str], unsaid: Unsaid) -> Iterator[Outcome]:
    """The errors that `lines` report."""
    return read(MceRecord(unsaid), lines, unsaid)


class MceRecord:
    """Reads one line at a time: nothing is kept between two of them."""

    def __init__(self, unsaid: Unsaid) -> None:
        self._unsaid = unsaid

    def feed(self, number: int, said: Stamped) -> Sequence[Outcome] | None:
        before, name, event = said.text.partition(_NAME)
        if not name:
            return None
        found = _EVENT.fullmatch(event)
        if found is None:
            return (Refused(number, "mce_record in a layout that is not read, or cut off"),)
        return (judged(_check(found), number, self._time_ns(said, before), said.host),)

    def close(self) -> Sequence[Outcome]:
        return ()

    def _time_ns(self, said: Stamped, before: str) -> int:
        """When the line was written: the trace's own stamps count from the boot."""
        if said.time_ns is not None:
            return said.time_ns
        uptime = _UPTIME.search(before)
        return self._unsaid.boot_ns + ((nanoseconds(uptime[1]) if uptime else None) or 0)


def _check(found: re.Match[str]) -> MachineCheck:
    def hexadecimal(name: str) -> int | None:
        return None if found[name] is None else int(found[name], 16)

    return MachineCheck(
        status=int(found["status"], 16),
        cpu=int(found["cpu"]),
        bank=int(found["bank"]),
        addr=hexadecimal("addr"),
        misc=hexadecimal("misc"),
        mcgcap=hexadecimal("mcgcap"),
        synd=hexadecimal("synd"),
        ipid=hexadecimal("ipid"),
        time_ns=nanoseconds(found["time"]),
        socket=int(found["socket"]),
        vendor=int(found["vendor"]),
        cpuid=hexadecimal("cpuid"),
    )
