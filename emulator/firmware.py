"""From the registers of a harvest to ereports: what a host's firmware knows of its own memory.

An address that is not valid stays unknown, and so do row and bank with it. The channel is in the
status register: on a host of one socket, with one DIMM a channel, it names the DIMM all the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from agent.contract.columns import COLUMNS, I64, UNKNOWN, Batch, Kind
from agent.contract.ereport import Module
from emulator.machine.banks import Registers
from emulator.machine.memory import Geometry


@dataclass(frozen=True, slots=True)
class Firmware:
    """Signs with the host's name and the boot's id. `modules` are the DIMMs it found."""

    host: str
    boot_id: UUID
    geometry: Geometry
    modules: tuple[Module, ...]

    def report(self, harvests: Sequence[Registers], first_seq: int, time_ns: int) -> Batch:
        """One ereport a harvest, numbered from `first_seq`; there must be at least one."""
        located = np.array([found.address_valid for found in harvests])
        addresses = np.array([found.address for found in harvests], np.int64) * located
        places = self.geometry.places(addresses)
        columns = {
            "seq": first_seq + np.arange(len(harvests)),
            "time_ns": np.full(len(harvests), time_ns),
            "address": addresses,
            "count": [found.count for found in harvests],
            "row": np.where(located, places.row, UNKNOWN),
            "column": np.where(located, places.column, UNKNOWN),
            "dimm": np.where(located, self.geometry.dimm_of(places), self._told(harvests)),
            "rank": np.where(located, places.rank, UNKNOWN),
            "bank": np.where(located, self.geometry.bank_of(places), UNKNOWN),
            "kind": [Kind.UE if found.uncorrected else Kind.CE for found in harvests],
            "located": located,
        }
        named = {name: np.array(columns[name], dtype) for name, dtype in COLUMNS}
        return Batch(self.host, self.boot_id, self.geometry.labels, **named)

    def _told(self, harvests: Sequence[Registers]) -> I64:
        """The DIMM of each, by its channel alone."""
        channels = (found.channel for found in harvests)
        dimms = (None if each is None else self.geometry.dimm_on(each) for each in channels)
        return np.array([UNKNOWN if dimm is None else dimm for dimm in dimms], np.int64)
