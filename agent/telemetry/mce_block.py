"""Machine checks as the kernel prints them: the registers of a bank, over a few lines.

    EDAC skx MC0: HANDLING MCE MEMORY ERROR                            ahead of its EDAC line
    EDAC skx MC0: CPU 0: Machine Check Event: 0x0 Bank 7: 0x8c00004000010091
    EDAC skx MC0: TSC 0x0
    EDAC skx MC0: ADDR 0x30aa905a80
    EDAC skx MC0: MISC 0x40584e86
    EDAC skx MC0: PROCESSOR 0:0x806f8 TIME 1681559382 SOCKET 0 APIC 0x0

    mce: [Hardware Error]: CPU 0: Machine Check: 0 Bank 7: 8c00004000010091      where there is none
    mce: [Hardware Error]: TSC 0 ADDR 30aa905a80 MISC 40584e86
    mce: [Hardware Error]: PROCESSOR 0:706a1 TIME 1537152664 SOCKET 0 APIC 0 microcode 28

    [Hardware Error]: CPU:0 (17:71:0) MC18_STATUS[Over|CE|MiscV|AddrV|-|-|…|CECC|-|-|-]: 0xdc20…
    [Hardware Error]: Error Addr: 0x000000036e701dc0            AMD's, taken apart by the kernel
    [Hardware Error]: IPID: 0x0000009600150f00, Syndrome: 0x5bf00000b800000

With an EDAC driver the lines are company of the EDAC line, and worth reading all the same: they
hold the time in UTC, and the address in full where the size of a page is not known. Older kernels
leave out `0x`, and print several registers on one line.

The line of the processor is the last of a block. Registers that come without a block are of one
that has lost its first lines, and a register that comes twice is of another: neither is guessed at.
"""

import re
from dataclasses import dataclass, field, replace

from agent.telemetry.exact import nanoseconds
from agent.telemetry.machine_check import MachineCheck, judged
from agent.telemetry.prefixes import Stamped
from agent.telemetry.record import UNTIMED, Decoded, Outcome, Refused

ANNOUNCED = "a machine-check block"
AMDS = "an AMD machine-check block"
RAW = "a raw machine check"

_KERNELS = "kernel"  # wrote it, and not a driver
_AMD = 2  # as the kernel numbers the makers of processors

_HANDLING = re.compile(r"\bEDAC (\w+(?: MC\d+)?): HANDLING MCE MEMORY ERROR", re.ASCII)
_OF_DRIVER = re.compile(r"\bEDAC (\w+(?: MC\d+)?): ", re.ASCII)
_HARDWARE = re.compile(r"(?<!\})\[Hardware Error\]: ", re.ASCII)
_HEAD = re.compile(
    r"\bCPU \d{1,6}: Machine Check[ \w]{0,20}: (?:0x)?[0-9a-f]{1,16} "
    r"Bank (?P<bank>\d{1,3}): (?:0x)?(?P<status>[0-9a-f]{1,16})\b",
    re.ASCII,
)
_AMDS_HEAD = re.compile(
    r"\bMC(?P<bank>\d{1,3})_STATUS\[[^]]{0,100}\]: 0x(?P<status>[0-9a-f]{1,16})\b", re.ASCII
)
_CPU = re.compile(r"\bCPU ?:?(\d{1,6})\b", re.ASCII)
_REGISTER = re.compile(
    r"\b(?:MC\d{1,3}_|Error )?(?P<name>ADDR|Addr|MISC|SYND|Syndrome|IPID|PROCESSOR|TIME|SOCKET):? "
    r"(?:0x)?(?P<value>[0-9a-f]{1,16})\b",
    re.ASCII,
)
_HEXADECIMAL = {
    "ADDR": "addr",
    "Addr": "addr",
    "MISC": "misc",
    "SYND": "synd",
    "Syndrome": "synd",
    "IPID": "ipid",
}
_DECIMAL = {"PROCESSOR": "vendor", "SOCKET": "socket", "TIME": "time_ns"}


@dataclass(frozen=True, slots=True)
class Block:
    """One machine check, as far as its lines have come."""

    line: int
    key: str
    said: Stamped
    form: str
    registers: dict[str, int] = field(default_factory=dict[str, int])
    is_mixed: bool = False

    @property
    def is_over(self) -> bool:
        return "time_ns" in self.registers

    @property
    def place(self) -> int | None:
        """The address to know it by. AMD's is none of the host's, and 0 says that there is none."""
        return None if "ipid" in self.registers else self.registers.get("addr") or None

    @property
    def time_ns(self) -> int | None:
        """When it happened, by its own words: they are UTC, and do not drift."""
        return self.registers.get("time_ns") or None

    @property
    def is_of_memory(self) -> bool:
        return self.form == ANNOUNCED or isinstance(self.outcome(), Decoded)

    def continued(self, text: str) -> "Block":
        """The block with what another of its lines adds."""
        added = _read(text)
        known = self.registers.items()
        is_mixed = any(added.get(name, value) != value for name, value in known)
        registers = added | self.registers
        return replace(self, registers=registers, is_mixed=self.is_mixed or is_mixed)

    def outcome(self) -> Outcome:
        """The error that it reports by itself."""
        if "status" not in self.registers:
            return Refused(
                self.line, f"{self.form} without its STATUS, which no EDAC line explains"
            )
        if self.is_mixed:
            return Refused(self.line, f"{self.form} mixed with another: a register comes twice")
        time_ns = self.time_ns or self.said.time_ns
        if time_ns is None:
            return Refused(self.line, UNTIMED)
        return judged(MachineCheck(**self.registers), self.line, time_ns, self.said.host)


def begun(line: int, said: Stamped) -> Block | None:
    """The machine check that begins with this line."""
    if found := _HANDLING.search(said.text):
        return Block(line, found[1], said, ANNOUNCED)
    if not _HARDWARE.search(said.text):
        return None
    if _HEAD.search(said.text):
        return Block(line, _KERNELS, said, RAW, _read(said.text))
    if _AMDS_HEAD.search(said.text):
        return Block(line, _KERNELS, said, AMDS, {"vendor": _AMD} | _read(said.text))
    return None


def torn(line: int, said: Stamped) -> Block | None:
    """A machine check whose first lines are lost, if this is a line of one."""
    key, registers = key_of(said.text), _read(said.text)
    if key is None or not registers:
        return None
    return Block(line, key, said, RAW if key == _KERNELS else ANNOUNCED, registers)


def key_of(text: str) -> str | None:
    """What the lines of one machine check have in common; None if this is none of them."""
    if found := _OF_DRIVER.search(text):
        return found[1]
    return _KERNELS if _HARDWARE.search(text) else None


def _read(text: str) -> dict[str, int]:
    head = _HEAD.search(text) or _AMDS_HEAD.search(text)
    registers: dict[str, int] = {}
    if head:
        registers = {"bank": int(head["bank"]), "status": int(head["status"], 16)}
        cpu = _CPU.search(text)
        registers |= {"cpu": int(cpu[1])} if cpu else {}
    for name, value in _REGISTER.findall(text):
        number = _number(name, value)
        if number is not None:
            registers.setdefault(_HEXADECIMAL.get(name) or _DECIMAL[name], number)
    return registers


def _number(name: str, value: str) -> int | None:
    if name in _HEXADECIMAL:
        return int(value, 16)
    if name == "TIME":
        return nanoseconds(value)
    return int(value) if value.isdecimal() else None
