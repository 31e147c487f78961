"""The kernel's log of a host with an EDAC driver: first the registers, then what they mean.

    EDAC skx MC0: HANDLING MCE MEMORY ERROR            ┐ the block: Intel's driver prints it,
    …                                                  ┘ on AMD and behind firmware others do
    EDAC MC0: 20 CE memory read error on CPU0_C2_D0 (channel:2 slot:0 page:0x… offset:0x… …)

One error, told twice. Carries count, address, DIMM and place; the time to the second where there is
a machine check, which names it, and to the microsecond of the log's prefix else. Page 0 and offset
0 say that the address is not known.
"""

from emulator.recording import ghes
from emulator.recording.kernel import kernel_lines
from emulator.recording.record import Layout, Machine, Record

GRAIN = 32


def count_of(record: Record) -> int:
    """Intel's driver takes it from the register; the others know of one."""
    return record.count if record.kind == "ce" else 1


def label_of(record: Record) -> str:
    return record.dimm or "any memory"


def detail_of(record: Record) -> str:
    """What an Intel driver adds behind the address."""
    overflow = " OVERFLOW" if record.is_over else ""
    code = record.status & 0xFFFF
    if record.place is None:
        return f"{overflow} err_code:0x0000:0x{code:04x} socket:{record.socket}"
    place = record.place
    return (
        f"{overflow} err_code:0x0000:0x{code:04x} socket:{record.socket} imc:{record.channel} "
        f"rank:{place.rank} bg:{place.bank_group} ba:{place.bank} "
        f"row:0x{place.row:x} col:0x{place.column:x}"
    )


def text(record: Record, machine: Machine, number: int) -> str:
    """The block and its line, each line with its prefix."""
    block = _BLOCKS[machine.layout](record, machine, number)
    return kernel_lines(record, machine, (*block, _line(record)))


def _line(record: Record) -> str:
    layers = f"channel:{record.channel}" + ("" if record.slot is None else f" slot:{record.slot}")
    page, offset = divmod(record.address or 0, 4096)
    syndrome = "" if record.kind == "ue" else " syndrome:0x0"
    return (
        f"EDAC MC{record.socket}: {count_of(record)} {record.kind.upper()} {record.transaction} "
        f"on {label_of(record)} ({layers} page:0x{page:x} "
        f"offset:0x{offset:x} grain:{GRAIN}{syndrome} - {detail_of(record)})"
    )


def _intels_block(record: Record, machine: Machine, _number: int) -> tuple[str, ...]:
    driver = f"EDAC skx MC{record.socket}: "
    event = f"CPU {machine.cpu_of(record)}: Machine Check Event: 0x0"
    apicid = f"SOCKET {record.socket} APIC 0x{machine.apicid_of(record):x}"
    return tuple(
        driver + said
        for said in (
            "HANDLING MCE MEMORY ERROR",
            f"{event} Bank {machine.bank_of(record)}: 0x{record.status:x}",
            "TSC 0x0",
            f"ADDR 0x{record.bank_address:x}",
            f"MISC 0x{record.misc:x}",
            f"PROCESSOR {machine.vendor}:0x{machine.cpuid:x} TIME {record.seconds} {apicid}",
        )
    )


def _amds_block(record: Record, machine: Machine, _number: int) -> tuple[str, ...]:
    """As `mce_amd` prints it: names of the bits that are set, a dash for each that is not."""
    status = record.status
    names = (
        ("Over", 62),
        ("UE" if record.kind == "ue" else "CE", None),
        ("MiscV", 59),
        ("AddrV", 58),
        ("PCC", 57),
        ("TCC", 55),
        ("SyndV", 53),
        ("UECC" if record.kind == "ue" else "CECC", None),
        ("Deferred", 44),
        ("Poison", 43),
        ("Scrub", 40),
    )
    bits = "|".join(name if bit is None or status >> bit & 1 else "-" for name, bit in names)
    signature = f"{machine.family:x}:{machine.model:x}:{machine.stepping:x}"
    cpu = f"CPU:{machine.cpu_of(record)} ({signature})"
    severity = "Uncorrected" if record.kind == "ue" else "Corrected"
    return tuple(
        f"[Hardware Error]: {said}"
        for said in (
            f"{severity} error, no action required.",
            f"{cpu} MC{machine.bank_of(record)}_STATUS[{bits}]: 0x{status:016x}",
            f"Error Addr: 0x{record.bank_address:016x}",
            f"IPID: 0x{record.ipid:016x}, Syndrome: 0x{record.synd:016x}",
            "Unified Memory Controller Ext. Error Code: 0, DRAM ECC error.",
        )
    )


_BLOCKS = {
    Layout.INTEL: _intels_block,
    Layout.AMD: _amds_block,
    Layout.FIRMWARE: ghes.block,
}
