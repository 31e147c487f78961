"""Prefixes: every way in which a log says who wrote a line and when, or leaves it out."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from agent.telemetry.prefixes import unprefixed
from tests.support.logs import EDAC, UNSAID, refused


def ns(*when: int, offset_hours: float = 0, fraction_ns: int = 0) -> int:
    """A moment, given as the fields of a local date and its offset."""
    moment = datetime(*when, tzinfo=UTC) - timedelta(hours=offset_hours)  # type: ignore[misc,arg-type] # the zone is named
    return int(moment.timestamp()) * 1_000_000_000 + fraction_ns


@pytest.mark.parametrize(
    ("prefix", "host", "time_ns"),
    [
        ("[1180532.573917] ", None, 1180532573917000),
        ("[    0.064261] ", None, 64261000),
        ("[   12.500000][ T1234] ", None, 12500000000),
        ("<4>[    1.000000] ", None, 1000000000),
        ("kern  :warn  : [    1.000000] ", None, 1000000000),
        ("[  590.529178] hv-1 kernel: ", "hv-1", 590529178000),
        ("[Sat Apr 15 19:49:46 2023] ", None, ns(2023, 4, 15, 19, 49, 46)),
        ("Jan  3 22:28:26 hv-1 kernel: [  591.115453] ", "hv-1", ns(2024, 1, 3, 22, 28, 26)),
        ("Jan 13 22:28:26 hv-1.example kernel: ", "hv-1.example", ns(2024, 1, 13, 22, 28, 26)),
        ("Jan 13 22:28:26 kernel: [    0.064261] ", None, ns(2024, 1, 13, 22, 28, 26)),
        (
            "Jan 13 22:28:26.123456 hv-1 kernel: ",
            "hv-1",
            ns(2024, 1, 13, 22, 28, 26, fraction_ns=123456000),
        ),
        (
            "2023-04-15T19:49:46+0800 hv-1 kernel: ",
            "hv-1",
            ns(2023, 4, 15, 19, 49, 46, offset_hours=8),
        ),
        (
            "2023-04-15T19:49:46.000001-03:30 hv-1 kernel: [1.5] ",
            "hv-1",
            ns(2023, 4, 15, 19, 49, 46, offset_hours=-3.5, fraction_ns=1000),
        ),
        ("2023-04-15T19:49:46Z hv-1 kernel: ", "hv-1", ns(2023, 4, 15, 19, 49, 46)),
        ("2023-04-15T19:49:46,5+00:00 ", None, ns(2023, 4, 15, 19, 49, 46, fraction_ns=500000000)),
        ("2023-04-15 19:49:46 hv-1 kernel: ", "hv-1", ns(2023, 4, 15, 19, 49, 46)),
        ("", None, None),
    ],
)
def test_a_prefix_gives_host_and_time_and_leaves_the_kernels_words(
    prefix: str, host: str | None, time_ns: int | None
) -> None:
    said = unprefixed(prefix + EDAC, UNSAID)
    assert (said.text, said.host, said.time_ns) == (EDAC, host, time_ns)


def test_a_date_without_a_year_is_the_last_such_date_before_the_logs_end() -> None:
    """The log ends in June 2024, so its December was in 2023."""
    said = unprefixed(f"Dec 31 23:59:59 hv-1 kernel: {EDAC}", UNSAID)
    assert said.time_ns == ns(2023, 12, 31, 23, 59, 59)


def test_a_29_february_without_a_year_was_in_a_leap_year() -> None:
    unsaid = replace(UNSAID, latest=datetime(2023, 6, 30, tzinfo=UTC))
    said = unprefixed(f"Feb 29 12:00:00 hv-1 kernel: {EDAC}", unsaid)
    assert said.time_ns == ns(2020, 2, 29, 12)


def test_a_year_that_is_said_is_believed() -> None:
    said = unprefixed(f"Dec 31 23:59:59 hv-1 kernel: {EDAC}", replace(UNSAID, year=2019))
    assert said.time_ns == ns(2019, 12, 31, 23, 59, 59)


@pytest.mark.parametrize(
    "prefix",
    ["[Sat Apr 15 19:49:46 2023] ", "2023-04-15T19:49:46 hv-1 kernel: "],
)
def test_a_date_without_a_zone_is_in_the_zone_that_is_said(prefix: str) -> None:
    unsaid = replace(UNSAID, zone=ZoneInfo("Asia/Shanghai"))
    said = unprefixed(prefix + EDAC, unsaid)
    assert said.time_ns == ns(2023, 4, 15, 11, 49, 46)


def test_a_date_with_a_zone_keeps_its_own() -> None:
    unsaid = replace(UNSAID, zone=ZoneInfo("Asia/Shanghai"))
    said = unprefixed(f"2023-04-15T19:49:46+0000 hv-1 kernel: {EDAC}", unsaid)
    assert said.time_ns == ns(2023, 4, 15, 19, 49, 46)


def test_seconds_since_boot_count_from_the_boot_to_the_nanosecond() -> None:
    """A float would have lost the last digits."""
    said = unprefixed(f"[1180532.573917123] {EDAC}", replace(UNSAID, boot_ns=10**18))
    assert said.time_ns == 1_001_180_532_573_917_123


@pytest.mark.parametrize(
    "prefix",
    [
        "Apr 31 12:00:00 hv-1 kernel: ",
        "[Sat Apr 15 25:49:46 2023] ",
        "2023-13-01T00:00:00Z hv-1 kernel: ",
        "1969-12-31T23:59:59Z hv-1 kernel: ",
        "",
    ],
)
def test_an_error_at_no_possible_time_is_refused(prefix: str) -> None:
    assert refused(prefix + EDAC).reason.startswith("no time")
