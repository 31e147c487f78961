"""AMD's registers, held against those of a real machine."""

import numpy as np

from emulator.machine import smca
from emulator.machine.harvests import Harvests

# [Hardware Error]: CPU:0 (17:71:0) MC18_STATUS[Over|CE|MiscV|AddrV|-|-|SyndV|CECC|-|-|-]
OF_A_REAL_MACHINE = 0xDC2040000000011B


def harvests(errors: int, *, uncorrected: bool = False, over: bool = False) -> Harvests:
    return Harvests(
        np.zeros(1, np.int64),
        np.array([0x1234C0], np.uint64),
        np.array([3], np.int16),
        np.array([uncorrected]),
        np.zeros(1, np.bool_),
        np.array([errors]),
        np.array([over]),
        np.array([errors]),
        np.ones(1, np.bool_),
    )


def read(found: Harvests) -> dict[str, int]:
    columns = smca.registers(found, np.array([3]), np.array([1]), np.array([0x4C0], np.uint64))
    return {name: int(getattr(columns, name)[0]) for name in columns.__slots__}


def test_an_overflown_corrected_error_has_the_status_of_the_real_machine() -> None:
    assert read(harvests(2, over=True))["status"] == OF_A_REAL_MACHINE


def test_the_count_is_in_misc_and_not_in_the_status() -> None:
    one, many = read(harvests(1)), read(harvests(77))
    assert (one["status"] == many["status"], many["misc"] >> 32 & 0xFFF) == (True, 77)


def test_a_count_beyond_its_twelve_bits_stays_at_the_top_and_says_so() -> None:
    misc = read(harvests(4096))["misc"]
    assert (misc >> 32 & 0xFFF, misc >> 48 & 1) == (0xFFF, 1)


def test_the_bank_is_known_by_its_ipid() -> None:
    ipid = read(harvests(1))["ipid"]
    assert (ipid >> 32 & 0xFFF, ipid >> 20 & 0xFFF) == (0x96, 3)


def test_the_address_is_that_of_the_channel() -> None:
    assert read(harvests(1))["address"] == 0x4C0


def test_an_uncorrected_error_is_uc_and_uecc_and_not_cecc() -> None:
    status = read(harvests(1, uncorrected=True))["status"]
    assert [status >> bit & 1 for bit in (61, 46, 45)] == [1, 0, 1]
