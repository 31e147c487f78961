"""The walk through a kernel log: what counts once, what is passed over, what is refused."""

from dataclasses import replace
from itertools import chain, count, islice, repeat

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


def test_a_block_that_no_edac_line_explains_speaks_for_itself() -> None:
    record = decoded(BLOCK)
    assert (record.line, record.count, record.time_ns) == (1, 1, 1681559382 * 10**9)


def test_a_block_that_says_nothing_is_refused_and_not_lost() -> None:
    assert "without its STATUS" in refused(BLOCK.splitlines()[0]).reason


def test_a_block_about_another_address_is_not_explained_by_the_line() -> None:
    other = BLOCK.replace("0x12345680", "0x77777000")
    assert errors(of(f"{other}{LINE}\n")) == 1 + 3


def test_each_of_two_blocks_needs_its_own_line() -> None:
    assert errors(of(f"{BLOCK}{BLOCK}{LINE}\n")) == 1 + 3


def test_a_line_after_two_blocks_explains_the_one_that_has_its_address() -> None:
    other = BLOCK.replace("0x12345680", "0x77777000").replace("MISC 0x0", "MISC 0x8c")
    outcomes = of(f"{BLOCK}{other}{LINE}\n")
    assert {o.address for o in outcomes if isinstance(o, Decoded)} == {0x12345680, 0x77777000}


def test_a_block_without_an_address_belongs_to_the_next_line() -> None:
    nowhere = BLOCK.replace("0x12345680", "0x0")
    assert [type(outcome) for outcome in of(f"{nowhere}{LINE}\n")] == [Decoded]


def test_a_block_is_not_explained_by_a_line_that_comes_much_later() -> None:
    later = f"[Sat Apr 15 19:49:52 2023] {EDAC}"
    assert errors(of(f"{BLOCK}{later}\n")) == 1 + 3


def test_the_registers_of_two_controllers_are_kept_apart() -> None:
    other = BLOCK.replace("MC1", "MC0").replace("0x12345680", "0x77777000")
    mixed = "\n".join(
        line for both in zip(BLOCK.splitlines(), other.splitlines(), strict=True) for line in both
    )
    assert errors(of(f"{mixed}\n{LINE}\n")) == 1 + 3


def test_the_edac_line_and_what_firmware_made_the_kernel_say_are_one_error() -> None:
    """Firmware-first machines with Intel's driver tell of each error three times."""
    block = BLOCK.replace("[Sat Apr 15 19:49:46 2023]", "[ 2624.7]")
    firmware = FIRMWARE.replace("0x0000000123450680", "0x0000000012345680")
    assert errors(of(f"{firmware}{block}[ 2624.8] {EDAC}\n")) == 3


def test_the_firmwares_block_and_the_edac_line_are_one_error() -> None:
    assert errors(of(f"{FIRMWARE}{LINE.replace('0x12345 ', '0x123450 ')}\n")) == 3


def test_the_firmwares_address_tells_that_pages_are_larger() -> None:
    """Page 0x12345 of 64 KiB: with pages of 4 KiB the address would be another."""
    record = decoded(f"{FIRMWARE}{LINE}\n")
    assert record.address == 0x123450680


def test_what_firmware_showed_of_pages_holds_for_the_lines_that_follow() -> None:
    """Firmware's block is printed for the first of many errors; the EDAC line for each."""
    outcomes = of(f"{FIRMWARE}{LINE}\n{LINE.replace('0x12345 ', '0x12346 ')}\n")
    assert [o.address for o in outcomes if isinstance(o, Decoded)] == [0x123450680, 0x123460680]


def test_a_page_size_that_is_said_is_believed() -> None:
    assert decoded(LINE, replace(UNSAID, page_shift=16)).address == 0x123450680


def test_a_firmware_block_alone_speaks_for_itself() -> None:
    record = decoded(FIRMWARE)
    assert (record.address, record.detail) == (
        0x123450680,
        "single-bit ECC: node:0 rank:0 bank:0 row:0 column:0",
    )


def test_a_firmware_block_about_something_else_is_passed_over() -> None:
    assert of(FIRMWARE.replace("memory error", "PCIe error")) == []


