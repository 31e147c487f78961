"""What is written in a format is read back from it: the same ereports, as far as it has room.

`ROOM` says of each format what it keeps; the rest of an ereport comes back unknown, and never as
something else.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from agent.adapters.recordings import opened
from agent.contract.ereport import Ereport
from agent.telemetry import (
    formats,
    kernel_log,
    mce_inject,
    mce_record,
    mce_struct,
    mcelog_text,
    smartmem,
    xen_console,
)
from agent.telemetry.formats import Decode, in_lines
from agent.telemetry.prefixes import Unsaid
from agent.telemetry.record import Decoded
from agent.telemetry.source import Stream
from emulator.machine.harvests import Harvester, Logged
from emulator.machine.lies import Lies
from emulator.machine.memory import Geometry
from emulator.machine.reporting import How, Reporting
from emulator.recording import rasdaemon
from emulator.recording.ereports import ereport_of
from emulator.recording.formats import FORMATS
from emulator.recording.record import Layout, Machine, Record
from emulator.recording.records import records

MICROSECOND, MILLISECOND, SECOND = 10**3, 10**6, 10**9
BOOT_NS = 1_700_000_000 * SECOND
BOOT = UUID(int=7)
UNSAID = Unsaid(latest=datetime(2100, 1, 1, tzinfo=UTC), boot_ns=BOOT_NS)
GEOMETRY = Geometry(memory=64 << 30, sockets=2, channels=4, dimms_per_channel=2)

REGISTERS = frozenset({"kind", "count", "address"})
ALL = REGISTERS | {"dimm", "rank", "bank", "row", "column"}


@dataclass(frozen=True, slots=True)
class Room:
    """What a format keeps: fields of an ereport, and time to so many nanoseconds."""

    read: Decode
    fields: frozenset[str]
    time_ns: int
    layouts: tuple[Layout, ...] = (Layout.INTEL,)
    record_bytes: int | None = None  # a few records may look like some of another length


OF_BANKS = (Layout.INTEL, Layout.AMD)
ROOM: dict[str, Room] = {
    "edac": Room(in_lines(kernel_log.decode), ALL, SECOND),
    "ghes": Room(in_lines(kernel_log.decode), ALL - {"count"}, MICROSECOND, tuple(Layout)),
    "mc-event": Room(in_lines(kernel_log.decode), ALL, MICROSECOND, tuple(Layout)),
    "mcelog": Room(in_lines(mcelog_text.decode), REGISTERS, SECOND),
    "smartmem": Room(in_lines(smartmem.decode), ALL - {"count"}, SECOND, tuple(Layout)),
    "mce-struct": Room(mce_struct.decode, REGISTERS, SECOND, OF_BANKS, 112),
    "mce-struct-128": Room(mce_struct.decode, REGISTERS, SECOND, OF_BANKS, 128),
    "mce-record": Room(in_lines(mce_record.decode), REGISTERS, SECOND, OF_BANKS),
    "mce-inject": Room(in_lines(mce_inject.decode), REGISTERS, SECOND),
    "xen-console": Room(in_lines(xen_console.decode), REGISTERS, MILLISECOND),
}
DATABASE = Room(formats.decode, ALL, SECOND, tuple(Layout))
CASES = [(name, layout) for name, room in ROOM.items() for layout in room.layouts]

# Not the first cache line: in most formats an address of 0 says that there is none.
addresses = st.integers(64, (64 << 30) - 1)
errors = st.tuples(st.integers(0, 3 * SECOND), addresses, st.integers(0, 19), st.booleans())
reportings = st.builds(
    Reporting, st.sampled_from(How), st.integers(1, 4), poll_ns=st.just(2 * SECOND)
)
lies = st.builds(Lies, st.sampled_from([0.0, 0.5]), st.booleans())


@st.composite
def written(draw: st.DrawFn, layout: Layout) -> list[Record]:
    rows = draw(st.lists(errors, min_size=1, max_size=40))
    gap, address, kind, scrub = (np.array(column) for column in zip(*rows, strict=True))
    places = GEOMETRY.places(address)
    logged = Logged(
        BOOT_NS + np.cumsum(gap),
        address.astype(np.uint64),
        (places.socket * GEOMETRY.channels + places.channel).astype(np.int16),
        kind == 0,
        scrub,
    )
    harvester = Harvester(draw(reportings))
    found = harvester.harvest(logged)
    last = harvester.finish(int(logged.time_ns[-1]) + 10 * SECOND)
    found = found.followed_by(last) if last else found
    told = draw(lies).told(found, np.random.default_rng(draw(st.integers(0, 9))))
    made = list(records(told, GEOMETRY, layout))
    assume(made)
    return made


def machine(layout: Layout) -> Machine:
    return Machine("hv-1", BOOT, BOOT_NS, layout, GEOMETRY.banks_per_group)


def read_back(name: str, made: list[Record], layout: Layout) -> list[Ereport]:
    write = FORMATS[name].write
    assert write is not None
    unsaid = replace(UNSAID, record_bytes=ROOM[name].record_bytes)
    found = list(ROOM[name].read(Stream(b"".join(write(made, machine(layout)))), unsaid))
    return [
        each.ereport("hv-1", BOOT, seq) if isinstance(each, Decoded) else pytest.fail(each.reason)
        for seq, each in enumerate(found)
    ]


def read_from_database(made: list[Record], layout: Layout) -> list[Ereport]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ras-mc_event.db"
        rasdaemon.write(path, made, machine(layout))
        with opened([str(path)]) as (recording,):
            found = list(formats.decode(recording, UNSAID))
    return [
        each.ereport("hv-1", BOOT, seq) if isinstance(each, Decoded) else pytest.fail(each.reason)
        for seq, each in enumerate(found)
    ]


def kept(ereport: Ereport, room: Room, layout: Layout) -> dict[str, object]:
    """What is to come back of it."""
    if room.fields == REGISTERS and layout is Layout.AMD:  # no count in STATUS, no system address
        count = 1 if ereport.kind == "ue" else 0
        ereport = ereport.model_copy(update={"address": None, "count": count})
    rounded = ereport.time_ns // room.time_ns * room.time_ns
    return of(ereport.model_copy(update={"time_ns": rounded}), room)


def of(ereport: Ereport, room: Room) -> dict[str, object]:
    return {name: getattr(ereport, name) for name in ("time_ns", *sorted(room.fields))}


@pytest.mark.parametrize(("name", "layout"), CASES)
@given(st.data())
def test_what_is_written_is_read_back(name: str, layout: Layout, data: st.DataObject) -> None:
    made = data.draw(written(layout))
    room = ROOM[name]
    found = read_back(name, made, layout)
    wanted = [ereport_of(record, machine(layout), seq) for seq, record in enumerate(made)]
    assert [of(each, room) for each in found] == [kept(each, room, layout) for each in wanted]


@pytest.mark.parametrize("layout", Layout)
@given(st.data())
def test_a_database_is_read_back_with_each_error_once(layout: Layout, data: st.DataObject) -> None:
    """Where there are machine checks, each error is in two tables."""
    made = data.draw(written(layout))
    found = read_from_database(made, layout)
    wanted = [ereport_of(record, machine(layout), seq) for seq, record in enumerate(made)]
    assert [of(each, DATABASE) for each in found] == [
        kept(each, DATABASE, layout) for each in wanted
    ]


@pytest.mark.parametrize(("name", "layout"), CASES)
@given(st.data())
def test_what_there_is_no_room_for_comes_back_unknown(
    name: str, layout: Layout, data: st.DataObject
) -> None:
    lost = ALL - ROOM[name].fields - {"count"}
    for each in read_back(name, data.draw(written(layout)), layout):
        assert {getattr(each, field) for field in lost} <= {None}
