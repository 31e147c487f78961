"""Blocks of firmware: events of one section or several, whole and torn, by new kernels and old."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.telemetry.record import Decoded, Outcome, Refused
from tests.support.logs import decoded, decoded_all, refused

HEAD = (
    "Hardware error from APEI Generic Hardware Error Source: 4",
    "It has been corrected by h/w and requires no further action",
    "event severity: corrected",
)
SECTION = (
    " Error 0, type: corrected",
    " fru_text: B1",
    "  section_type: memory error",
    "  error_status: Storage error in DRAM memory (0x0000000000000400)",
    "  physical_address: 0x000000b50c68ce80",
    "  node:1 card:4 module:0 rank:0 bank_group:2 bank_address:1 device:14 row:58165 column:816",
    "  error_type: 2, single-bit ECC",
    "  DIMM location: CPU 2 DIMM 30",
)


def block(*lines: str, seq: int | None = 37) -> str:
    tag = "" if seq is None else f"{{{seq}}}"
    return "".join(f"[  12.000000] {tag}[Hardware Error]: {line}\n" for line in lines)


def changed(**changes: str | None) -> str:
    """A block with some of its lines changed, or left out."""
    names = {"address": 4, "place": 5, "type": 6, "dimm": 7, "severity": 0, "kind": 2}
    lines: list[str | None] = list(SECTION)
    for name, line in changes.items():
        lines[names[name]] = line
    return block(*HEAD, *(line for line in lines if line is not None))


def of(text: str) -> list[Outcome]:
    return decoded_all(text, name="edac")


def addresses(text: str) -> list[int | None]:
    return [outcome.address for outcome in of(text) if isinstance(outcome, Decoded)]


def test_a_section_is_one_error_with_all_that_firmware_knows() -> None:
    assert decoded(block(*HEAD, *SECTION)) == Decoded(
        line=6,
        time_ns=12_000_000_000,
        address=0xB50C68CE80,
        dimm="CPU 2 DIMM 30",
        rank=0,
        bank=9,
        row=58165,
        column=816,
        detail="single-bit ECC: node:1 card:4 module:0 rank:0 bank_group:2 bank_address:1 "
        "device:14 row:58165 column:816: fru_text:B1",
    )


def test_old_kernels_spell_it_otherwise_and_give_each_coordinate_a_line() -> None:
    record = decoded(
        block(
            "Hardware error from APEI Generic Hardware Error Source: 1",
            "APEI generic hardware error status",
            "severity: 2, corrected",
            "section: 0, severity: 2, corrected",
            "flags: 0x01",
            "primary",
            "fru_text: CorrectedErr",
            "section_type: memory error",
            "physical_address: 0x0000000012345680",
            "node: 0",
            "rank: 1",
            "row: 17",
            "error_type: 2, single-bit ECC",
            seq=None,
        )
    )
    assert (record.address, record.rank, record.row) == (0x12345680, 1, 17)


def test_an_error_without_an_address_is_an_error_all_the_same() -> None:
    """Some firmware says no more than `node:0 device:0`."""
    assert decoded(changed(address=None, place="  node:0 device:0")).address is None


def test_address_zero_is_no_address() -> None:
    assert decoded(changed(address="  physical_address: 0x0000000000000000")).address is None


def test_a_mask_that_leaves_open_where_in_its_page_an_address_is_changes_nothing() -> None:
    """The EDAC line that follows has those bits, too."""
    text = block(*HEAD, *SECTION, "  physical_address_mask: 0x00003fffffffff00")
    assert decoded(text).address == 0xB50C68CE80


def test_an_address_whose_page_the_mask_leaves_open_is_not_known() -> None:
    text = block(*HEAD, *SECTION, "  physical_address_mask: 0xffffffffffff0000")
    assert decoded(text).address is None


def test_a_dimm_that_is_not_in_the_tables_has_no_name() -> None:
    text = changed(dimm="  DIMM location: not present. DMI handle: 0x0015")
    assert decoded(text).dimm is None


@pytest.mark.parametrize(
    ("severity", "kind"), [("corrected", "ce"), ("recoverable", "ue"), ("fatal", "ue")]
)
def test_the_section_has_a_severity_of_its_own(severity: str, kind: str) -> None:
    assert decoded(changed(severity=f" Error 0, type: {severity}")).kind == kind


def test_a_section_without_a_severity_has_its_events() -> None:
    head = "event severity: recoverable"
    text = block(HEAD[0], head, *SECTION[2:])
    assert decoded(text).kind == "ue"


def test_what_is_only_informational_is_no_error() -> None:
    assert "tells of no error: info" in refused(changed(severity=" Error 0, type: info")).reason


def test_several_sections_are_several_errors() -> None:
    second = tuple(line.replace("0x000000b50c68ce80", "0x0000000000777000") for line in SECTION)
    assert addresses(block(*HEAD, *SECTION, *second)) == [0xB50C68CE80, 0x777000]


def test_a_section_about_something_else_adds_nothing_to_the_one_before() -> None:
    other = (" Error 1, type: fatal", "  section_type: PCIe error", "  DIMM location: slot 3")
    text = block(*HEAD, *SECTION[:-1], *other)
    assert (decoded(text).dimm, decoded(text).kind) == (None, "ce")


def test_events_that_are_told_at_once_are_told_apart_by_their_numbers() -> None:
    other = [line.replace("0x000000b50c68ce80", "0x0000000000777000") for line in SECTION]
    mixed = "".join(
        block(mine, seq=1) + block(theirs, seq=2)
        for mine, theirs in zip((*HEAD, *SECTION), (*HEAD, *other), strict=True)
    )
    assert addresses(mixed) == [0xB50C68CE80, 0x777000]


def test_an_event_whose_first_lines_are_lost_needs_a_severity() -> None:
    assert "cut off" in refused(block(*SECTION[4:])).reason


def test_a_section_that_lost_its_type_is_known_by_its_address() -> None:
    assert decoded(changed(kind=None)).address == 0xB50C68CE80


def test_an_address_that_is_cut_off_is_never_guessed() -> None:
    assert "cut off" in refused(changed(address="  physical_address: 0x000000b50c")).reason


def test_two_old_events_that_nothing_tells_apart_are_never_guessed_at() -> None:
    """Without numbers the lines of two processors cannot be put together again."""
    second = "  physical_address: 0x0000000000777000"
    text = block(*HEAD, *SECTION[:5], second, *SECTION[5:], seq=None)
    assert "mixed with another" in refused(text).reason


def test_a_number_that_is_given_again_is_another_event() -> None:
    """Numbers begin anew with each boot."""
    fatal = block(HEAD[0], "event severity: fatal", *SECTION[2:])
    text = block(*HEAD, *SECTION) + fatal
    kinds = [outcome.kind for outcome in of(text) if isinstance(outcome, Decoded)]
    assert kinds == ["ce", "ue"]


@given(st.lists(st.integers(0, 40), max_size=60))
def test_however_many_events_are_begun_none_of_their_sections_is_lost(seqs: list[int]) -> None:
    text = "".join(block(*HEAD, *SECTION, seq=seq) for seq in seqs)
    assert len([o for o in of(text) if not isinstance(o, Refused)]) == len(seqs)
