"""What rasdaemon logs of a machine check, one on a line:

    <...>-235 [000] .....  0.000596: mce_record: [ERROR] 2026-11-23 18:40:05 +0000 bank=7,
        status= 8c00004000010091, …, mci=Corrected_error, mca=…, cpu_type= Intel generic …,
        cpu= 0, socketid= 0, misc= 40584e86, addr= 30aa905a80, mcgstatus= 0, mcgcap= 7000c16,
        apicid= 0

Values are hexadecimal, but for `cpu`, `socketid` and a bank in brackets, `(bank=17)`; a register
that is 0 may be left out. The maker of the processor is known by the name of its type.
"""

import re
from collections.abc import Sequence

from agent.telemetry.instant import instant_ns
from agent.telemetry.machine_check import MachineCheck, judged
from agent.telemetry.prefixes import Stamped, Unsaid
from agent.telemetry.record import Outcome, Refused

_HEAD = re.compile(
    r"\bmce_record:? +(?:\[\w+\] +)?(?P<date>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?: [+-]\d{4})?) ",
    re.ASCII,
)
_REGISTER = re.compile(
    r"\b(status|misc|addr|synd|ipid|mcgcap)= (?:0x)?([0-9a-f]{1,16})(?=,|$)", re.ASCII
)
_DECIMAL = re.compile(r"\b(cpu|socket)(?:id)?= (\d{1,6})(?=,|$)", re.ASCII)
_BANK = re.compile(r"\(bank=(\d{1,3})\)|\bbank=([0-9a-f]{1,2})\b", re.ASCII)
_END = re.compile(r"\bapicid= [0-9a-f]{1,8}(?=,|$)", re.ASCII)  # always there, and near the end
_TYPE = re.compile(r"\bcpu_type= ([^,]{1,64})")
_INTEL, _AMD = 0, 2


class MceLogged:
    """Reads one line at a time: nothing is kept between two of them."""

    def __init__(self, unsaid: Unsaid) -> None:
        self._unsaid = unsaid

    def feed(self, number: int, said: Stamped) -> Sequence[Outcome] | None:
        head = _HEAD.search(said.text)
        if head is None:
            return None
        check = _check(said.text[head.end() :].rstrip())
        time_ns = instant_ns(head["date"], self._unsaid) or said.time_ns
        if check is None or time_ns is None:
            return (Refused(number, "rasdaemon's mce_record without its status, or cut off"),)
        return (judged(check, number, time_ns, said.host),)

    def close(self) -> Sequence[Outcome]:
        return ()


def _check(text: str) -> MachineCheck | None:
    """The machine check; None where the line has lost its status or its end."""
    registers = {name: int(value, 16) for name, value in _REGISTER.findall(text)}
    registers |= {name: int(value) for name, value in _DECIMAL.findall(text)}
    if "status" not in registers or not _END.search(text):
        return None
    bank = _BANK.search(text)
    if bank:
        registers["bank"] = int(bank[1]) if bank[1] else int(bank[2], 16)
    maker = _TYPE.search(text)
    registers["vendor"] = _AMD if maker and "AMD" in maker[1] else _INTEL
    return MachineCheck(**registers)
