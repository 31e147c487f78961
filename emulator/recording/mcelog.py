"""The text of mcelog, as the daemon writes it into /var/log/mcelog.

Carries the registers and the time to the second. It has no room for AMD's IPID, and none for the
place beyond the channel: who reads it needs the memory's map.
"""

from emulator.machine.banks import ADDRV, EN, MISCV, OVER, UC, YELLOW
from emulator.recording.record import Machine, Record

_FLAGS = (
    (OVER, "Error overflow"),
    (UC, "Uncorrected error"),
    (EN, "Error enabled"),
    (MISCV, "MCi_MISC register valid"),
    (ADDRV, "MCi_ADDR register valid"),
)
_TRANSACTIONS = {True: ("MS", "Memory scrubbing error"), False: ("RD", "Memory read error")}


def text(record: Record, machine: Machine, number: int) -> str:
    """One record, with a line break behind each of its lines."""
    what, words = _TRANSACTIONS[record.is_scrub]
    when = record.instant
    lines = (
        "Hardware event. This is not a software error.",
        f"MCE {number}",
        f"CPU {machine.cpu_of(record)} BANK {machine.bank_of(record)} ",
        *_registers(record),
        f"TIME {record.seconds} {when:%a %b} {when.day:2} {when:%H:%M:%S %Y}",
        "MCG status:",
        "MCi status:",
        *(name for bit, name in _FLAGS if record.status & bit),
        *(() if record.status & UC else ("Corrected error",)),
        *_lights(record, machine),
        f"MCA: MEMORY CONTROLLER {what}_CHANNEL{record.channel}_ERR",
        f"Transaction: {words}",
        f"STATUS {record.status:x} MCGSTATUS 0",
        f"MCGCAP {machine.mcgcap:x} APICID {machine.apicid_of(record):x} SOCKETID {record.socket} ",
        f"MICROCODE {machine.microcode:x}",
        f"CPUID Vendor Intel Family {machine.family} Model {machine.model} Step {machine.stepping}",
    )
    return "".join(f"{line}\n" for line in lines)


def _lights(record: Record, machine: Machine) -> tuple[str, ...]:
    if not machine.has_threshold or record.status & UC:
        return ()
    return (f"Threshold based error status: {'yellow' if record.status & YELLOW else 'green'}",)


def _registers(record: Record) -> tuple[str, ...]:
    """A register that holds 0 is left out, and so is the line of those that are."""
    named = {"MISC": record.misc, "ADDR": record.bank_address}
    line = "".join(f"{name} {value:x} " for name, value in named.items() if value)
    return (line,) if line else ()
