"""The text of mcelog: every arrangement that it writes and reads, and records torn or mixed."""

from dataclasses import replace

import pytest

from agent.telemetry.record import Decoded, Outcome, Refused
from tests.support.logs import EDAC, UNSAID, decoded, decoded_all, refused
from tests.support.machine_checks import MCELOG_INPUT as INPUT
from tests.support.machine_checks import MCELOG_OUTPUT as OUTPUT

OLD_HEADER = """\
MCE 0
HARDWARE ERROR. This is NOT a software problem!
Please contact your hardware vendor
"""
RECORD = Decoded(
    line=1,
    time_ns=1700000000 * 10**9,
    count=2,
    address=0x45678040,
    detail="memory read error: socket:1 channel:2 mca_bank:13",
)
WORDS = "MCA: MEMORY CONTROLLER RD_CHANNEL2_ERR; Transaction: Memory read error"


def text_of(text: str) -> list[Outcome]:
    return decoded_all(text, name="mcelog")


def logged(text: str, program: str = "mcelog[812]") -> str:
    """`text` as a system log has it."""
    return "".join(f"Jan  3 22:28:25 hv-1 {program}: {line}\n" for line in text.splitlines())


def test_what_mcelog_reads_is_read() -> None:
    assert decoded(INPUT) == RECORD


def test_what_mcelog_writes_is_read_with_its_words() -> None:
    assert decoded(OUTPUT) == replace(RECORD, line=3, detail=f"{RECORD.detail}; {WORDS}")


def test_the_old_header_is_one_too() -> None:
    text = OLD_HEADER + "".join(OUTPUT.splitlines(keepends=True)[2:])
    assert decoded(text).line == 4


def test_registers_may_come_in_any_order_and_several_in_a_line() -> None:
    first, *others = INPUT.splitlines()
    assert decoded("\n".join([first, *reversed(others)])) == RECORD
    assert decoded(" ".join([first, *others])) == RECORD


def test_behind_a_header_registers_may_come_before_their_cpu() -> None:
    first, *others = INPUT.splitlines()
    assert replace(decoded("\n".join(["MCE 0", *others, first])), line=1) == RECORD


def test_numbers_are_hexadecimal_with_or_without_0x() -> None:
    assert decoded(INPUT.replace("0x", "")) == RECORD


@pytest.mark.parametrize("first", ["CPU 3 13", "CPU 3 BANK 13 ", "CPU 3 BANK 13 TSC 12 [at 2 Mhz]"])
def test_the_first_line_has_several_forms(first: str) -> None:
    assert decoded(INPUT.replace("CPU 3 BANK 13", first)) == RECORD


def test_an_exception_of_old_kernels_is_a_first_line_too() -> None:
    first = "CPU 3: Machine Check Exception: 4 Bank 13: 8c00008000010092"
    text = INPUT.replace("CPU 3 BANK 13\nSTATUS 0x8c00008000010092", first)
    assert decoded(text) == RECORD


@pytest.mark.parametrize(
    "between",
    ["", "\n", "MCE 1\n", OLD_HEADER, "Hardware event. This is not a software error.\nMCE 7\n"],
)
def test_a_record_ends_where_the_next_one_begins(between: str) -> None:
    outcomes = text_of(between.join([INPUT] * 3))
    assert [replace(o, line=1) for o in outcomes if isinstance(o, Decoded)] == [RECORD] * 3
    assert len(outcomes) == 3


def test_the_vendor_is_known_from_mcelogs_own_line_too() -> None:
    """Without MCG_CAP only Intel's banks are believed to count."""
    other = OUTPUT.replace("MCGCAP f000c15 ", "")
    assert decoded(other).count == 2
    assert decoded(other.replace("Vendor Intel", "Vendor Centaur")).count == 0


def test_the_words_count_where_the_registers_do_not() -> None:
    text = OUTPUT.replace("8c00008000010092", "8c00000000010092").replace(
        "Transaction", "Memory corrected error count (CORE_ERR_CNT): 18\nTransaction"
    )
    assert decoded(text).count == 18


def test_coordinates_in_the_words_are_taken() -> None:
    text = OUTPUT.replace(
        "Transaction",
        "bank: 0x2 bankgroup: 0x1 row: 0x402c3 column: 0x1f0\nrank: 1\nTransaction",
    )
    record = decoded(text)
    assert (record.rank, record.bank, record.row, record.column) == (1, 6, 0x402C3, 0x1F0)


def test_without_a_time_the_time_is_the_boots() -> None:
    text = INPUT.replace("TIME 1700000000\n", "")
    assert decoded(text, replace(UNSAID, boot_ns=7)).time_ns == 7


