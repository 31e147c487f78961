"""A gigabyte through `pagewarden decode`: its memory must not know how long the input is."""

import os
import subprocess
import sys
from time import perf_counter

from tests.fuzz import pieces
from tests.support import machine_checks

MEMORY_BYTES_MAX = 150 << 20
_ERRORS_EVERY = 20  # lines: the rest of a log speaks of other things
_LOG = b"[  100.250000] usb 1-1: new high-speed USB device number 2 using xhci_hcd\n"


def run(length: int) -> int:
    """The exit code: 0 if a log and a file of mcelog both stayed within the bound."""
    peaks = [_peak_bytes(name, block, length) for name, block in _blocks().items()]
    return int(any(peak > MEMORY_BYTES_MAX for peak in peaks))


def _blocks() -> dict[str, bytes]:
    """What is repeated until it is long enough."""
    lines = [line for block in pieces.blocks("edac") for line in block if b"EDAC" in line]
    errors = b"".join(_LOG * _ERRORS_EVERY + line + b"\n" for line in lines)
    return {
        "log": errors,
        "mcelog": machine_checks.MCELOG_INPUT.encode() * 1000,
        "struct": machine_checks.struct_mce(112) * 1000,
    }


def _peak_bytes(name: str, block: bytes, length: int) -> int:
    since = perf_counter()
    command = (sys.executable, "-m", "agent", "decode", "-")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as decoder:
        assert decoder.stdin
        for _ in range(-(-length // len(block))):
            decoder.stdin.write(block)
        decoder.stdin.close()
        _, status, usage = os.wait4(decoder.pid, 0)
        decoder.returncode = os.waitstatus_to_exitcode(status)
    peak: int = usage.ru_maxrss << 10
    verdict = "held" if peak <= MEMORY_BYTES_MAX else "too much"
    print(  # noqa: T201 - a command, and this is its output
        f"{name:8} {length:,} bytes in {perf_counter() - since:.0f} s, exit {decoder.returncode}, "
        f"peak {peak >> 20} MiB of {MEMORY_BYTES_MAX >> 20}: {verdict}",
        flush=True,
    )
    return peak if decoder.returncode == 0 else MEMORY_BYTES_MAX + 1
