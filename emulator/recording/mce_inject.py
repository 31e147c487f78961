"""The input of mce-inject, the tool that has the kernel take a record for a real one.

Carries the registers and the time to the second. ADDR and MISC set ADDRV and MISCV by being there,
so they are left out where they are not valid.
"""

from emulator.machine.banks import ADDRV, MISCV
from emulator.recording.record import Machine, Record


def text(record: Record, machine: Machine, _number: int) -> str:
    """One record, ended by an empty line."""
    terms = (
        f"CPU {machine.cpu_of(record)} BANK {machine.bank_of(record)}",
        f"STATUS {record.status:#x}",
        "MCGSTATUS 0",
        *((f"ADDR {record.bank_address:#x}",) if record.status & ADDRV else ()),
        *((f"MISC {record.misc:#x}",) if record.status & MISCV else ()),
        f"TIME {record.seconds}",
        f"SOCKETID {record.socket} APICID {machine.apicid_of(record)}",
        f"MCGCAP {machine.mcgcap:#x}",
        f"PROCESSOR {machine.vendor}:{machine.cpuid:#x}",
    )
    return "".join(f"{line}\n" for line in (*terms, ""))
