"""However a log tells of errors, in one form or in several, each of them comes out once.

A random list of errors is told as a kernel and those who trace it tell of them, in one form or in
several, with lines about other things between. What comes out is the list.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from agent.telemetry.record import Decoded
from tests.support.logs import decoded_all

NOISE = (
    "usb 1-1: new high-speed USB device",
    "RAS: Soft-offlining pfn: 0x12345",
    "Memory failure: 0x12345: recovery action for clean LRU page: Recovered",
    "mce: [Hardware Error]: Machine check events logged",
    "{70000}[Hardware Error]:   section_type: PCIe error",
    "EDAC skx: No more memory controllers",
    "",
)


@dataclass(frozen=True)
class Error:
    """An error of which a log shall tell."""

    address: int
    count: int

    @property
    def status(self) -> int:
        return 0x8C00000000010091 | self.count << 38

    def edac(self) -> str:
        return (
            f"EDAC MC0: {self.count} CE memory read error on A1 (channel:1 slot:0 "
            f"page:{self.address >> 12:#x} offset:{self.address & 0xFFF:#x} grain:32 syndrome:0x0)"
        )

    def block(self) -> list[str]:
        return [
            "EDAC skx MC0: HANDLING MCE MEMORY ERROR",
            f"EDAC skx MC0: CPU 0: Machine Check Event: 0x0 Bank 7: {self.status:#x}",
            "EDAC skx MC0: TSC 0x0",
            f"EDAC skx MC0: ADDR {self.address:#x}",
            "EDAC skx MC0: MISC 0x40584e86",
            "EDAC skx MC0: PROCESSOR 0:0x50654 TIME 1681559382 SOCKET 0 APIC 0x0",
        ]

    def raw(self) -> list[str]:
        return [
            f"mce: [Hardware Error]: CPU 0: Machine Check: 0 Bank 7: {self.status:016x}",
            f"mce: [Hardware Error]: TSC 0 ADDR {self.address:x} MISC 40584e86 ",
            "mce: [Hardware Error]: PROCESSOR 0:50654 TIME 1681559382 SOCKET 0 APIC 0 microcode 1",
        ]

    def ghes(self) -> list[str]:
        tag = f"{{{self.address >> 6 & 0xFFFF}}}[Hardware Error]:"
        return [
            f"{tag} Hardware error from APEI Generic Hardware Error Source: 0",
            f"{tag} event severity: corrected",
            f"{tag}  Error 0, type: corrected",
            f"{tag}   section_type: memory error",
            f"{tag}   physical_address: {self.address:#018x}",
            f"{tag}   error_type: 2, single-bit ECC",
        ]

    def mce_record(self) -> str:
        return (
            "kworker/0:4-1042 [000] ..... 596.892583: mce_record: CPU: 0, MCGc/s: f000c15/0, "
            f"MC7: {self.status:016x}, IPID: {0:016x}, ADDR/MISC/SYND: {self.address:016x}/"
            f"{0x40584E86:016x}/{0:016x}, RIP: 00:<{0:016x}>, TSC: 0, PROCESSOR: 0:50654, "
            "TIME: 1681559382, SOCKET: 0, APIC: 0"
        )

    def mc_event(self) -> str:
        plural = "s" if self.count > 1 else ""
        return (
            f"kworker/0:4-1042 [000] ..... 596.892583: mc_event: {self.count} Corrected error"
            f"{plural}: memory read error on A1 (mc:0 location:1:0:-1 "
            f"address:{self.address:#010x} grain:32 syndrome:0x00000000)"
        )


Way = Callable[[Error], tuple[list[str], list[str]]]

# Every way in which one error may be told: by the kernel's log, and by those who trace it.
WAYS: dict[str, Way] = {
    "edac": lambda error: ([error.edac()], []),
    "block": lambda error: (error.block(), []),
    "block, edac": lambda error: ([*error.block(), error.edac()], []),
    "raw": lambda error: (error.raw(), []),
    "edac, raw": lambda error: ([error.edac(), *error.raw()], []),
    "firmware, edac": lambda error: ([*error.ghes(), error.edac()], []),
    "firmware, block, edac": lambda error: ([*error.ghes(), *error.block(), error.edac()], []),
    "mce_record": lambda error: ([], [error.mce_record()]),
    "mc_event": lambda error: ([], [error.mc_event()]),
    "mce_record, mc_event": lambda error: ([], [error.mce_record(), error.mc_event()]),
    "mc_event, mce_record": lambda error: ([], [error.mc_event(), error.mce_record()]),
    "edac and mc_event": lambda error: ([error.edac()], [error.mc_event()]),
    "block, edac and both tracepoints": lambda error: (
        [*error.block(), error.edac()],
        [error.mce_record(), error.mc_event()],
    ),
    "raw and mce_record": lambda error: (error.raw(), [error.mce_record()]),
}


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[Error], str]:
    """A list of errors, and a log that tells of them; each place has a way of its own."""
    lines = draw(st.lists(st.integers(1, 1 << 30), min_size=1, max_size=5, unique=True))
    ways = {line << 6: draw(st.sampled_from(sorted(WAYS))) for line in lines}
    place = st.sampled_from(sorted(ways))
    errors = draw(st.lists(st.builds(Error, place, st.integers(1, 500)), max_size=12))
    told = [WAYS[ways[error.address]](error) for error in errors]
    kernels = [f"[  596.892583] {line}" for ours, _ in told for line in ours]
    tracers = [line for _, theirs in told for line in theirs]
    return errors, "\n".join(draw(mixed(kernels, tracers)))


@st.composite
def mixed(draw: st.DrawFn, *writers: Sequence[str]) -> list[str]:
    """The lines of all writers, each writer's in order, and lines about other things between."""
    noise = draw(st.lists(st.sampled_from(NOISE), max_size=8))
    turns = [turn for turn, lines in enumerate((*writers, noise)) for _ in lines]
    rest = [iter(lines) for lines in (*writers, noise)]
    return [next(rest[turn]) for turn in draw(st.permutations(turns))]


@given(logs())
def test_every_error_comes_out_once_however_it_was_told(log: tuple[list[Error], str]) -> None:
    errors, text = log
    outcomes = decoded_all(text, name="edac")
    records = [outcome for outcome in outcomes if isinstance(outcome, Decoded)]
    assert len(records) == len(outcomes), outcomes
    assert Counter((record.address, record.count) for record in records) == Counter(
        (error.address, error.count) for error in errors
    )


@given(logs(), st.data())
def test_lines_that_are_lost_make_up_no_address(
    log: tuple[list[Error], str], data: st.DataObject
) -> None:
    errors, text = log
    lines = text.split("\n")
    kept = data.draw(st.lists(st.booleans(), min_size=len(lines), max_size=len(lines)))
    rest = "\n".join(line for line, is_kept in zip(lines, kept, strict=True) if is_kept)
    records = [o for o in decoded_all(rest, name="edac") if isinstance(o, Decoded)]
    assert {record.address for record in records} <= {None, *(e.address for e in errors)}
