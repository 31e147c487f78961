"""The kernel's tracepoints, as its trace buffer prints them: `mce:mce_record`, `ras:mc_event`.

`mce_record` carries the registers, and the time to the second. `mc_event` is what an EDAC driver
made of them: count, address, DIMM and place, stamped with seconds since the boot. Its counter has
16 bits.
"""

from emulator.recording import edac
from emulator.recording.record import Machine, Record

_COUNT_MAX = 65_535
_TYPES = {"ce": "Corrected", "ue": "Uncorrected"}


def mce_record(record: Record, machine: Machine, _number: int) -> str:
    registers = f"{record.bank_address:016x}/{record.misc:016x}/{record.synd:016x}"
    return (
        f"{_prefix(record, machine)}mce_record: CPU: {machine.cpu_of(record)}, "
        f"MCGc/s: {machine.mcgcap:x}/0, MC{machine.bank_of(record)}: {record.status:016x}, "
        f"IPID: {record.ipid:016x}, ADDR/MISC/SYND: {registers}, "
        f"RIP: 00:<{0:016x}>, TSC: 0, PROCESSOR: {machine.vendor}:{machine.cpuid:x}, "
        f"TIME: {record.seconds}, SOCKET: {record.socket}, APIC: {machine.apicid_of(record):x}\n"
    )


def mc_event(record: Record, machine: Machine, _number: int) -> str:
    count = min(edac.count_of(record), _COUNT_MAX)
    error = "error" if count == 1 else "errors"
    slot = -1 if record.slot is None else record.slot
    return (
        f"{_prefix(record, machine)}mc_event: {count} {_TYPES[record.kind]} {error}: "
        f"{record.transaction} on {edac.label_of(record)} "
        f"(mc:{record.socket} location:{record.channel}:{slot}:-1 "
        f"address:0x{record.address or 0:08x} grain:{edac.GRAIN} syndrome:0x{0:08x} "
        f"{edac.detail_of(record)})\n"
    )


def _prefix(record: Record, machine: Machine) -> str:
    cpu = machine.cpu_of(record)
    task = f"kworker/{cpu}:1-{1000 + cpu}"
    return f"{task:>23} [{cpu:03}] ..... {machine.uptime(record):>12}: "
