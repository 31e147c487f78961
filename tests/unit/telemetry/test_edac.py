"""EDAC lines: every quirk that kernels and drivers have shown."""

import string
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.telemetry.edac import EdacError, parse
from agent.telemetry.record import Decoded
from tests.support.logs import EDAC, LINE, decoded, decoded_all, refused


def the_error(text: str) -> EdacError:
    error = parse(text)
    assert isinstance(error, EdacError), error
    return error


def edac(place: str = "channel:0 slot:0", detail: str = "", **changed: object) -> str:
    """An EDAC line with some of its parts changed."""
    parts: dict[str, object] = {
        "count": 1,
        "kind": "CE",
        "message": "memory read error ",
        "label": "DIMM_A1",
        "page": "0x1d1b99",
        "offset": "0x500",
        "grain": 32,
        "syndrome": " syndrome:0x0",
    } | changed
    return (
        "EDAC MC0: {count} {kind} {message}on {label} ({place} page:{page} offset:{offset} "
        "grain:{grain}{syndrome}{detail})"
    ).format(**parts, place=place, detail=f" - {detail}" if detail else "")


def test_page_and_offset_make_the_address() -> None:
    assert decoded(LINE).address == 0x12345680


def test_the_count_is_the_lines_own() -> None:
    assert decoded(LINE).count == 3


def test_a_count_of_zero_is_kept_and_stands_for_one_error() -> None:
    """Firmware that does not count writes 0; the error happened all the same."""
    record = decoded(f"[1.0] {edac(count=0)}")
    assert (record.count, record.errors) == (0, 1)


def test_page_zero_and_offset_zero_together_say_that_the_address_is_unknown() -> None:
    assert decoded(f"[1.0] {edac(page='0x0', offset='0x0')}").address is None


def test_page_zero_with_an_offset_is_an_address() -> None:
    assert decoded(f"[1.0] {edac(page='0x0', offset='0x40')}").address == 0x40


def test_the_label_is_the_dimm() -> None:
    assert decoded(LINE).dimm == "CPU_SrcID#0_Chan#2_DIMM#1"


@pytest.mark.parametrize("label", ["", "any memory", "unknown memory", "unknown label"])
def test_a_label_that_names_no_dimm_is_no_dimm(label: str) -> None:
    assert the_error(edac(label=label)).dimm is None


def test_a_label_may_hold_spaces_and_alternatives() -> None:
    assert the_error(edac(label="DIMM A1 or DIMM B1")).dimm == "DIMM A1 or DIMM B1"


def test_a_label_with_too_many_alternatives_keeps_whole_names_and_says_that_there_are_more() -> (
    None
):
    label = " or ".join(f"CPU_SrcID#1_Ha#0_Chan#{channel}_DIMM#1" for channel in range(6))
    dimm = the_error(edac(label=label)).dimm
    assert dimm == " or ".join(label.split(" or ")[:3]) + " or …"


def test_a_message_may_hold_the_word_that_ends_it() -> None:
    error = the_error(edac(message="error on the way on channel 3 "))
    assert (error.detail, error.dimm) == ("error on the way on channel 3", "DIMM_A1")


def test_a_message_may_hold_brackets() -> None:
    assert the_error(edac(message="reserved error (16) ")).detail == "reserved error (16)"


def test_a_message_may_be_empty() -> None:
    assert the_error(edac(message="")).dimm == "DIMM_A1"


def test_message_and_label_may_both_be_empty() -> None:
    assert the_error(edac(message="", label="")).dimm is None


def test_an_uncorrected_error_has_no_syndrome_and_is_a_ue() -> None:
    assert the_error(edac(kind="UE", syndrome="")).kind == "ue"


def test_message_and_detail_are_both_kept() -> None:
    assert decoded(LINE).detail == "memory read error: area:DRAM err_code:0001:0091 rank:5"


def test_a_rank_in_the_detail_is_decimal() -> None:
    assert the_error(edac(detail=" err_code:0001:0092 socket:1 rank:10")).rank == 10


