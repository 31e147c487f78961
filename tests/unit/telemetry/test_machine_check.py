"""Machine checks: which are errors of memory, and how far their registers may be believed."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.telemetry.machine_check import ADDRV, EN, MISCV, OVER, UC, VAL, MachineCheck, judged
from agent.telemetry.record import Decoded, Outcome, Refused

# A read error on channel 2 of a real machine, of which EDAC said `20 CE … OVERFLOW`.
REAL = MachineCheck(status=0xCC00050000010092, misc=0x40584E86, addr=0x104E5C8C0, vendor=0)
UMC = MachineCheck(
    status=0xDC2040000000011B, addr=0x1234000, ipid=0x9600250F00, synd=0x8A2B410A400401, vendor=2
)
CMCI = 0xF000C15
NO_CMCI = 0x100010A


def outcome_of(check: MachineCheck) -> Outcome:
    return judged(check, line=7, otherwise_ns=5)


def decoded(check: MachineCheck) -> Decoded:
    outcome = outcome_of(check)
    assert isinstance(outcome, Decoded), outcome
    return outcome


def refused(check: MachineCheck) -> str:
    outcome = outcome_of(check)
    assert isinstance(outcome, Refused), outcome
    return outcome.reason


def test_a_real_record_says_what_edac_said_of_it() -> None:
    assert decoded(REAL) == Decoded(
        line=7,
        time_ns=5,
        count=20,
        address=0x104E5C8C0,
        detail="memory read error: channel:2 OVERFLOW",
    )


@pytest.mark.parametrize("code", [0x80, 0x9F, 0xCF, 0x1090, 0x280, 0x12CF])
def test_memory_is_known_by_its_code_whether_filtered_or_not(code: int) -> None:
    assert decoded(MachineCheck(status=VAL | code)).kind == "ce"


@pytest.mark.parametrize(
    ("code", "what"),
    [
        (0x0000, "without a code"),
        (0x0005, "internal parity"),
        (0x000E, "cache"),
        (0x0019, "TLB"),
        (0x0150, "cache"),
        (0x110A, "cache"),
        (0x0408, "internal error"),
        (0x0400, "timer"),
        (0x0E0B, "I/O"),
        (0x0E0F, "bus"),
        (0x2080, "unknown code"),
        (0x0380, "unknown code"),
    ],
)
def test_what_is_not_memory_is_refused_by_its_name(code: int, what: str) -> None:
    assert what in refused(MachineCheck(status=VAL | EN | code))


@pytest.mark.parametrize(("bank", "what"), [(128, "thermal"), (218, "timeout")])
def test_banks_that_the_kernel_makes_up_are_refused_by_their_name(bank: int, what: str) -> None:
    assert what in refused(replace(REAL, bank=bank))


def test_a_bank_that_holds_nothing_is_refused() -> None:
    assert "VAL is clear" in refused(replace(REAL, status=REAL.status & ~VAL))


def test_a_refusal_tells_where_it_happened() -> None:
    assert refused(MachineCheck(status=0x1234, cpu=0, bank=1)).endswith(
        "(CPU 0 bank 1 STATUS 0x0000000000001234)"
    )


@pytest.mark.parametrize("bit", [ADDRV, MISCV])
def test_an_address_is_none_unless_both_registers_are_valid(bit: int) -> None:
    assert decoded(replace(REAL, status=REAL.status & ~bit)).address is None


@pytest.mark.parametrize(
    ("misc", "is_known"),
    [
        (2 << 6 | 0, True),
        (2 << 6 | 12, True),
        (2 << 6 | 13, False),  # wider than a page
        (0 << 6 | 6, False),  # a segment offset
        (1 << 6 | 6, False),  # linear
        (3 << 6 | 6, False),  # of the memory, not of the host
        (7 << 6 | 6, False),
        (None, False),
    ],
)
def test_an_address_counts_only_if_it_is_physical_and_of_one_page(
    misc: int | None, *, is_known: bool
) -> None:
    assert (decoded(replace(REAL, misc=misc)).address is not None) is is_known


@given(st.integers(0, (1 << 64) - 1), st.sampled_from([0, None, 0x5000]), st.integers(0, 255))
def test_no_address_ever_comes_from_a_register_that_is_not_valid(
    status: int, addr: int | None, bank: int
) -> None:
    check = replace(REAL, status=status & ~ADDRV, addr=addr, bank=bank)
    assert getattr(outcome_of(check), "address", None) is None


@pytest.mark.parametrize(
    ("mcgcap", "vendor", "count"),
    [
        (None, None, 20),
        (0, 0, 20),
        (None, 1, 20),  # Xen's number of Intel
        (CMCI, 0, 20),
        (NO_CMCI, 0, 0),
        (NO_CMCI, None, 0),
        (None, 10, 0),
        (CMCI, 10, 20),
    ],
)
def test_a_count_is_read_only_where_the_bank_counts(
    mcgcap: int | None, vendor: int | None, count: int
) -> None:
    assert decoded(replace(REAL, mcgcap=mcgcap, vendor=vendor)).count == count


def test_a_counter_that_overflowed_says_so_beside_its_least_value() -> None:
    record = decoded(replace(REAL, status=VAL | 0x90 | 32750 << 38))
    assert (record.count, record.detail) == (
        32750,
        "memory read error: channel:0 COUNT_OVERFLOW",
    )


def test_an_uncorrected_error_is_one() -> None:
    record = decoded(replace(REAL, status=REAL.status | UC))
    assert (record.kind, record.count, record.address) == ("ue", 1, REAL.addr)


def test_the_time_of_the_record_counts_before_the_lines() -> None:
    assert decoded(replace(REAL, time_ns=9)).time_ns == 9


def test_a_time_of_zero_is_none() -> None:
    assert decoded(replace(REAL, time_ns=0)).time_ns == 5


def test_socket_channel_and_bank_stand_in_the_detail() -> None:
    record = decoded(replace(REAL, socket=1, bank=13, status=VAL | 0xC3))
    assert record.detail == "memory scrubbing error: socket:1 channel:3 mca_bank:13"


def test_a_channel_that_is_not_specified_is_not_told() -> None:
    assert decoded(MachineCheck(status=VAL | 0x9F)).detail == "memory read error"


def test_a_dram_error_of_amd_has_channel_and_chip_select_but_neither_count_nor_address() -> None:
    assert decoded(UMC) == Decoded(
        line=7, time_ns=5, count=0, detail="DRAM ECC error: channel:2 csrow:1 OVERFLOW"
    )


@pytest.mark.parametrize("bit", [61, 45, 44])
def test_amd_says_in_three_ways_that_an_error_was_not_corrected(bit: int) -> None:
    assert decoded(replace(UMC, status=UMC.status | 1 << bit)).kind == "ue"


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"ipid": 0xB000000000}, "outside AMD's memory controllers"),
        ({"status": UMC.status | 4 << 16}, "error 4 of a memory controller"),
        ({"ipid": None}, "without its IPID"),
    ],
)
def test_other_errors_of_amd_are_refused(changed: dict[str, int | None], what: str) -> None:
    assert what in refused(replace(UMC, **changed))  # type: ignore[arg-type] # ints all


def test_what_has_an_ipid_is_amds_whoever_it_says_it_is() -> None:
    assert decoded(replace(UMC, vendor=0)).address is None


@pytest.mark.parametrize("vendor", [0, 2])
def test_what_the_firmware_reported_has_a_physical_address_on_every_vendor(vendor: int) -> None:
    """As the kernel writes it for a section that names its address: no MISC on older ones."""
    check = MachineCheck(
        status=VAL | EN | ADDRV | 0x9F, misc=0, addr=0x30AA905A80, bank=255, vendor=vendor
    )
    assert decoded(check).address == 0x30AA905A80


def test_an_overflow_of_the_bank_is_told() -> None:
    assert decoded(MachineCheck(status=VAL | OVER | 0x91)).detail == (
        "memory read error: channel:1 OVERFLOW"
    )
