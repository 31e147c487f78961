"""Real logs of real failing machines, against tables that were made by hand from the files.

Addresses are page and offset put together by hand, times are dates and TIME fields. Of SmartMem's
rows the sums were taken with awk, which shares nothing with the decoder.
"""

from collections import Counter
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
SECOND = 1_000_000_000

Place = tuple[int | None, int | None, int | None, int | None]
NOWHERE: Place = (None, None, None, None)
Expected = tuple[int, int, int, int | None, str | None, Place]


def outcomes_of(name: str, unsaid: Unsaid = UNSAID) -> list[Outcome]:
    return list(formats.decode(Stream(corpus(name).read_bytes()), unsaid))


def records_of(name: str, unsaid: Unsaid = UNSAID) -> list[Decoded]:
    return [outcome for outcome in outcomes_of(name, unsaid) if isinstance(outcome, Decoded)]


def on(date: str) -> int:
    return int(datetime.fromisoformat(f"{date}Z").timestamp()) * SECOND


def channel(number: int) -> str:
    return f"CPU_SrcID#1_Ha#0_Chan#{number}_DIMM#1"


STORM = 1_180_532_573_000_000  # 1180532.573 seconds since boot
RANK_5: Place = (5, None, None, None)
I7 = "CPU#0Channel#1_DIMM#1"
OSM = "CPU#0Channel#2_DIMM#0"

# Every error of the logs: line, time, count, address, DIMM, and rank, bank, row, column. All are
# corrected. Banks count flat: bank 1 of group 1 is 5. Where no file tells the size of a page, it is
# 4 KiB; the machine of hisilicon-ghes has pages of 64 KiB.
LOGS: dict[str, list[Expected]] = {
    "hisilicon-ghes": [
        (1, on("2024-05-13T15:05:20"), 1, 0x4000000300, None, (0, 0, 0, 0)),
        (10, 2_624_663_236_000, 1, 0x4000000300, None, (0, 0, 0, 0)),
    ],
    "mce_record-trace": [(1, 1689802780 * SECOND, 1, 0x123450000, None, NOWHERE)],
    "mcelog-35-var-log-mcelog": [],
    "mcelog-70-nuc": [],
    "mcelog-nehalem-old-header": [(4, 0, 18, None, None, NOWHERE)],
    "netdata-1508-i7core": [
        (2, on("2024-01-03T22:28:26"), 2, 0x1D1B99500, I7, NOWHERE),
        (4, on("2024-01-03T22:28:27"), 1, 0x1D1B91080, I7, NOWHERE),
    ],
    "npd-530-skx-ce-storm": [
        (1, STORM + 917_000, 128, 0x2B67AFAB40, channel(1), RANK_5),
        (2, STORM + 925_000, 147, 0x30B6E9A540, channel(1), RANK_5),
        (3, STORM + 930_000, 236, 0x236E7BBD00, channel(0), RANK_5),
        (4, STORM + 935_000, 189, 0x365669DF40, channel(1), RANK_5),
        (5, STORM + 940_000, 255, 0x3D2953A540, channel(1), RANK_5),
    ],
    "osm-operations-300-no-address": [
        (2, on("2024-05-07T06:45:12"), 4, None, OSM, NOWHERE),
        (3, on("2024-05-07T06:45:13"), 2, None, OSM, NOWHERE),
        (4, on("2024-05-07T06:45:17"), 6, None, OSM, NOWHERE),
        (5, on("2024-05-07T06:45:18"), 1, None, OSM, NOWHERE),
        (6, on("2024-05-07T06:45:19"), 1, None, OSM, NOWHERE),
        (7, on("2024-05-07T06:45:20"), 1, None, OSM, NOWHERE),
        (8, on("2024-05-07T06:45:20"), 1, None, OSM, NOWHERE),
    ],
    "skx-edac-0ce-and-adxl": [
        (
            *(7, 1681559382 * SECOND, 0, 0x30AA905A80, "CPU_SrcID#0_MC#0_Chan#1_DIMM#0"),
            (1, 5, 0x442A, 0x440),
        ),
        (
            *(15, 1700925409 * SECOND, 1, 0x91B2F55C0, "CPU_SrcID#0_MC#1_Chan#0_DIMM#1"),
            (0, 20, 0x27B2, 0xA0),
        ),
    ],
}
CACHE = "a cache error, not of memory"
# Every line that is refused, and why. No other line tells of an error.
REFUSED: dict[str, dict[int, str]] = {
    "mce_record-trace": dict.fromkeys(range(2, 9), CACHE),
    "mcelog-35-var-log-mcelog": {3: CACHE},
    "mcelog-70-nuc": {2: "an internal error, not of memory"},
}


