"""`struct mce`, as /dev/mcelog and pstore hand it out: 112 bytes a record, or 128 since Linux 4.20.

Carries the registers, AMD's too, and the time to the second. The layout is told in the reader's
documentation, `agent.telemetry.mce_struct`; here it is written.
"""

import struct

from emulator.recording.record import Machine, Record

_LAYOUT = struct.Struct("<7Q4BI4B3I4Q")
_MORE = struct.Struct("<I4xQ")  # microcode, kflags
_BIG_ENOUGH = 0xFF


def packed(record: Record, machine: Machine) -> bytes:
    """The 112 bytes up to the PPIN, which is 0: nobody's serial number is told."""
    cpu = machine.cpu_of(record)
    registers = (record.status, record.misc, record.bank_address, 0, 0, 0, record.seconds)
    return _LAYOUT.pack(
        *registers,
        *(machine.vendor, 0, 0, 0, machine.cpuid),
        *(0, machine.bank_of(record), cpu & _BIG_ENOUGH, 1),
        *(cpu, record.socket, machine.apicid_of(record)),
        *(machine.mcgcap, record.synd, record.ipid, 0),
    )


def packed_long(record: Record, machine: Machine) -> bytes:
    """The 128 bytes."""
    return packed(record, machine) + _MORE.pack(machine.microcode, 0)