@pytest.mark.parametrize("program", ["mcelog", "mcelog[812]"])
def test_behind_a_prefix_date_and_host_are_the_lines(program: str) -> None:
    (record,) = text_of(logged(INPUT.replace("TIME 1700000000\n", ""), program))
    assert isinstance(record, Decoded)
    assert (record.host, record.time_ns) == ("hv-1", 1704320905 * 10**9)


def test_lines_of_other_programs_may_stand_between() -> None:
    lines = logged(INPUT).splitlines()
    lines[3:3] = [
        "Jan  3 22:28:25 hv-1 sshd[5]: hello",
        "Jan  3 22:28:25 hv-1 kernel: usb 1-1: new",
    ]
    (record,) = text_of("\n".join(lines))
    assert isinstance(record, Decoded)
    assert record.address == RECORD.address


def test_a_record_of_two_writers_is_refused_on_both_sides() -> None:
    """Its registers could be anyone's."""
    lines = logged(INPUT).splitlines()
    mixed = [*lines[:3], *(line.replace("[812]", "[813]") for line in lines[3:])]
    first, second = text_of("\n".join(mixed))
    assert isinstance(first, Decoded)
    assert first.address is None
    assert isinstance(second, Refused)
    assert "torn apart" in second.reason


@pytest.mark.parametrize("name", ["STATUS", "MISC", "ADDR", "TIME", "SOCKETID", "MCGCAP"])
def test_registers_that_come_twice_are_refused(name: str) -> None:
    line = next(line for line in INPUT.splitlines() if line.startswith(name))
    assert f"{name} is told twice" in refused(f"{INPUT}{line}\n").reason


def test_registers_without_their_first_line_are_refused() -> None:
    rest = INPUT.partition("\n")[2]
    outcomes = text_of(f"{rest}\n{INPUT}")
    assert [type(outcome) for outcome in outcomes] == [Refused, Decoded]


def test_what_was_torn_off_does_not_lend_its_address_to_the_next() -> None:
    first, second = text_of(f"ADDR 1234000\n{INPUT}")
    assert (type(first), second) == (Refused, replace(RECORD, line=2))


@pytest.mark.parametrize(
    "broken",
    [
        "ADDR 0x4567804z",
        "ADDR",
        "ADDR 0x45678040CPU 1 BANK 8",
        "ADDR 0x456780400000000000000",
        "STATUS 0x8c…",
        "CPU 3 BANK",
        "TIME x",
    ],
)
def test_a_register_that_cannot_be_read_spoils_its_record(broken: str) -> None:
    text = INPUT.replace("ADDR 0x45678040", broken)
    reasons = [o.reason for o in text_of(text) if isinstance(o, Refused)]
    assert any("cut off, or mixed" in reason for reason in reasons)


def test_a_record_without_its_status_is_refused() -> None:
    assert "without its STATUS" in refused("CPU 0 BANK 3\nADDR 1234\n").reason


def test_a_header_alone_is_refused() -> None:
    assert "header without a record" in refused("MCE 0\n").reason


def test_a_thermal_event_is_refused_by_its_name() -> None:
    assert "thermal" in refused("MCE 0\nCPU 2 THERMAL EVENT TSC 12\nTIME 1700000000\n").reason


def test_errors_in_other_formats_between_them_are_not_lost() -> None:
    outcomes = text_of(f"{INPUT}[1.0] {EDAC}\n{INPUT}")
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Decoded"] * 2 + ["Refused"]


def test_words_are_kept_within_a_bound() -> None:
    text = INPUT + f"MCA: {'x' * 4000}\n" * 100
    assert len(decoded(text).detail or "") <= 1100


def test_mcelogs_messages_about_itself_are_passed_over() -> None:
    text = f"mcelog: failed to prefill DIMM database from DMI data\n{INPUT}"
    (record,) = text_of(text)
    assert isinstance(record, Decoded)


def test_the_words_of_another_writer_do_not_join_a_record() -> None:
    other = "Jan  3 22:28:25 hv-1 mcelog[813]: rank: 3\n"
    (record,) = text_of(logged(INPUT) + other)
    assert isinstance(record, Decoded)
    assert record.rank is None


@pytest.mark.parametrize("line", ["ADDR 0x45678040", "CPU 3 BANK 13"])
def test_a_register_that_comes_twice_in_one_line_is_refused(line: str) -> None:
    again = line.replace("BANK ", "")
    assert "mixed" in refused(INPUT.replace(line, f"{again} {again}")).reason
