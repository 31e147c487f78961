"""The machine-check bank, bit by bit."""

import pytest

from emulator.machine.banks import GREEN, YELLOW, Bank, Registers, Uncorrected

SEEN_ON_A_REAL_MACHINE = Registers(0xCC00050000010092, 0x104E5C8C0, 0x40584E86)


def harvested(*errors: tuple[int, int]) -> Registers:
    """What a bank holds after these (address, number of errors), all on channel 2."""
    bank = Bank()
    for address, count in errors:
        bank.log(address, channel=2, errors=count)
    registers = bank.harvest()
    assert registers is not None
    return registers


def test_the_registers_of_a_real_machine_decode_as_its_kernel_did() -> None:
    registers = SEEN_ON_A_REAL_MACHINE
    decoded = (registers.count, registers.channel, registers.overflow, registers.uncorrected)
    assert decoded == (20, 2, True, False)


def test_the_address_of_a_real_machine_is_good_enough_to_name_a_page() -> None:
    assert SEEN_ON_A_REAL_MACHINE.address_valid


def test_twenty_errors_at_two_places_give_the_status_of_the_real_machine() -> None:
    """All but bits 31:16, which are the model's own."""
    status = harvested((0x104E5C8C0, 19), (0x1000, 1)).status
    assert status == SEEN_ON_A_REAL_MACHINE.status & ~0xFFFF0000


def test_one_error_is_valid_counted_once_and_located() -> None:
    registers = harvested((0x1234C0, 1))
    assert (registers.valid, registers.count, registers.address_valid) == (True, 1, True)


def test_misc_says_that_the_address_is_physical_and_ends_at_the_cache_line() -> None:
    assert harvested((0x1234C0, 1)).misc == 0b010_000110


def test_bits_below_the_cache_line_are_not_reported() -> None:
    assert harvested((0x1234FF, 1)).address == 0x1234C0


def test_a_further_error_in_the_same_line_raises_the_count_alone() -> None:
    registers = harvested((0x1000, 1), (0x103F, 2))
    assert (registers.count, registers.overflow) == (3, False)


def test_an_error_elsewhere_sets_over_and_the_first_address_stays() -> None:
    registers = harvested((0x1000, 1), (0x2000, 1))
    assert (registers.address, registers.overflow, registers.count) == (0x1000, True, 2)


def test_over_stays_when_the_first_line_errs_again() -> None:
    assert harvested((0x1000, 1), (0x2000, 1), (0x1000, 1)).overflow


def test_the_count_stops_at_its_fifteen_bits() -> None:
    assert harvested((0x1000, 32_767), (0x1000, 5)).count == 32_767


def test_a_saturated_count_spills_into_no_other_bit() -> None:
    full, above = harvested((0x1000, 32_767)), harvested((0x1000, 40_000))
    assert above == full


@pytest.mark.parametrize(("errors", "overflow"), [(16_383, False), (16_384, True), (40_000, True)])
def test_bit_52_says_that_the_count_passed_fourteen_bits(errors: int, overflow: bool) -> None:
    assert harvested((0x1000, errors)).count_overflow is overflow


def test_a_harvest_clears_the_bank() -> None:
    bank = Bank()
    bank.log(0x1000)
    bank.harvest()
    assert bank.harvest() is None


def test_a_bank_that_nothing_was_logged_in_has_nothing_to_harvest() -> None:
    assert Bank().harvest() is None


def test_a_channel_that_is_not_known_is_none() -> None:
    bank = Bank()
    bank.log(0x1000)
    registers = bank.harvest()
    assert registers is not None
    assert registers.channel is None


def test_an_address_that_is_not_physical_names_no_page() -> None:
    segment_offset = SEEN_ON_A_REAL_MACHINE.misc & ~(0b111 << 6)
    assert not Registers(SEEN_ON_A_REAL_MACHINE.status, 0x1000, segment_offset).address_valid


def test_an_address_coarser_than_a_page_names_no_page() -> None:
    assert not Registers(SEEN_ON_A_REAL_MACHINE.status, 0x1000, 2 << 6 | 13).address_valid


@pytest.mark.parametrize(("address", "channel", "errors"), [(-1, 0, 1), (0, 16, 1), (0, 0, 0)])
def test_what_no_bank_could_hold_is_refused(address: int, channel: int, errors: int) -> None:
    with pytest.raises(ValueError, match="a bank logs"):
        Bank().log(address, channel, errors)


def struck(severity: Uncorrected) -> Registers:
    bank = Bank()
    bank.log_uncorrected(0x1234FF, 3, severity)
    registers = bank.harvest()
    assert registers is not None
    return registers


@pytest.mark.parametrize("severity", Uncorrected)
def test_an_uncorrected_error_is_located_and_counted_by_nobody(severity: Uncorrected) -> None:
    found = struck(severity)
    assert (found.uncorrected, found.address, found.address_valid) == (True, 0x1234C0, True)
    assert found.count == 0


@pytest.mark.parametrize(("severity", "channel"), [(Uncorrected.SRAO, 3), (Uncorrected.SRAR, None)])
def test_only_what_a_memory_controller_reports_names_a_channel(
    severity: Uncorrected, channel: int | None
) -> None:
    assert struck(severity).channel == channel


def test_an_uncorrected_error_takes_the_place_of_a_corrected_one() -> None:
    bank = Bank()
    bank.log(0x1000)
    bank.log_uncorrected(0x2000, 3, Uncorrected.SRAO)
    registers = bank.harvest()
    assert registers is not None
    assert (registers.uncorrected, registers.address) == (True, 0x2000)


@pytest.mark.parametrize(("errors", "light"), [(9, GREEN), (10, YELLOW)])
def test_a_bank_with_a_threshold_is_green_below_it_and_yellow_from_it_on(
    errors: int, light: int
) -> None:
    bank = Bank(yellow_from=10)
    for _ in range(errors):
        bank.log(0x1000)
    registers = bank.harvest()
    assert registers is not None
    assert registers.status & (GREEN | YELLOW) == light


def test_a_bank_without_a_threshold_shows_no_light() -> None:
    assert not harvested((0x1000, 32_767)).status & (GREEN | YELLOW)
