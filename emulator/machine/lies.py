"""Firmware that does not tell the truth: addresses left out, counts that mean nothing.

Neither is rare. Boards ship with ADDRV never set, and with counters that hold whatever was in them;
nothing in a record says so. What is drawn depends on the seed alone.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from emulator.machine.banks import (
    ADDRV,
    COUNT_MAX,
    COUNT_SHIFT,
    MISCV,
    Registers,
)
from emulator.machine.harvests import Harvests


@dataclass(frozen=True, slots=True)
class Lies:
    """`without_address` is the share of reports that lose it."""

    without_address: float = 0.0
    wrong_counts: bool = False

    def __bool__(self) -> bool:
        return self.without_address > 0 or self.wrong_counts

    def told(self, found: Harvests, rng: Generator) -> Harvests:
        """`found` as such firmware hands it on. Of an uncorrected error it tells the truth."""
        if not self:
            return found
        loses = rng.random(len(found)) < self.without_address
        counts = rng.integers(0, COUNT_MAX + 1, len(found))
        is_told = found.uncorrected | (not self.wrong_counts)
        return replace(
            found,
            is_located=found.is_located & (found.uncorrected | ~loses),
            count=np.where(is_told, found.count, counts),
        )

    def told_of_one(self, registers: Registers, rng: Generator) -> Registers:
        """The same for one reading."""
        if not self or registers.uncorrected:
            return registers
        status = registers.status
        if self.wrong_counts:
            count = int(rng.integers(0, COUNT_MAX + 1))
            status = status & ~(COUNT_MAX << COUNT_SHIFT) | count << COUNT_SHIFT
        if rng.random() < self.without_address:
            return Registers(status & ~(ADDRV | MISCV), 0, 0)
        return replace(registers, status=status)
