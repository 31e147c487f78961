"""One corrected error of memory, as each format of machine checks has it; made up here."""

import struct

MCELOG_INPUT = """\
CPU 3 BANK 13
STATUS 0x8c00008000010092
MISC 0x86
ADDR 0x45678040
TIME 1700000000
PROCESSOR 0:0x50654
SOCKETID 1
MCGCAP 0xf000c15
"""
MCELOG_HEADER = "Hardware event. This is not a software error.\n"
MCELOG_OUTPUT = f"""\
{MCELOG_HEADER}\
MCE 0
CPU 3 BANK 13 TSC 1193fd60c6699 [at 2000 Mhz 1 days 18:56:49 uptime (unreliable)]
MISC 86 ADDR 45678040
TIME 1700000000 Tue Nov 14 22:13:20 2023
MCG status:
MCi status:
Corrected error
MCi_MISC register valid
MCi_ADDR register valid
MCA: MEMORY CONTROLLER RD_CHANNEL2_ERR
Transaction: Memory read error
STATUS 8c00008000010092 MCGSTATUS 0
MCGCAP f000c15 APICID 6 SOCKETID 1
PPIN 3c1a3d3a2c9ad2
MICROCODE 2b0001b0
CPUID Vendor Intel Family 6 Model 85 Step 4
"""
MCE_INJECT = """\
# a corrected error of memory
CPU 3 BANK 13
STATUS CORRECTED 0x92
ADDR 0x45678040
MISC 0x86
SOCKETID 1
TIME 1700000000
"""
XEN_CMCI = "(XEN) CMCI occurred on CPU 3.\n"
XEN_BANK = "(XEN) Bank 7: 8c00004000010092[              86] at         45678040\n"
TRACE_PREFIX = "     kworker/3:4-1042    [003] ..... 53303.037895: mce_record: "
_REGISTERS = "0000000123456780/0000000000000086"
_TAIL = "RIP: 00:<0000000000000000>, TSC: 14120b051a1, PROCESSOR: 0:50654"
_WHERE = "TIME: 1700000000, SOCKET: 1, APIC: 6"
_OLDEST = (
    f"CPU: 3, MCGc/s: f000c15/0, MC13: 8c00008000010092, ADDR/MISC: {_REGISTERS}, {_TAIL}, {_WHERE}"
)
_WITH_SYND = (
    "CPU: 3, MCGc/s: f000c15/0, MC13: 8c00008000010092, IPID: 0000000000000000, "
    f"ADDR/MISC/SYND: {_REGISTERS}/0000000000000000, {_TAIL}, {_WHERE}"
)
_WITH_PPIN = f"{_WITH_SYND}, PPIN: 3c1a3d3a2c9ad2, MICROCODE: 2b0001b0"
_NEWEST = (
    "CPU: 3, MCGc/s: f000c15/0, MC13: 8c00008000010092, IPID: 0000000000000000, "
    "ADDR: 0000000123456780, MISC: 0000000000000086, SYND: 0000000000000000, "
    "RIP: 00:<0000000000000000>, TSC: 14120b051a1, PPIN: 3c1a3d3a2c9ad2, vendor: 0, "
    "CPUID: 50654, time: 1700000000, socket: 1, APIC: 6, microcode: 2b0001b0"
)

TRACE_LAYOUTS = (_OLDEST, _WITH_SYND, _WITH_PPIN, _NEWEST)


def struct_mce(length: int = 128, **changed: int) -> bytes:
    """One record, laid out by hand: each field at the offset that the kernel gives it."""
    fields: dict[str, tuple[int, str, int]] = {
        "status": (0, "Q", 0x8C00008000010091),
        "misc": (8, "Q", 0x86),
        "addr": (16, "Q", 0x45678040),
        "time": (48, "Q", 1700000000),
        "cpuvendor": (56, "B", 0),
        "cpuid": (60, "I", 0x50654),
        "bank": (65, "B", 7),
        "cpu": (66, "B", 3),
        "finished": (67, "B", 1),
        "extcpu": (68, "I", 3),
        "socketid": (72, "I", 1),
        "apicid": (76, "I", 6),
        "mcgcap": (80, "Q", 0xF000C15),
        "synd": (88, "Q", 0),
        "ipid": (96, "Q", 0),
        "ppin": (104, "Q", 0x3C1A3D3A2C9AD2),
        "microcode": (112, "I", 0x2B0001B0),
        "kflags": (120, "Q", 1),
    }
    buffer = bytearray(128)
    for name, (offset, code, value) in fields.items():
        struct.pack_into(f"<{code}", buffer, offset, changed.get(name, value))
    return bytes(buffer[:length])
