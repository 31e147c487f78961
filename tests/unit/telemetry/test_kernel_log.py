"""The walk through a kernel log: what counts once, what is passed over, what is refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.telemetry import kernel_log
from agent.telemetry.lines import lines
from agent.telemetry.record import Decoded, Outcome, Refused
from tests.support.logs import EDAC, LINE, UNSAID, decoded, decoded_all, errors, refused

BLOCK = """\
[Sat Apr 15 19:49:46 2023] EDAC skx MC1: HANDLING MCE MEMORY ERROR
[Sat Apr 15 19:49:46 2023] EDAC skx MC1: CPU 0: Machine Check Event: 0x0 Bank 7: 0x8c00004000010091
[Sat Apr 15 19:49:46 2023] EDAC skx MC1: TSC 0x0
[Sat Apr 15 19:49:46 2023] EDAC skx MC1: ADDR 0x12345680
[Sat Apr 15 19:49:46 2023] EDAC skx MC1: MISC 0x0
[Sat Apr 15 19:49:46 2023] EDAC skx MC1: PROCESSOR 0:0x806f8 TIME 1681559382 SOCKET 0 APIC 0x0
"""

FIRMWARE = """\
[ 2624.662038] {3}[Hardware Error]: Hardware error from APEI Generic Hardware Error Source: 5
[ 2624.662396] {3}[Hardware Error]: event severity: corrected
[ 2624.662654] {3}[Hardware Error]:   section_type: memory error
[ 2624.662784] {3}[Hardware Error]:   physical_address: 0x0000000123450680
[ 2624.662941] {3}[Hardware Error]:   node: 0 rank: 0 bank: 0 row: 0 column: 0
[ 2624.663102] {3}[Hardware Error]:   error_type: 2, single-bit ECC
"""


def of(text: str) -> list[Outcome]:
    return decoded_all(text, name="edac")


def test_an_error_that_the_kernel_tells_twice_counts_once() -> None:
    assert errors(of(f"{BLOCK}[Sat Apr 15 19:49:46 2023] {EDAC}\n")) == 3


def test_the_block_gives_the_error_its_time_in_utc() -> None:
    """`dmesg -T` prints local time, and drifts; the record's own time does neither."""
    assert decoded(f"{BLOCK}[Sat Apr 15 19:49:46 2023] {EDAC}\n").time_ns == 1681559382 * 10**9


def test_a_block_that_no_edac_line_explains_is_refused() -> None:
    assert refused(BLOCK) == Refused(
        1, "a machine-check block is not read by itself yet, and no EDAC line explains it"
    )


def test_a_block_about_another_address_is_not_explained_by_the_line() -> None:
    other = BLOCK.replace("0x12345680", "0x77777000")
    kinds = [type(outcome) for outcome in of(f"{other}{LINE}\n")]
    assert kinds == [Decoded, Refused]


def test_each_of_two_blocks_needs_its_own_line() -> None:
    outcomes = of(f"{BLOCK}{BLOCK}{LINE}\n")
    assert [type(outcome) for outcome in outcomes] == [Refused, Decoded]


def test_a_block_without_an_address_belongs_to_the_next_line() -> None:
    nowhere = BLOCK.replace("0x12345680", "0x0")
    assert [type(outcome) for outcome in of(f"{nowhere}{LINE}\n")] == [Decoded]


def test_the_firmwares_block_and_the_edac_line_are_one_error() -> None:
    assert errors(of(f"{FIRMWARE}{LINE.replace('0x12345 ', '0x123450 ')}\n")) == 3


def test_the_firmwares_address_tells_that_pages_are_larger() -> None:
    """Page 0x12345 of 64 KiB: with pages of 4 KiB the address would be another."""
    record = decoded(f"{FIRMWARE}{LINE}\n")
    assert record.address == 0x123450680


def test_a_page_size_that_is_said_is_believed() -> None:
    assert decoded(LINE, replace(UNSAID, page_shift=16)).address == 0x123450680


def test_a_firmware_block_alone_is_refused() -> None:
    assert "APEI/GHES" in refused(FIRMWARE).reason


def test_a_firmware_block_about_something_else_is_passed_over() -> None:
    assert of(FIRMWARE.replace("memory error", "PCIe error")) == []


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("<idle>-0 [000] d..1. 596.89: mce_record: CPU: 0, MCGc/s: f000c15/0", "mce_record"),
        ("rasdaemon-9 [001] 1.0: mc_event: 1 Corrected error: read on A1", "mc_event"),
        (
            "[0.064265] mce: [Hardware Error]: CPU 0: Machine Check: 0 Bank 4: a600000000020408",
            "raw machine-check",
        ),
        (
            "(XEN) MCE: The hardware reports a correctable incident",
            "Xen's console",
        ),
    ],
)
def test_a_form_that_is_not_read_is_refused_and_not_lost(line: str, what: str) -> None:
    assert what in refused(line).reason


def test_a_form_that_is_not_read_is_refused_inside_a_block_too() -> None:
    outcomes = of(f"{BLOCK}CPU 0 BANK 8\n[1.0] {EDAC}\n")
    assert [type(outcome) for outcome in outcomes] == [Refused, Decoded]


@pytest.mark.parametrize(
    "line",
    [
        "[  590.529178] mce: [Hardware Error]: Machine check events logged",
        "Jan  3 22:28:25 hv-1 systemd[1]: Started Session 12 of user root.",
        "",
    ],
)
def test_a_line_about_something_else_is_passed_over(line: str) -> None:
    assert of(line) == []


def test_line_numbers_are_the_files_own() -> None:
    (record,) = of(f"\nnoise\n{LINE}\n")
    assert record.line == 3


def test_whatever_stands_before_edac_a_line_is_found() -> None:
    """Container logs and serial consoles put their own words in front."""
    assert refused(f"stdout F something {EDAC}").reason.startswith("no time")


garbage = st.lists(
    st.one_of(
        st.text(max_size=80),
        st.sampled_from([LINE, EDAC, *BLOCK.splitlines(), *FIRMWARE.splitlines()]).flatmap(
            lambda line: st.builds(
                lambda at, junk: line[:at] + junk + line[at:],
                st.integers(0, len(line)),
                st.text(max_size=5),
            )
        ),
    ),
    max_size=12,
)


@given(garbage)
def test_no_line_raises_and_no_line_is_told_of_twice(some: list[str]) -> None:
    outcomes = list(kernel_log.decode(lines(["\n".join(some).encode()]), UNSAID))
    assert len({outcome.line for outcome in outcomes}) == len(outcomes)


@given(st.binary(max_size=400))
def test_no_bytes_raise(some: bytes) -> None:
    outcomes = kernel_log.decode(lines([b"[1.0] EDAC MC0: 1 CE " + some]), UNSAID)
    assert all(isinstance(outcome, Decoded | Refused) for outcome in outcomes)
