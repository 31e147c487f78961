"""From the registers of a harvest to ereports: what a host's firmware knows of its own memory.

An address that is not valid stays unknown, and so do row and bank with it. The channel is in the
status register: on a host of one socket, with one DIMM a channel, it names the DIMM all the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from agent.contract.columns import COLUMNS, I64, UNKNOWN, Batch, Bools, Kind
from agent.contract.ereport import Module
from emulator.machine.banks import Registers
from emulator.machine.harvests import Harvests
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
        return self._batch(
            first_seq,
            np.full(len(harvests), time_ns),
            np.array([found.address for found in harvests], np.int64),
            np.array([found.address_valid for found in harvests]),
            np.array([found.count for found in harvests]),
            np.array([found.uncorrected for found in harvests]),
            self._told([found.channel for found in harvests]),
        )

    def report_all(self, found: Harvests, first_seq: int) -> Batch:
        """The same for columns, each reading at its own time."""
        channels: list[int] = (found.source % self.geometry.channels).tolist()
        return self._batch(
            first_seq,
            found.time_ns,
            found.address.astype(np.int64),
            found.is_located,
            found.count,
            found.uncorrected,
            self._told(channels),
        )

    def _batch(  # noqa: PLR0913, PLR0917 - a column an argument
        self,
        first_seq: int,
        time_ns: I64,
        address: I64,
        located: Bools,
        count: I64,
        uncorrected: Bools,
        dimm_told: I64,
    ) -> Batch:
        address = address * located
        places = self.geometry.places(address)
        columns = {
            "seq": first_seq + np.arange(len(address)),
            "time_ns": time_ns,
            "address": address,
            "count": count,
            "row": np.where(located, places.row, UNKNOWN),
            "column": np.where(located, places.column, UNKNOWN),
            "dimm": np.where(located, self.geometry.dimm_of(places), dimm_told),
            "rank": np.where(located, places.rank, UNKNOWN),
            "bank": np.where(located, self.geometry.bank_of(places), UNKNOWN),
            "kind": np.where(uncorrected, Kind.UE, Kind.CE),
            "located": located,
        }
        named = {name: np.array(columns[name], dtype) for name, dtype in COLUMNS}
        return Batch(self.host, self.boot_id, self.geometry.labels, **named)

    def _told(self, channels: Sequence[int | None]) -> I64:
        """The DIMM of each, by its channel alone."""
        dimms = (None if each is None else self.geometry.dimm_on(each) for each in channels)
        return np.array([UNKNOWN if dimm is None else dimm for dimm in dimms], np.int64)
