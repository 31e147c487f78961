"""Xen's console: which processor, which bank, and what its registers held."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from agent.telemetry.record import Decoded, Outcome, Refused
from tests.support.logs import EDAC, UNSAID, decoded, decoded_all, refused
from tests.support.machine_checks import XEN_BANK as BANK
from tests.support.machine_checks import XEN_CMCI as CMCI


def xen(text: str) -> list[Outcome]:
    return decoded_all(text, name="xen")


@pytest.mark.parametrize(
    "header",
    [
        CMCI,
        "(XEN) POLLED occurred on CPU 3.\n",
        "(XEN) CPU3: Machine Check Exception:                5\n",
        "(XEN) MCE: The hardware reports a non fatal, correctable incident occurred on CPU 3.\n",
    ],
)
def test_a_bank_belongs_to_the_processor_above_it(header: str) -> None:
    assert decoded(header + BANK) == Decoded(
        line=2,
        time_ns=0,
        count=1,
        address=0x45678040,
        detail="memory read error: channel:2 mca_bank:7",
    )


def test_several_banks_may_follow_one_header() -> None:
    assert len(xen(CMCI + BANK + BANK)) == 2


def test_a_bank_without_a_header_still_says_what_it_holds() -> None:
    assert decoded(BANK).address == 0x45678040


@pytest.mark.parametrize(
    ("bank", "address"),
    [
        ("(XEN) Bank 7: 8400004000010092 at         45678040", None),  # no MISC: of what kind?
        ("(XEN) Bank 7: 8800004000010092[              86]", None),
        ("(XEN) Bank 7: 8000004000010092", None),
    ],
)
def test_registers_that_are_not_valid_are_not_printed(bank: str, address: int | None) -> None:
    assert decoded(bank).address == address


def test_a_header_whose_bank_never_comes_is_refused() -> None:
    first, second = xen(CMCI + CMCI + BANK)
    assert isinstance(first, Refused)
    assert "without its Bank line" in first.reason
    assert isinstance(second, Decoded)


def test_the_last_header_is_not_lost_either() -> None:
    assert refused(CMCI).line == 1


@pytest.mark.parametrize("length", range(len("(XEN) Bank "), len(BANK) - 1))
def test_a_bank_line_that_is_cut_off_is_refused(length: int) -> None:
    (outcome,) = xen(CMCI + BANK[:length])
    assert isinstance(outcome, Refused)
    assert "cut off" in outcome.reason


def test_lines_of_two_processors_mixed_are_refused() -> None:
    (outcome,) = xen(CMCI + BANK.strip() + BANK)
    assert isinstance(outcome, Refused)


def test_xens_own_date_is_utc_whatever_the_zone_of_the_log() -> None:
    unsaid = replace(UNSAID, zone=timezone(timedelta(hours=2)))
    text = BANK.replace("(XEN) ", "(XEN) [2023-04-15 19:49:46.250] ")
    time = datetime(2023, 4, 15, 19, 49, 46, 250000, tzinfo=UTC)
    assert decoded(text, unsaid).time_ns == int(time.timestamp() * 1000) * 10**6


def test_seconds_since_xens_boot_count_from_the_boot() -> None:
    text = BANK.replace("(XEN) ", "(XEN) [    5.250000] ")
    assert decoded(text, replace(UNSAID, boot_ns=10**18)).time_ns == 10**18 + 5_250_000_000


def test_behind_syslog_the_lines_date_and_host_count() -> None:
    text = "".join(
        f"Jan  3 22:28:25 hv-1 kernel: {line}\n" for line in (CMCI.strip(), BANK.strip())
    )
    (record,) = xen(text)
    assert isinstance(record, Decoded)
    assert record.host == "hv-1"
    assert datetime.fromtimestamp(record.time_ns // 10**9, UTC) == datetime(
        2024, 1, 3, 22, 28, 25, tzinfo=UTC
    )


def test_what_xen_says_of_other_things_is_passed_over() -> None:
    assert len(xen(f"(XEN) HVM d1v0 save: CPU\n(XEN) Bank\n{BANK}")) == 1


def test_errors_of_the_kernel_of_dom0_between_them_are_not_lost() -> None:
    first, second = xen(f"{BANK}[1.0] {EDAC}\n")
    assert (type(first), type(second)) == (Decoded, Refused)
