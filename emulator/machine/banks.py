"""One machine-check bank: three registers that hold one error until somebody harvests it.

    STATUS  63 VAL  62 OVER  61 UC  60 EN  59 MISCV  58 ADDRV  57 PCC  56 S  55 AR
            54:53 threshold status, 1 green, 2 yellow  52:38 error count  15:0 MCACOD
    ADDR    the machine address, bits below the LSB of MISC not valid
    MISC    8:6 address mode (2 = physical)  5:0 LSB of the address

A further error before the harvest raises the count. If it lies elsewhere its address is lost, and
OVER says so: the first address is the one that stays. The count has 15 bits and stops at 32,767;
its top bit, 52, is the sticky sign that it passed 16,383. An uncorrected error takes the place of
corrected ones, and is counted by nobody. A processor that has a threshold of its own (MCG_TES_P)
says green below it and yellow from it on. Bits are those of the Intel SDM, volume 3, chapter 15;
AMD's are in `smca.py`. When a bank is read, and by whom, is told in `reporting.py`.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

VAL = 1 << 63
OVER = 1 << 62
UC = 1 << 61
EN = 1 << 60
MISCV = 1 << 59
ADDRV = 1 << 58
PCC = 1 << 57  # the processor's context is corrupt
S = 1 << 56  # signalled: by #MC, not only logged
AR = 1 << 55  # action required

GREEN = 1 << 53
YELLOW = 2 << 53

COUNT_SHIFT = 38
COUNT_MAX = (1 << 15) - 1
COUNT_OVERFLOW = 1 << 52

MEMORY_READ = 0b1001 << 4  # MCACOD 0000 0000 1MMM CCCC with MMM = 001, a read
MEMORY_SCRUB = 0b1100 << 4  # the same with MMM = 100, found by the patrol scrubber
DATA_LOAD = 0x134  # a cache's code: no channel in it
OF_A_CHANNEL = 0xEF80  # of MCACOD, what says that it is a memory controller's
CHANNEL_UNKNOWN = 0b1111

LSB = 6  # an error is located to its cache line
PHYSICAL = 2
MISC_PHYSICAL = PHYSICAL << 6 | LSB


@dataclass(frozen=True, slots=True)
class Registers:
    """What a harvest finds: IA32_MCi_STATUS, ADDR and MISC, and what their bits mean."""

    status: int
    address: int
    misc: int

    @property
    def valid(self) -> bool:
        return bool(self.status & VAL)

    @property
    def overflow(self) -> bool:
        """True if an error at another address was lost."""
        return bool(self.status & OVER)

    @property
    def uncorrected(self) -> bool:
        return bool(self.status & UC)

    @property
    def enabled(self) -> bool:
        return bool(self.status & EN)

    @property
    def address_valid(self) -> bool:
        """True if ADDR is a physical address, good enough to name a page."""
        located = self.status & ADDRV and self.status & MISCV
        return bool(located) and self._address_mode == PHYSICAL and self.address_lsb <= 12

    @property
    def address_lsb(self) -> int:
        """The lowest bit of ADDR that means anything."""
        return self.misc & 0x3F

    @property
    def _address_mode(self) -> int:
        return self.misc >> 6 & 0b111

    @property
    def count(self) -> int:
        return self.status >> COUNT_SHIFT & COUNT_MAX

    @property
    def count_overflow(self) -> bool:
        return bool(self.status & COUNT_OVERFLOW)

    @property
    def channel(self) -> int | None:
        """The memory channel, or None where the hardware does not know it."""
        channel = self.status & 0b1111
        has_one = self.status & OF_A_CHANNEL == MEMORY_READ & OF_A_CHANNEL
        return channel if has_one and channel != CHANNEL_UNKNOWN else None


class Uncorrected(StrEnum):
    """What the processor asks for: action is optional, nobody needs the data yet; or required."""

    SRAO = "srao"
    SRAR = "srar"


class Bank:
    """A bank that memory errors are latched in. It has a threshold status from `yellow_from` on."""

    def __init__(self, yellow_from: int | None = None) -> None:
        self._latched: Registers | None = None
        self._yellow_from = yellow_from

    @property
    def count(self) -> int:
        """How many errors a harvest would tell of."""
        return self._latched.count if self._latched else 0

    def log(
        self,
        address: int,
        channel: int = CHANNEL_UNKNOWN,
        errors: int = 1,
        *,
        is_scrub: bool = False,
    ) -> None:
        """Latch `errors` corrected errors in the cache line of `address`."""
        if address < 0 or not 0 <= channel <= CHANNEL_UNKNOWN or errors < 1:
            raise ValueError(
                "a bank logs an address from 0, a channel of 0 to 15 and at least 1 error "
                f"(got {address}, {channel}, {errors})"
            )
        line = address >> LSB << LSB
        first = self._latched or _first(line, channel, is_scrub=is_scrub)
        raised = _raised(first, errors, elsewhere=line != first.address)
        self._latched = replace(raised, status=raised.status | self._threshold(raised.count))

    def log_uncorrected(self, address: int, channel: int, severity: Uncorrected) -> None:
        """Latch one uncorrected error, in place of what was there."""
        code = S | MEMORY_SCRUB | channel
        if severity is Uncorrected.SRAR:
            code = S | AR | DATA_LOAD
        status = VAL | UC | EN | MISCV | ADDRV | code
        self._latched = Registers(status, address >> LSB << LSB, MISC_PHYSICAL)

    def harvest(self) -> Registers | None:
        """Read and clear; None if nothing was latched."""
        latched, self._latched = self._latched, None
        return latched

    def _threshold(self, count: int) -> int:
        if self._yellow_from is None:
            return 0
        return YELLOW if count >= self._yellow_from else GREEN


def _first(line: int, channel: int, *, is_scrub: bool) -> Registers:
    """The registers of an error that is the first since the harvest, not counted yet."""
    code = MEMORY_SCRUB if is_scrub else MEMORY_READ
    return Registers(VAL | MISCV | ADDRV | code | channel, line, MISC_PHYSICAL)


def _raised(before: Registers, errors: int, *, elsewhere: bool) -> Registers:
    count = min(before.count + errors, COUNT_MAX)
    others = before.status & ~(COUNT_MAX << COUNT_SHIFT | GREEN | YELLOW)
    over = OVER if elsewhere else 0
    return Registers(others | over | count << COUNT_SHIFT, before.address, before.misc)
