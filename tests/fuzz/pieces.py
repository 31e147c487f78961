"""What fuzzing begins from: lines and records that are whole, ours and those of real machines.

A text decoder is given the lines of every format, because logs mix them, and its own most often; a
binary one is given records. Real ones come from `$PAGEWARDEN_CORPUS`, where there is such a folder.
"""

import os
from pathlib import Path

from tests.support import machine_checks
from tests.support.logs import HEADER, LINE, ROW

_REAL_LINES_MAX = 40  # of one file: the longest has thousands that are alike
_BLOCK = """\
[Sat Apr 15 19:49:46 2023] EDAC skx MC0: HANDLING MCE MEMORY ERROR
[1.5] EDAC skx MC0: CPU 0: Machine Check Event: 0x0 Bank 255: 0x940000000000009f
[Sat Apr 15 19:49:46 2023] EDAC skx MC0: TSC 0x0
[Sat Apr 15 19:49:46 2023] EDAC skx MC0: ADDR 0x30aa905a80
[Sat Apr 15 19:49:46 2023] EDAC skx MC0: PROCESSOR 0:0x806f8 TIME 1681559382 SOCKET 0 APIC 0x0
"""
_FIRMWARE = """\
[ 2.6] {3}[Hardware Error]: Hardware error from APEI Generic Hardware Error Source: 5
[ 2.6] {3}[Hardware Error]: event severity: corrected
[ 2.6] {3}[Hardware Error]:  Error 0, type: corrected
[ 2.6] {3}[Hardware Error]:   section_type: memory error
[ 2.6] {3}[Hardware Error]:   physical_address: 0x0000004000000300
[ 2.6] {3}[Hardware Error]:   node: 0 rank: 0 bank: 0 row: 0 column: 0
"""
_MCELOG = machine_checks.MCELOG_OUTPUT.splitlines()
_MC_EVENT = (
    "rasdaemon-9 [001] .... 1.5: mc_event: 1 Corrected error: memory read error on A1 (mc:1 "
    "location:1:1:-1 address:0x12345680 grain:32 syndrome:0x0 rank:1)\n"
)
_TEXTS: dict[str, tuple[str, ...]] = {
    "mcelog": (machine_checks.MCELOG_INPUT, machine_checks.MCELOG_OUTPUT, "\n"),
    "mce-inject": (machine_checks.MCE_INJECT,),
    "xen": (machine_checks.XEN_CMCI + machine_checks.XEN_BANK,),
    "mce-record": tuple(
        machine_checks.TRACE_PREFIX + event for event in machine_checks.TRACE_LAYOUTS
    ),
    "smartmem": (ROW,),
    "edac": (
        f"{_BLOCK}{LINE}",
        _FIRMWARE,
        _MC_EVENT,
        "".join(f"Jan  3 22:28:25 hv-1 mcelog[812]: {line}\n" for line in _MCELOG),
        "2023-04-15T19:49:46.123456+08:00 hv-1 kernel: [  591.115453] usb 1-1: new device\n",
    ),
}

Block = tuple[bytes, ...]  # lines that belong together, without their ends


def blocks(name: str) -> list[Block]:
    """What the format `name` reads: its own half of the time, and the lines of all others."""
    all_texts = [_block(text) for texts in _TEXTS.values() for text in texts]
    others = [*all_texts, *_real_blocks()]
    own = [_block(text) for text in _TEXTS.get(name, ())]
    return [*others, *own * (len(others) // max(len(own), 1))]


def records() -> list[Block]:
    """Binary records of one length, as a file has them."""
    changes: tuple[dict[str, int], ...] = (
        {},
        {"status": 0x8800004000010090},
        {"time": 0, "cpuvendor": 1},
        {"bank": 128},
        {"cpuvendor": 2, "status": 0x9C2040000000011B, "ipid": 0x9600250F00},
    )
    return [(machine_checks.struct_mce(112, **change),) for change in changes]


def opening_of(name: str) -> bytes:
    """What must stand at the beginning for the format `name` to make sense of the rest."""
    return f"{HEADER}\n".encode() if name == "smartmem" else b""


def _block(text: str) -> Block:
    return tuple(text.encode().splitlines())


def _real_blocks() -> list[Block]:
    folder = Path(os.environ.get("PAGEWARDEN_CORPUS", "/nonexistent"))
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [tuple(path.read_bytes().splitlines()[:_REAL_LINES_MAX]) for path in files]
