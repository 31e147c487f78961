"""Xen's console, byte for byte as its `x86_mcinfo_dump` prints a bank that a CMCI had it read:

    (XEN) [2026-11-23 18:40:05.123] CMCI occurred on CPU 0.
    (XEN) [2026-11-23 18:40:05.123] Bank 13: 8c00004000010090[              86] at         45678040

Registers are hexadecimal and padded with spaces; MISC and the address are there if they are valid.
Carries the registers and the time to the millisecond (`console_timestamps=datems`), but neither
socket nor processor type.
"""

from emulator.machine.banks import ADDRV, MISCV, UC
from emulator.recording.record import Machine, Record


def text(record: Record, machine: Machine, _number: int) -> str:
    stamp = f"{record.instant:%Y-%m-%d %H:%M:%S}.{record.microseconds // 1000:03}"
    head, cpu = f"(XEN) [{stamp}]", machine.cpu_of(record)
    who = f"CPU{cpu}: Machine Check Exception: {0:16x}" if record.status & UC else None
    misc = f"[{record.misc:16x}]" if record.status & MISCV else ""
    at = f" at {record.bank_address:16x}" if record.status & ADDRV else ""
    return (
        f"{head} {who or f'CMCI occurred on CPU {cpu}.'}\n"
        f"{head} Bank {machine.bank_of(record)}: {record.status:16x}{misc}{at}\n"
    )
