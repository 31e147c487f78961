"""From the registers of a harvest to ereports: what a host's firmware knows of its own memory.

An address that is not valid stays unknown, and so do row and bank with it; the channel is in the
status register, and with one DIMM a channel it names the DIMM.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from agent.contract.columns import COLUMNS, UNKNOWN, Batch, Kind
from agent.contract.ereport import Module
from emulator.dimms import place_of
from emulator.machine.banks import Registers

Row = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Firmware:
    """Signs with the host's name and the boot's id. `modules` are the DIMMs it found."""

    host: str
    boot_id: UUID
    modules: tuple[Module, ...]

    @property
    def dimms(self) -> int:
        return len(self.modules)

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(module.label for module in self.modules)

    def report(self, harvests: Sequence[Registers], first_seq: int, time_ns: int) -> Batch:
        """One ereport a harvest, numbered from `first_seq`; there must be at least one."""
        rows = [self._row(found, first_seq + i, time_ns) for i, found in enumerate(harvests)]
        columns = zip(COLUMNS, zip(*rows, strict=True), strict=True)
        named = {name: np.array(values, dtype) for (name, dtype), values in columns}
        return Batch(self.host, self.boot_id, self.labels, **named)

    def _row(self, registers: Registers, seq: int, time_ns: int) -> Row:
        """In the order of `COLUMNS`."""
        located = registers.address_valid
        place = place_of(registers.address, self.dimms)
        return (
            seq,
            time_ns,
            registers.address if located else 0,
            registers.count,
            place.row if located else UNKNOWN,
            place.column if located else UNKNOWN,
            UNKNOWN if registers.channel is None else registers.channel,
            place.rank if located else UNKNOWN,
            place.bank if located else UNKNOWN,
            Kind.UE if registers.uncorrected else Kind.CE,
            located,
        )