MCELOG = """\
Apr 15 19:49:47 hv-1 mcelog[812]: Hardware event. This is not a software error.
Apr 15 19:49:47 hv-1 mcelog[812]: MCE 0
Apr 15 19:49:47 hv-1 mcelog[812]: CPU 0 BANK 7
Apr 15 19:49:47 hv-1 mcelog[812]: MISC 40584e86 ADDR 12345680
Apr 15 19:49:47 hv-1 mcelog[812]: TIME 1681559382 Sat Apr 15 11:49:42 2023
Apr 15 19:49:47 hv-1 mcelog[812]: STATUS 8c0000c000010091 MCGSTATUS 0
Apr 15 19:49:47 hv-1 mcelog[812]: MCGCAP f000c14 APICID 0 SOCKETID 0
Apr 15 19:49:47 hv-1 mcelog[812]: CPUID Vendor Intel Family 6 Model 85
"""
XEN = """\
(XEN) [2023-04-15 19:49:46] CMCI occurred on CPU 3.
(XEN) [2023-04-15 19:49:46] Bank 7: 8c0000c000010091[        40584e86] at         12345680
"""


def test_what_mcelog_says_in_the_midst_of_other_lines_is_read() -> None:
    lines = MCELOG.splitlines(keepends=True)
    between = "Apr 15 19:49:47 hv-1 systemd[1]: Started Session 12 of user root.\n"
    (record,) = of(between.join(lines))
    assert isinstance(record, Decoded)
    assert (record.address, record.count, record.host) == (0x12345680, 3, "hv-1")


def test_what_the_daemon_says_of_what_the_driver_said_is_no_second_error() -> None:
    assert errors(of(f"Apr 15 19:49:46 hv-1 kernel: {EDAC}\n{MCELOG}")) == 3


def test_what_two_forms_without_a_dimm_say_is_one_error() -> None:
    block = BLOCK.replace("[Sat Apr 15 19:49:46 2023]", "Apr 15 19:49:46 hv-1 kernel:")
    raised = block.replace("8c00004000010091", "8c0000c000010091")
    assert errors(of(raised + MCELOG)) == 3


def test_xens_console_may_be_in_the_same_log() -> None:
    elsewhere = LINE.replace("0x12345 ", "0x77777 ")
    addresses = {o.address for o in of(f"{elsewhere}\n{XEN}") if isinstance(o, Decoded)}
    assert addresses == {0x77777680, 0x12345680}


@pytest.mark.parametrize("name", ["extlog_mem_event", "cxl_dram"])
def test_a_tracepoint_about_memory_that_is_not_read_is_refused(name: str) -> None:
    line = f"  kworker/0:4-1042 [000] ..... 5.037895: {name}: {{1}} corrected error"
    assert refused(line) == Refused(1, f"the tracepoint {name} is not read")


def test_a_tracepoint_that_is_cut_off_is_refused_inside_a_block_too() -> None:
    cut = "<idle>-0 [000] d..1. 596.89: mce_record: CPU: 0, MCGc/s: f000c15/0"
    outcomes = of(f"{BLOCK}{cut}\n[1.0] {EDAC}\n")
    assert [type(outcome) for outcome in outcomes] == [Refused, Decoded]


def test_only_so_many_blocks_are_held_and_the_oldest_speaks_first() -> None:
    walk = kernel_log.decode(
        (
            f"[1.0] EDAC skx MC{number % 500}: CPU 0: Machine Check Event: 0x0 Bank 7: "
            f"0x8c00004000010091"
            if number % 2
            else f"[1.0] EDAC skx MC{number % 500 + 1}: HANDLING MCE MEMORY ERROR"
            for number in count()
        ),
        UNSAID,
    )
    assert [outcome.line for outcome in islice(walk, 5)] == [1, 3, 5, 7, 9]


def test_a_log_without_end_gives_up_its_errors_on_the_way() -> None:
    """Nothing but blocks of firmware that no EDAC line follows, for as long as one looks."""
    endless = chain.from_iterable(repeat(FIRMWARE.splitlines()))
    assert len(list(islice(kernel_log.decode(endless, UNSAID), 500))) == 500


@pytest.mark.parametrize(
    "line",
    [
        "[  590.529178] mce: [Hardware Error]: Machine check events logged",
        "Jan  3 22:28:25 hv-1 systemd[1]: Started Session 12 of user root.",
        "[   12.000000] RAS: Soft-offlining pfn: 0x12345",
        "[   12.000000] Memory failure: 0x12345: recovery action for clean LRU page: Recovered",
        "[   12.000000] EDAC amd64: F17h detected (node 0).",
        "hv-1 rasdaemon[9]: ras:mc_event event enabled",
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