def test_coordinates_from_address_translation_are_hexadecimal_and_the_bank_counts_flat() -> None:
    detail = "PhysicalRankId:0x1 DimmRankId:0x3 Row:0x442a Column:0x440 Bank:0x1 BankGroup:0x5"
    error = the_error(edac(detail=detail))
    assert (error.rank, error.bank, error.row, error.column) == (1, 21, 0x442A, 0x440)


def test_the_short_names_of_skx_are_understood() -> None:
    error = the_error(edac(detail="socket:2 imc:0 rank:1 bg:2 ba:3 row:0x1f880 col:0x200"))
    assert (error.rank, error.bank, error.row, error.column) == (1, 11, 0x1F880, 0x200)


@pytest.mark.parametrize("column", ["col:560", "column:560", "column: 560"])
def test_firmware_spells_the_column_in_several_ways(column: str) -> None:
    error = the_error(edac(place=f"node:0 rank:1 bank:256 row:40948 {column}"))
    assert (error.rank, error.bank, error.row, error.column) == (1, 256, 40948, 560)


def test_bank_group_and_bank_address_of_firmware_count_flat() -> None:
    assert the_error(edac(detail="APEI location: bank_group:3 bank_address:2")).bank == 14


def test_a_name_without_a_value_is_no_coordinate() -> None:
    assert the_error(edac(detail="APEI location: device: row: column:7")).row is None


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (EDAC[:120], "cut off"),
        (EDAC.replace("0x12345", "12345"), "without its place"),
        (EDAC.replace(" on ", " at "), "names no DIMM"),
        (f"{EDAC[:40]} EDAC MC0: 1 CE memory", "two EDAC messages"),
        ('EDAC MC0: CE page 0x1, offset 0x0, grain 8, row 0, label "": i3000 CE', "layout"),
    ],
    ids=["cut", "page", "label", "mixed", "2011"],
)
def test_a_broken_line_is_refused_with_its_reason(line: str, why: str) -> None:
    assert why in refused(f"[1.0] {line}").reason


def test_an_offset_outside_the_page_asks_for_the_page_size() -> None:
    """Arm servers run with pages of 64 KiB: read as 4 KiB, every address would be wrong."""
    assert "--page-size" in refused(f"[1.0] {edac(offset='0x1a00')}").reason


def test_a_number_too_large_for_an_ereport_is_refused_by_name() -> None:
    assert refused(f"[1.0] {edac(place='rank:99999')}").reason.startswith("rank must be")


def test_a_driver_that_only_announces_itself_is_passed_over() -> None:
    assert decoded_all("[1.0] EDAC MC0: Giving out device to module skx_edac") == []


words = st.text(string.ascii_letters + string.digits + "#_-", min_size=1, max_size=20)
errors = st.builds(
    Decoded,
    line=st.just(1),
    time_ns=st.just(12_000_345_000),
    kind=st.sampled_from(["ce", "ue"]),
    count=st.integers(0, 1 << 31),
    address=st.integers(1, (1 << 64) - 1),
    dimm=words,
    rank=st.integers(0, 32767),
    bank=st.integers(0, 31),
    row=st.integers(0, (1 << 31) - 1),
    column=st.integers(0, (1 << 31) - 1),
    detail=st.lists(words, min_size=1, max_size=5).map(" ".join),
)


@given(errors)
def test_whatever_a_kernel_writes_is_read_as_it_was_meant(error: Decoded) -> None:
    assert error.address is not None
    assert error.bank is not None
    coordinates = (
        f"rank:{error.rank} bg:{error.bank // 4} ba:{error.bank % 4} "
        f"row:{error.row:#x} col:{error.column:#x}"
    )
    line = edac(
        detail=coordinates,
        count=error.count,
        kind=error.kind.upper(),
        message=f"{error.detail} ",
        label=error.dimm,
        page=f"{error.address >> 12:#x}",
        offset=f"{error.address & 0xFFF:#x}",
    )
    assert decoded(f"[12.000345] {line}") == replace(error, detail=f"{error.detail}: {coordinates}")
