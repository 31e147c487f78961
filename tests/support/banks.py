"""What a machine-check bank holds after an error of each severity, as Xen's own injector has it."""

from agent.contract.frames import PAGE_SHIFT
from emulator.machine.banks import (
    ADDRV,
    AR,
    EN,
    MEMORY_READ,
    MISC_PHYSICAL,
    MISCV,
    PCC,
    UC,
    VAL,
    Registers,
    S,
)
from emulator.xen.machinecheck import Severity

LOCATED = VAL | EN | MISCV | ADDRV

STATUS: dict[Severity, int] = {
    Severity.CORRECTED: LOCATED | MEMORY_READ,
    Severity.UCNA: LOCATED | UC | MEMORY_READ,
    Severity.SRAO: 0xBD2000008000017A,  # xen-mceinj type 0: written back to memory
    Severity.SRAR: LOCATED | UC | S | AR | 0x134,  # on loading data
    Severity.FATAL: LOCATED | UC | PCC | MEMORY_READ,
}


def bank(severity: Severity, mfn: int) -> Registers:
    return Registers(STATUS[severity], mfn << PAGE_SHIFT, MISC_PHYSICAL)
