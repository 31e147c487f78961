"""Tracepoints of machine checks, in every layout that kernels have had."""

from dataclasses import replace

import pytest

from agent.telemetry.record import Decoded
from tests.support.logs import UNSAID, decoded, decoded_all, refused

PREFIX = "     kworker/3:4-1042    [003] ..... 53303.037895: mce_record: "
REGISTERS = "0000000123456780/0000000000000086"
TAIL = "RIP: 00:<0000000000000000>, TSC: 14120b051a1, PROCESSOR: 0:50654"
WHERE = "TIME: 1700000000, SOCKET: 1, APIC: 6"
OLDEST = (
    f"CPU: 3, MCGc/s: f000c15/0, MC13: 8c00008000010092, ADDR/MISC: {REGISTERS}, {TAIL}, {WHERE}"
)
WITH_SYND = (
    "CPU: 3, MCGc/s: f000c15/0, MC13: 8c00008000010092, IPID: 0000000000000000, "
    f"ADDR/MISC/SYND: {REGISTERS}/0000000000000000, {TAIL}, {WHERE}"
)
WITH_PPIN = f"{WITH_SYND}, PPIN: 3c1a3d3a2c9ad2, MICROCODE: 2b0001b0"
NEWEST = (
    "CPU: 3, MCGc/s: f000c15/0, MC13: 8c00008000010092, IPID: 0000000000000000, "
    "ADDR: 0000000123456780, MISC: 0000000000000086, SYND: 0000000000000000, "
    "RIP: 00:<0000000000000000>, TSC: 14120b051a1, PPIN: 3c1a3d3a2c9ad2, vendor: 0, "
    "CPUID: 50654, time: 1700000000, socket: 1, APIC: 6, microcode: 2b0001b0"
)


@pytest.mark.parametrize("event", [OLDEST, WITH_SYND, WITH_PPIN, NEWEST])
def test_every_layout_says_the_same(event: str) -> None:
    assert decoded(PREFIX + event) == Decoded(
        line=1,
        time_ns=1700000000 * 10**9,
        count=2,
        address=0x123456780,
        detail="memory read error: socket:1 channel:2 mca_bank:13",
    )


def test_without_a_time_of_its_own_the_traces_stamp_counts_from_the_boot() -> None:
    unsaid = replace(UNSAID, boot_ns=10**18)
    text = PREFIX + OLDEST.replace("TIME: 1700000000", "TIME: 0")
    assert decoded(text, unsaid).time_ns == 10**18 + 53303037895000


def test_without_any_stamp_it_is_the_boot() -> None:
    assert decoded(f"mce_record: {OLDEST.replace('TIME: 1700000000', 'TIME: 0')}").time_ns == 0


@pytest.mark.parametrize("length", range(len("CPU: 3"), len(OLDEST) - len(", APIC: 6")))
def test_a_line_that_is_cut_off_is_refused(length: int) -> None:
    assert "cut off" in refused(PREFIX + OLDEST[:length]).reason


def test_two_events_mixed_in_one_line_are_refused() -> None:
    assert "layout" in refused(f"{PREFIX}{OLDEST}{PREFIX}{OLDEST}").reason


def test_behind_a_syslog_prefix_the_host_is_told() -> None:
    text = f"Jan  3 22:28:25 hv-1 kernel: {PREFIX}{OLDEST}"
    (record,) = decoded_all(text, name="mce-record")
    assert isinstance(record, Decoded)
    assert record.host == "hv-1"


def test_other_tracepoints_are_left_to_others_but_errors_among_them_are_not_lost() -> None:
    text = (
        f"{PREFIX}{OLDEST}\nx-1 [000] 1.0: sched_switch: a\nx-1 [000] 1.0: mc_event: 1 Corrected\n"
    )
    first, second = decoded_all(text, name="mce-record")
    assert (type(first), second.line) == (Decoded, 3)
