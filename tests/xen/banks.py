"""Errors in the machine's banks, as the hardware would put them there, and a Xen that looks.

The monitor writes a bank's registers. Debian's Xen then reads none of them: it never fills the mask
of the banks to poll (4.13 to 4.20; hardware with CMCI does without it, QEMU has none). So the lab
does from outside what the mended releases do at boot, and writes the masks into the hypervisor's
memory through QEMU's debugger; where they are, dom0's /proc/xen/xensyms says. The hypervisor is
Debian's in all else.
"""

import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.xen.machine import CPUS, Machine
from tests.xen.trouble import LabError

# Valid, misc and address registers valid, one corrected error of memory at a read, channel 0.
CORRECTED = 0x8C00_0040_0001_0090
MISC_PHYSICAL_PAGE = 0x8C  # the address register holds a physical address, to 4 KiB
BANKS = range(5, 10)  # of ten; lower ones belong to caches
PER_CPU = "per_cpu__poll_bankmask"
SYMBOLS = ("mca_allbanks", PER_CPU, "__per_cpu_offset")


def put(machine: Machine, cpu: int, bank: int, mfn: int) -> None:
    """One corrected error at this frame, in this bank."""
    registers = f"{CORRECTED:#x} 0x0 {mfn << 12:#x} {MISC_PHYSICAL_PAGE:#x}"
    said = machine.monitor(f"mce {cpu} {bank} {registers}")
    if said:
        raise LabError(f"QEMU's monitor did not take the error: {said}")


def mend_masks(machine: Machine) -> list[str]:
    """Let Xen look at all banks; what each mask was, and is."""
    at = _symbols(machine)
    with _debugger(machine) as debugger:
        masks = {"mca_allbanks": debugger.number(at["mca_allbanks"])}
        for cpu in range(CPUS):
            offset = debugger.number(at["__per_cpu_offset"] + 8 * cpu)
            masks[f"CPU {cpu}"] = debugger.number(at[PER_CPU] + offset)
        return [f"{name}: {debugger.fill(mask)}" for name, mask in masks.items()]


def _symbols(machine: Machine) -> Mapping[str, int]:
    wanted = "|".join(SYMBOLS)
    done = machine.console.run(f"grep -E ' ({wanted})$' /proc/xen/xensyms")
    rows = [line.split() for line in done.text.splitlines()]
    found = {row[2]: int(row[0], 16) for row in rows if len(row) == 3}
    if missing := set(SYMBOLS) - found.keys():
        raise LabError(f"Xen's symbols lack {', '.join(sorted(missing))}")
    return found


@contextmanager
def _debugger(machine: Machine) -> Iterator["_Debugger"]:
    """The machine stands still meanwhile."""
    path = machine.folder / "debugger"
    machine.monitor(f"gdbserver unix:{path},server=on,wait=off")
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(10.0)
        line.connect(str(path))
        debugger = _Debugger(line)
        debugger.ask("?")
        yield debugger
        debugger.ask("D")
    machine.monitor("gdbserver none")


class _Debugger:
    """The few requests of GDB's remote protocol that read and write memory."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._seen = b""

    def ask(self, request: str) -> str:
        sum_ = sum(request.encode()) & 0xFF
        self._line.sendall(f"${request}#{sum_:02x}".encode())
        return self._answer()

    def read(self, address: int, size: int) -> bytes:
        answer = self.ask(f"m{address:x},{size:x}")
        if answer.startswith("T"):  # that the machine was stopped was told first
            answer = self._answer()
        if answer.startswith("E"):
            raise LabError(f"the debugger cannot read {size} bytes at {address:#x}: {answer}")
        return bytes.fromhex(answer)

    def number(self, address: int) -> int:
        (value,) = struct.unpack("<Q", self.read(address, 8))
        return int(value)

    def fill(self, mask: int) -> str:
        """Set a bit for each bank that the mask, a count and a pointer to a bitmap, is for."""
        (banks,) = struct.unpack("<i", self.read(mask, 4))
        bitmap = self.number(mask + 8)
        before = self.number(bitmap)
        wanted = struct.pack("<Q", (1 << banks) - 1)
        if self.ask(f"M{bitmap:x},8:{wanted.hex()}") != "OK":
            raise LabError(f"the debugger cannot write at {bitmap:#x}")
        return f"{banks} banks, {before:#x} → {self.number(bitmap):#x}"

    def _answer(self) -> str:
        while b"#" not in self._seen[:-2]:
            more = self._line.recv(4096)
            if not more:
                raise LabError("the debugger's line ended")
            self._seen += more
        packet, _, rest = self._seen.partition(b"#")
        self._seen = rest[2:]
        self._line.sendall(b"+")
        return packet.partition(b"$")[2].decode()
