"""SmartMem rows: columns by name, empty cells, and a bad cell told by its column."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.telemetry.record import Decoded, Refused
from tests.support.logs import HEADER, ROW, UNSAID, decoded, decoded_all, refused


def row(**cells: str) -> str:
    """A whole file with one row, some cells of it changed."""
    names = HEADER.split(",")
    values = ROW.split(",", len(names) - 1)
    changed = [cells.get(name, value) for name, value in zip(names, values, strict=True)]
    return f"{HEADER}\n{','.join(changed)}\n"


def test_a_row_is_one_error_with_every_coordinate() -> None:
    assert decoded(row()) == Decoded(
        line=2,
        time_ns=1704148094 * 10**9,
        address=158945787264,
        dimm="CPU0_C4_D1",
        rank=1,
        bank=14,
        row=101410,
        column=1016,
        detail="CE.READ",
    )


def test_columns_are_found_whatever_their_case_and_order() -> None:
    names, cells = HEADER.split(",")[:-1], ROW.split(",")[:11]
    text = f"{','.join(reversed(names)).upper()}\n{','.join(reversed(cells))}\n"
    assert decoded(text) == decoded(row())


def test_a_file_with_the_line_ends_of_windows_reads_the_same() -> None:
    assert decoded(row().replace("\n", "\r\n")) == decoded(row())


@pytest.mark.parametrize("nothing", ["", "0"])
def test_an_address_that_is_not_there_is_unknown_and_never_page_zero(nothing: str) -> None:
    assert decoded(row(MciAddr=nothing)).address is None


def test_an_empty_coordinate_is_unknown() -> None:
    assert decoded(row(RowId="", BankgroupId="")).bank is None


def test_a_dimm_without_all_of_its_name_is_unknown() -> None:
    assert decoded(row(ChannelId="")).dimm is None


def test_a_whole_number_that_pandas_wrote_as_a_float_is_read() -> None:
    assert decoded(row(RowId="101410.0")).row == 101410


@pytest.mark.parametrize(("name", "kind"), [("CE", "ce"), ("CE.SCRUB", "ce"), ("UE.READ", "ue")])
def test_the_type_says_whether_it_was_corrected(name: str, kind: str) -> None:
    assert decoded(row(error_type_full_name=name)).kind == kind


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("RowId", "x"),
        ("MciAddr", "0x2501"),
        ("MciAddr", "-1"),
        ("LogTime", "yesterday"),
        ("LogTime", ""),
        ("ColumnId", "1_000"),
        ("error_type_full_name", "PCIe"),
    ],
)
def test_a_bad_cell_is_refused_by_the_name_of_its_column(column: str, cell: str) -> None:
    assert refused(row(**{column: cell})).reason.startswith(f"{column}:")


def test_a_coordinate_too_large_for_an_ereport_is_refused() -> None:
    assert refused(row(RankId="40000")).reason == "rank must be 0 to 32767 (got 40000)"


def test_a_row_with_too_few_cells_is_refused() -> None:
    assert refused(f"{HEADER}\n1,2,3\n").reason == "3 cells where the header has 12"


def test_a_row_that_is_cut_inside_its_quotes_is_refused() -> None:
    assert refused(row()[:-4]).reason.startswith("not a row of CSV")


def test_a_header_without_a_column_is_refused_by_its_name() -> None:
    assert refused(row().replace("RowId", "Rov")).reason.endswith("column RowId")


def test_rows_keep_the_order_of_the_file() -> None:
    """Their times go up and down, and the agent must cope with it."""
    later, sooner = (row(LogTime=time).splitlines()[1] for time in ("200", "100"))
    records = decoded_all(f"{HEADER}\n{later}\n{sooner}\n")
    assert [r.time_ns for r in records if isinstance(r, Decoded)] == [200 * 10**9, 100 * 10**9]


def test_empty_lines_are_passed_over_and_still_numbered() -> None:
    outcomes = decoded_all(f"{HEADER}\n\n1,2\n")
    assert [outcome.line for outcome in outcomes] == [3]


@given(st.text(max_size=120))
def test_no_row_raises(some: str) -> None:
    outcomes = decoded_all(f"{HEADER}\n{some}", UNSAID, "smartmem")
    assert all(isinstance(outcome, Decoded | Refused) for outcome in outcomes)
