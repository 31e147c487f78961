"""From readings to records: registers in the host's layout, and the place of each address."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.contract.columns import I64, U64
from emulator.machine import intel, smca
from emulator.machine.harvests import Harvests
from emulator.machine.intel import RegisterColumns
from emulator.machine.memory import COLUMN_BYTES, Geometry, Places
from emulator.recording.record import Layout, Place, Record


def records(
    found: Harvests, geometry: Geometry, layout: Layout, yellow_from: int | None = None
) -> Iterator[Record]:
    """A record a reading. Behind an AMD driver, and behind firmware, a count is not known."""
    address = np.where(found.is_located, found.address, 0).astype(np.int64)
    places = geometry.places(address)
    socket, channel = np.divmod(found.source.astype(np.int64), geometry.channels)
    read = _registers(found, channel, geometry, places, layout, yellow_from)
    count = np.where(found.uncorrected | (layout is not Layout.INTEL), 1, found.count)
    columns: tuple[NDArray[Any], ...] = (
        *(found.time_ns, found.uncorrected, found.is_scrub, found.is_over, found.is_located),
        *(count, address, socket, channel, geometry.dimm_of(places)),
        *(places.rank, places.bank_group, places.bank, places.row, places.column),
        *(read.status, read.address, read.misc, read.synd, read.ipid),
    )
    for row in zip(*(column.tolist() for column in columns), strict=True):
        yield _record(row, geometry)


def _record(row: tuple[Any, ...], geometry: Geometry) -> Record:
    time_ns, is_ue, is_scrub, is_over, is_located, count, address, *rest = row
    socket, channel, dimm, *rest = rest
    place, registers = rest[:5], rest[5:]
    if not is_located:
        dimm = geometry.dimm_on(channel)
    return Record(
        time_ns,
        "ue" if is_ue else "ce",
        count,
        address if is_located else None,
        is_scrub,
        is_over,
        socket,
        channel,
        None if dimm is None else dimm % geometry.dimms_per_channel,
        None if dimm is None else geometry.labels[dimm],
        Place(*place) if is_located else None,
        *registers,
    )


def _registers(
    found: Harvests,
    channel: I64,
    geometry: Geometry,
    places: Places,
    layout: Layout,
    yellow_from: int | None,
) -> RegisterColumns:
    match layout:
        case Layout.INTEL:
            return intel.registers(found, channel, yellow_from)
        case Layout.AMD:
            chip_select = places.slot * geometry.ranks + places.rank
            return smca.registers(found, channel, chip_select, _normalised(places, geometry))
        case Layout.FIRMWARE:
            return RegisterColumns(*(np.zeros(len(found), np.uint64) for _ in range(5)))


def _normalised(places: Places, geometry: Geometry) -> U64:
    """An address within the channel, from 0 on: without the system's interleave."""
    within = places.row * geometry.dimms_per_channel + places.slot
    within = (within * geometry.ranks + places.rank) * geometry.banks + geometry.bank_of(places)
    return (within * geometry.row_bytes + places.column * COLUMN_BYTES).astype(np.uint64)
