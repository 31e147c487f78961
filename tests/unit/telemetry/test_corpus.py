"""Real logs of real failing machines: every line decoded right, passed over, or refused."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from agent.telemetry import formats
from agent.telemetry.prefixes import Unsaid
from agent.telemetry.record import Decoded, Outcome, Refused
from agent.telemetry.source import Stream
from tests.support.corpus import corpus
from tests.support.logs import errors

UNSAID = Unsaid(latest=datetime(2024, 6, 30, tzinfo=UTC))


def outcomes_of(name: str, unsaid: Unsaid = UNSAID) -> list[Outcome]:
    return list(formats.decode(Stream(corpus(name).read_bytes()), unsaid))


def records_of(name: str, unsaid: Unsaid = UNSAID) -> list[Decoded]:
    return [outcome for outcome in outcomes_of(name, unsaid) if isinstance(outcome, Decoded)]


@pytest.mark.parametrize(
    ("name", "ereports", "count", "refused"),
    [
        ("kernel-logs/hisilicon-ghes.txt", 2, 2, []),
        ("kernel-logs/netdata-1508-i7core.txt", 2, 3, []),
        ("kernel-logs/npd-530-skx-ce-storm.txt", 5, 955, []),
        ("kernel-logs/osm-operations-300-no-address.txt", 7, 16, []),
        ("kernel-logs/skx-edac-0ce-and-adxl.txt", 2, 2, []),
        ("kernel-logs/mce_record-trace.txt", 1, 1, [2, 3, 4, 5, 6, 7, 8]),
        ("kernel-logs/mcelog-35-var-log-mcelog.txt", 0, 0, [3]),
        ("kernel-logs/mcelog-70-nuc.txt", 0, 0, [2]),
        ("kernel-logs/mcelog-nehalem-old-header.txt", 1, 18, []),
        ("smartmem/sn_2.csv", 5, 5, []),
        ("smartmem/sn_35.csv", 5, 5, []),
        ("smartmem/sn_4191.csv", 21, 21, []),
        ("smartmem/sn_7219.csv", 21, 21, []),
        ("smartmem/sn_8.csv", 9440, 9440, []),
        ("smartmem/ticket.csv", 0, 0, [1]),
    ],
)
def test_every_error_counts_once_and_every_refusal_is_told(
    name: str, ereports: int, count: int, refused: list[int]
) -> None:
    outcomes = outcomes_of(name)
    told = [outcome.line for outcome in outcomes if isinstance(outcome, Refused)]
    assert (len(outcomes) - len(told), errors(outcomes), told) == (ereports, count, refused)


def test_a_machine_that_knows_no_address_never_blames_page_zero() -> None:
    addresses = {r.address for r in records_of("kernel-logs/osm-operations-300-no-address.txt")}
    assert addresses == {None}


def test_a_translated_error_has_all_of_its_coordinates() -> None:
    assert replace(records_of("kernel-logs/skx-edac-0ce-and-adxl.txt")[1], detail=None) == Decoded(
        line=15,
        time_ns=1700925409 * 10**9,
        count=1,
        address=0x91B2F55C0,
        dimm="CPU_SrcID#0_MC#1_Chan#0_DIMM#1",
        rank=0,
        bank=20,
        row=0x27B2,
        column=0xA0,
    )


def test_the_firmwares_address_corrects_the_page_size() -> None:
    """Its pages are of 64 KiB, and only the firmware's block tells."""
    second = records_of("kernel-logs/hisilicon-ghes.txt")[1]
    assert second.address == 0x4000000300


def test_with_its_page_size_both_reports_of_that_machine_agree() -> None:
    unsaid = replace(UNSAID, page_shift=16)
    addresses = {r.address for r in records_of("kernel-logs/hisilicon-ghes.txt", unsaid)}
    assert addresses == {0x4000000300}


def test_a_storm_keeps_the_microseconds_between_its_lines() -> None:
    times = [record.time_ns for record in records_of("kernel-logs/npd-530-skx-ce-storm.txt")]
    assert times[0] == 1180532573917000
    assert [time - times[0] for time in times] == [0, 8000, 13000, 18000, 23000]


def test_a_dimm_with_one_bad_cell_shows_one_address() -> None:
    records = records_of("smartmem/sn_8.csv")
    assert {(r.dimm, r.address, r.row, r.column) for r in records} == {
        ("CPU1_C2_D0", 274548147200, 44121, 912)
    }
