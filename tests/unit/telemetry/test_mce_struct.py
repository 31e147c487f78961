"""Records of /dev/mcelog: of every length that kernels have had, and from Xen's dom0."""

from dataclasses import replace

import pytest

from agent.telemetry import formats
from agent.telemetry.prefixes import Unsaid
from agent.telemetry.record import Decoded, Outcome, Refused
from agent.telemetry.source import Stream, opening
from tests.support.logs import UNSAID
from tests.support.machine_checks import struct_mce as record

LENGTHS = (88, 96, 104, 112, 120, 128)


def outcomes(data: bytes, unsaid: Unsaid = UNSAID, name: str | None = None) -> list[Outcome]:
    return list(formats.decode(Stream(data), unsaid, name))


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("records", [1, 2, 11, 800])
def test_the_length_of_a_record_is_found(length: int, records: int) -> None:
    found = outcomes(record(length) * records)
    assert found[-1] == Decoded(
        line=records,
        time_ns=1700000000 * 10**9,
        count=2,
        address=0x45678040,
        detail="memory read error: socket:1 channel:1 mca_bank:7",
    )
    assert len(found) == records


@pytest.mark.parametrize("length", LENGTHS)
def test_chunks_may_fall_anywhere(length: int) -> None:
    data = record(length) * 30
    rest = [data[at : at + 7] for at in range(2000, len(data), 7)]
    assert len(list(formats.decode(Stream(data[:2000], rest), UNSAID))) == 30


# Read from /dev/mcelog in the dom0 of a Xen 4.17.7, 112 bytes each.
XEN = {
    "CE on CPU 0": (
        "900001004000009c86000000000000004080674500000000"
        + "0" * 64
        + "0100000000000000"
        + "0007000100000000"
        + "0" * 16
        + "0a01000100000000"
        + "0" * 48
    ),
    "CE on CPU 1": (
        "910001004000008c8c000000000000000010325400000000"
        + "0" * 64
        + "0100000000000000"
        + "0005010101000000"
        + "0000000001000000"
        + "0a01000100000000"
        + "0" * 48
    ),
    "CE without an address": (
        "900001004000008886000000000000000000000000000000"
        + "0" * 64
        + "0100000000000000"
        + "0005000100000000"
        + "0" * 16
        + "0a01000100000000"
        + "0" * 48
    ),
    "simulated SRAO": (
        "7a010080000020bd86000000000000000030000700000000"
        "0500000000000000"
        + "0" * 48
        + "0100000000000000"
        + "0007000100000000"
        + "0" * 16
        + "0a01000100000000"
        + "0" * 48
    ),
}


def test_four_real_records_of_a_dom0_read_as_they_happened() -> None:
    """Xen tells no time, and its MCG_CAP says that its banks do not count."""
    unsaid = replace(UNSAID, boot_ns=5)
    found = outcomes(bytes.fromhex("".join(XEN.values())), unsaid)
    assert found[:3] == [
        Decoded(
            line=1,
            time_ns=5,
            count=0,
            address=0x45678040,
            detail="memory read error: socket:0 channel:0 mca_bank:7",
        ),
        Decoded(
            line=2,
            time_ns=5,
            count=0,
            address=0x54321000,
            detail="memory read error: socket:0 channel:1 mca_bank:5",
        ),
        Decoded(
            line=3,
            time_ns=5,
            count=0,
            detail="memory read error: socket:0 channel:0 mca_bank:5",
        ),
    ]
    assert isinstance(found[3], Refused)
    assert "cache" in found[3].reason


def test_a_record_of_amd_needs_the_room_for_its_ipid() -> None:
    umc = {"status": 0x9C2040000000011B, "cpuvendor": 2, "ipid": 0x9600250F00}
    (long,) = outcomes(record(128, **umc))
    (short,) = outcomes(record(88, **umc))
    assert (type(long), type(short)) == (Decoded, Refused)


def test_what_is_left_at_the_end_is_refused() -> None:
    *_, last = outcomes(record(112) * 3 + record(112)[:50])
    assert last == Refused(4, "50 bytes at the end are no record of 112")


def test_a_length_that_could_be_two_must_be_told() -> None:
    (refusal,) = outcomes(record(128)[:100])
    assert isinstance(refusal, Refused)
    assert "--record-bytes" in refusal.reason


def test_a_length_that_is_told_is_not_guessed() -> None:
    (found,) = outcomes(record(128)[:96], replace(UNSAID, record_bytes=96), "mce-struct")
    assert isinstance(found, Decoded)


def test_bytes_that_are_no_records_are_refused_if_they_are_called_so() -> None:
    (refusal,) = outcomes(b"\x00\xff" * 200, name="mce-struct")
    assert isinstance(refusal, Refused)
    assert "fit no length" in refusal.reason


@pytest.mark.parametrize("data", [b"", b"\x00" * 128, b"SQLite format 3\x00" * 8, b"text\n" * 100])
def test_other_bytes_are_not_taken_for_records(data: bytes) -> None:
    form = formats.recognised(opening(Stream(data), UNSAID))
    assert form is None or form.name != "mce-struct"


def test_a_thermal_event_counts_as_a_record_and_is_refused() -> None:
    first, second = outcomes(record(112) + record(112, bank=128, status=3))
    assert isinstance(first, Decoded)
    assert isinstance(second, Refused)
    assert "thermal" in second.reason


def test_a_record_tells_its_processor_twice_or_is_none() -> None:
    form = formats.recognised(opening(Stream(record(112, cpu=1, extcpu=2) * 3), UNSAID))
    assert form is None