@pytest.mark.parametrize("name", LOGS)
def test_every_error_of_a_log_is_read_as_a_person_reads_it(name: str) -> None:
    unsaid = replace(UNSAID, page_shift=16 if name == "hisilicon-ghes" else 12)
    records = records_of(f"kernel-logs/{name}.txt", unsaid)
    read = [
        (r.line, r.time_ns, r.count, r.address, r.dimm, (r.rank, r.bank, r.row, r.column))
        for r in records
    ]
    assert read == LOGS[name]
    assert {record.kind for record in records} <= {"ce"}


@pytest.mark.parametrize("name", LOGS)
def test_every_refusal_names_its_line_and_its_reason(name: str) -> None:
    outcomes = outcomes_of(f"kernel-logs/{name}.txt")
    told = {outcome.line: outcome.reason for outcome in outcomes if isinstance(outcome, Refused)}
    expected = REFUSED.get(name, {})
    assert told.keys() == expected.keys()
    assert all(told[line].startswith(why) for line, why in expected.items())


def test_every_log_of_the_corpus_is_in_the_table() -> None:
    folder = corpus("kernel-logs/mcelog-70-nuc.txt").parent
    assert {path.stem for path in folder.iterdir()} == LOGS.keys()


def test_the_words_of_driver_and_hardware_are_kept() -> None:
    records = records_of("kernel-logs/netdata-1508-i7core.txt")
    assert {(r.detail, r.host) for r in records} == {("read ECC error: read error", "ceph-osd1")}


def test_only_the_firmwares_block_corrects_a_page_size_that_nobody_told() -> None:
    addresses = [r.address for r in records_of("kernel-logs/hisilicon-ghes.txt")]
    assert addresses == [0x400000300, 0x4000000300]


# Of each file the rows, and the sums of their times, addresses and columns (awk), the rows that
# patrol scrubs found (grep), and how many rows are of which DIMM, rank, bank and row.
SMARTMEM = {
    "sn_2": (
        *(5, 8587588864, 1633667155200, 800, 0),
        {("CPU0_C0_D1", 5, 2, 104131): 3, ("CPU0_C3_D1", 1, 2, 104131): 2},
    ),
    "sn_35": (
        *(5, 8605663396, 109984443840, 1320, 3),
        {("CPU0_C0_D0", 0, 14, 28617): 5},
    ),
    "sn_4191": (
        *(21, 35785172727, 7168708485632, 10400, 15),
        {("CPU1_C4_D0", 0, 0, 84565): 19, ("CPU1_C1_D0", 0, 0, 84565): 2},
    ),
    "sn_7219": (
        *(21, 35785796354, 3337860483712, 13416, 1),
        {("CPU0_C4_D0", 0, 2, 101410): 11, ("CPU0_C1_D0", 0, 2, 101410): 10},
    ),
    "sn_8": (
        *(9440, 16236676463732, 2591734509568000, 8609280, 41),
        {("CPU1_C2_D0", 0, 0, 44121): 9440},
    ),
}


@pytest.mark.parametrize("name", SMARTMEM)
def test_the_sums_of_a_dimms_history_are_those_of_its_rows(name: str) -> None:
    records = records_of(f"smartmem/{name}.csv")
    assert (
        len(records),
        sum(record.time_ns for record in records) // SECOND,
        sum(record.address or 0 for record in records),
        sum(record.column or 0 for record in records),
        sum(record.detail == "CE.SCRUB" for record in records),
        Counter((record.dimm, record.rank, record.bank, record.row) for record in records),
    ) == SMARTMEM[name]
    assert {(record.kind, record.count) for record in records} == {("ce", 1)}


@pytest.mark.parametrize(
    ("name", "line", "time", "address", "column"),
    [
        ("sn_2", 2, 1720007014, 326733431040, 160),
        ("sn_35", 6, 1720606201, 21996888768, 264),
        ("sn_4191", 17, 1704054069, 341366997888, 8),
        ("sn_7219", 2, 1704148094, 158945787264, 1016),
        ("sn_8", 2, 1704140382, 274548147200, 912),
        ("sn_8", 9441, 1721701937, 274548147200, 912),
    ],
)
def test_a_row_is_read_as_it_stands(
    name: str, line: int, time: int, address: int, column: int
) -> None:
    record = records_of(f"smartmem/{name}.csv")[line - 2]
    assert (record.line, record.time_ns, record.address, record.column) == (
        *(line, time * SECOND, address),
        column,
    )


def test_a_dimm_with_one_bad_cell_shows_one_address() -> None:
    records = records_of("smartmem/sn_8.csv")
    assert {(r.dimm, r.address, r.row, r.column) for r in records} == {
        ("CPU1_C2_D0", 274548147200, 44121, 912)
    }


def test_what_is_no_history_is_refused_whole() -> None:
    assert [type(outcome) for outcome in outcomes_of("smartmem/ticket.csv")] == [Refused]
    assert errors(outcomes_of("smartmem/ticket.csv")) == 0
