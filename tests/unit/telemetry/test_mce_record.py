"""Tracepoints of machine checks, in every layout that kernels have had."""

from dataclasses import replace

import pytest

from agent.telemetry.record import Decoded
from tests.support.logs import UNSAID, decoded, decoded_all, refused
from tests.support.machine_checks import TRACE_LAYOUTS
from tests.support.machine_checks import TRACE_PREFIX as PREFIX

OLDEST = TRACE_LAYOUTS[0]


@pytest.mark.parametrize("event", TRACE_LAYOUTS)
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


def test_a_date_before_the_line_counts_before_the_traces_stamp() -> None:
    text = f"Jan  3 22:28:25 hv-1 kernel: {PREFIX}{OLDEST.replace('TIME: 1700000000', 'TIME: 0')}"
    (record,) = decoded_all(text, name="mce-record")
    assert isinstance(record, Decoded)
    assert record.time_ns == 1704320905 * 10**9
