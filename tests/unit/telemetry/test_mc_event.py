"""Lines of the tracepoint mc_event: as the kernel prints them, and as rasdaemon logs them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.telemetry.mc_event import COUNT_MAX
from agent.telemetry.record import Decoded, Outcome
from tests.support.logs import decoded, decoded_all, errors, refused

TRACED = (
    "     kworker/0:4-1042    [000] ..... 53303.037895: mc_event: 2 Corrected errors: memory read "
    "error on CPU_SrcID#0_MC#1_Chan#0_DIMM#1 (mc:1 location:0:1:-1 address:0x91b2f55c0 grain:32 "
    "syndrome:0x00000000  err_code:0x0080:0x0090 PhysicalRankId:0x1 Row:0x27b2 Column:0xa0 "
    "Bank:0x1 BankGroup:0x5)"
)
LOGGED = (
    "Nov 23 18:40:06 hv-1 rasdaemon[1337]:            <...>-1042  [000] .....     0.053030: "
    "mc_event: [ERROR] 2026-11-23 18:40:05 +0000 2 Corrected errors: memory read error on "
    "CPU_SrcID#0_MC#1_Chan#0_DIMM#1 (mc: 1 location: 0:1 address: 0x91b2f55c0 grain: 5 "
    "syndrome: 0x00000000  err_code:0x0080:0x0090 PhysicalRankId:0x1 Row:0x27b2 Column:0xa0 "
    "Bank:0x1 BankGroup:0x5)"
)
CHECKED = (
    "     kworker/0:4-1042    [000] ..... 53303.037890: mce_record: CPU: 0, MCGc/s: f000c15/0, "
    "MC13: 8c00008200800090, IPID: 0000000000000000, ADDR/MISC/SYND: 000000091b2f55c0/"
    "08000a80c2982086/0000000000000000, RIP: 00:<0000000000000000>, TSC: 14120b051a1, "
    "PROCESSOR: 0:c06f1, TIME: 1689802780, SOCKET: 0, APIC: 0"
)


def of(*lines: str) -> list[Outcome]:
    return decoded_all("\n".join(lines), name="edac")


def test_the_kernels_line_is_read_with_all_that_it_says() -> None:
    assert decoded(TRACED) == Decoded(
        line=1,
        time_ns=53_303_037_895_000,
        count=2,
        address=0x91B2F55C0,
        dimm="CPU_SrcID#0_MC#1_Chan#0_DIMM#1",
        rank=1,
        bank=21,
        row=0x27B2,
        column=0xA0,
        detail="memory read error: err_code:0x0080:0x0090 PhysicalRankId:0x1 Row:0x27b2 "
        "Column:0xa0 Bank:0x1 BankGroup:0x5",
    )


def test_rasdaemons_line_has_its_own_time() -> None:
    record = decoded(LOGGED)
    assert (record.time_ns, record.address, record.host) == (
        1795459205 * 10**9,
        0x91B2F55C0,
        "hv-1",
    )


@pytest.mark.parametrize(
    ("kind", "ours"),
    [("Corrected", "ce"), ("Uncorrected", "ue"), ("Deferred", "ue"), ("Fatal", "ue")],
)
def test_all_that_is_not_corrected_is_uncorrected(kind: str, ours: str) -> None:
    assert decoded(TRACED.replace("Corrected", kind)).kind == ours


def test_what_is_only_informational_is_no_error() -> None:
    assert "tells of no error" in refused(TRACED.replace("Corrected", "Info")).reason


def test_address_zero_is_no_address() -> None:
    assert decoded(TRACED.replace("0x91b2f55c0", "0x00000000")).address is None


def test_rasdaemon_may_leave_out_what_it_does_not_know() -> None:
    line = LOGGED.replace(" location: 0:1 address: 0x91b2f55c0", "").replace(
        " syndrome: 0x00000000", ""
    )
    record = decoded(line)
    assert (record.address, record.rank) == (None, 1)


def test_the_kernel_leaves_out_nothing() -> None:
    assert "cut off" in refused(TRACED.replace("address:0x91b2f55c0 ", "")).reason


@pytest.mark.parametrize("label", ["", "any memory", "unknown memory"])
def test_a_label_that_names_no_dimm_is_no_dimm(label: str) -> None:
    assert decoded(TRACED.replace("CPU_SrcID#0_MC#1_Chan#0_DIMM#1", label)).dimm is None


def test_a_message_may_be_empty_or_hold_the_word_that_ends_it() -> None:
    assert decoded(TRACED.replace(" memory read error", "")).dimm == decoded(TRACED).dimm
    assert decoded(TRACED.replace("read", "on the way")).dimm == decoded(TRACED).dimm


@pytest.mark.parametrize(
    "line", [TRACED[:-1], TRACED[:200], LOGGED[:-9], TRACED.replace(" on ", " ")]
)
def test_a_line_that_is_cut_off_is_refused(line: str) -> None:
    assert refused(line).reason.startswith("mc_event line")


def test_the_kernel_counts_in_sixteen_bits() -> None:
    assert decoded(TRACED.replace("2 Corr", f"{COUNT_MAX} Corr")).count == 65_535
    assert "counts more" in refused(TRACED.replace("2 Corr", f"{COUNT_MAX + 1} Corr")).reason


def test_the_machine_check_and_the_event_of_one_error_are_one() -> None:
    assert errors(of(CHECKED, TRACED)) == 2


def test_the_machine_check_gives_the_event_its_time() -> None:
    (record,) = of(CHECKED, TRACED)
    assert isinstance(record, Decoded)
    assert record.time_ns == 1689802780 * 10**9


def test_the_order_of_the_two_does_not_matter() -> None:
    assert errors(of(TRACED, CHECKED)) == 2


def test_a_machine_check_that_no_event_follows_speaks_for_itself() -> None:
    elsewhere = CHECKED.replace("000000091b2f55c0", "0000000777777000")
    assert errors(of(elsewhere, TRACED)) == 2 + 2


def test_two_events_are_two_errors_though_they_look_alike() -> None:
    assert errors(of(TRACED, TRACED)) == 4


def test_what_kernel_and_rasdaemon_say_of_one_error_is_one() -> None:
    edac = (
        "Nov 23 18:40:05 hv-1 kernel: EDAC MC1: 2 CE memory read error on CPU_SrcID#0_MC#1_Chan#0_"
        "DIMM#1 (channel:0 slot:1 page:0x91b2f5 offset:0x5c0 grain:32 syndrome:0x0)"
    )
    assert errors(of(edac, LOGGED)) == 2


counts = st.integers(0, COUNT_MAX)
addresses = st.integers(1, (1 << 64) - 1)


@given(counts, addresses, st.sampled_from(["ce", "ue"]), st.booleans())
def test_whatever_is_written_is_read_as_it_was_meant(
    count: int, address: int, kind: str, is_logged: bool
) -> None:
    line = LOGGED if is_logged else TRACED
    word = {"ce": "Corrected", "ue": "Uncorrected"}[kind]
    line = line.replace("2 Corrected", f"{count} {word}").replace("91b2f55c0", f"{address:08x}")
    record = decoded(line)
    assert (record.count, record.address, record.kind) == (count, address, kind)
