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
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from agent.adapters.recordings import opened
from agent.contract.ereport import Ereport
from agent.telemetry import formats
from agent.telemetry.prefixes import Unsaid
from agent.telemetry.record import Decoded
from emulator import scenario
from emulator.config import EmulatorConfig
from emulator.course import course_of
from emulator.machine.harvests import Harvester, Logged
from emulator.machine.lies import Lies
from emulator.machine.memory import Geometry
from emulator.machine.reporting import How, Reporting
from emulator.recording.ereports import ereport_of
from emulator.recording.formats import FORMATS, write_database
from emulator.recording.record import Layout, Machine, Record
from emulator.recording.records import records

MICROSECOND, MILLISECOND, SECOND = 10**3, 10**6, 10**9
BOOT_NS = 1_700_000_000 * SECOND
BOOT = UUID(int=7)
UNSAID = Unsaid(latest=datetime(2100, 1, 1, tzinfo=UTC), boot_ns=BOOT_NS)
GEOMETRY = Geometry(memory=64 << 30, sockets=2, channels=4, dimms_per_channel=2)

REGISTERS = frozenset({"kind", "count", "address"})
ALL = REGISTERS | {"dimm", "rank", "bank", "row", "column"}
OF_BANKS = (Layout.INTEL, Layout.AMD)
OF_ANY = tuple(Layout)


@dataclass(frozen=True, slots=True)
class Room:
    """What a format keeps: fields of an ereport, and time to so many nanoseconds."""

    reads: str
    fields: frozenset[str]
    time_ns: int
    layouts: tuple[Layout, ...] = (Layout.INTEL,)
    record_bytes: int | None = None  # a few records may look like some of another length


ROOM: dict[str, Room] = {
    "edac": Room("edac", ALL, SECOND, OF_ANY),
    "ghes": Room("edac", ALL - {"count"}, MICROSECOND, OF_ANY),
    "mc-event": Room("edac", ALL, MICROSECOND, OF_ANY),
    "rasdaemon": Room("rasdaemon-db", ALL, SECOND, OF_ANY),
    "smartmem": Room("smartmem", ALL - {"count"}, SECOND, OF_ANY),
    "mce-struct": Room("mce-struct", REGISTERS, SECOND, OF_BANKS, 112),
    "mce-struct-128": Room("mce-struct", REGISTERS, SECOND, OF_BANKS, 128),
    "mce-record": Room("mce-record", REGISTERS, SECOND, OF_BANKS),
    "mce-inject": Room("mce-inject", REGISTERS, SECOND),
    "mcelog": Room("mcelog", REGISTERS, SECOND),
    "xen-console": Room("xen", REGISTERS, MILLISECOND),
}
# Where no machine check stands before it, the log's own stamp is the time.
FINER = {("edac", Layout.AMD), ("edac", Layout.FIRMWARE)}
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
    with TemporaryDirectory() as folder:
        file = Path(folder) / name
        write(file, name, made, machine(layout))
        with opened([str(file)]) as (source,):
            unsaid = replace(UNSAID, record_bytes=ROOM[name].record_bytes)
            found = list(formats.decode(source, unsaid, ROOM[name].reads))
    return [
        each.ereport("hv-1", BOOT, seq) if isinstance(each, Decoded) else pytest.fail(each.reason)
        for seq, each in enumerate(found)
    ]


def write(file: Path, name: str, made: list[Record], machine: Machine) -> None:
    form = FORMATS[name]
    if form.write is None:
        write_database(file, made, machine)
    else:
        file.write_bytes(b"".join(form.write(made, machine)))


def kept(ereport: Ereport, room: Room, layout: Layout) -> dict[str, object]:
    """What is to come back of it."""
    if room.fields == REGISTERS and layout is Layout.AMD:  # no count in STATUS, no system address
        count = 1 if ereport.kind == "ue" else 0
        ereport = ereport.model_copy(update={"address": None, "count": count})
    rounded = ereport.time_ns // room.time_ns * room.time_ns
    return of(ereport.model_copy(update={"time_ns": rounded}), room)


def of(ereport: Ereport, room: Room) -> dict[str, object]:
    """What there is room for; the rest, but for a count, must be unknown."""
    lost = ALL - room.fields - {"count"}
    kept = {name: getattr(ereport, name) for name in ("time_ns", *sorted(room.fields))}
    return kept | dict.fromkeys(sorted(lost))


def whole(ereport: Ereport, room: Room) -> dict[str, object]:
    """The same of what was read back, as it is."""
    lost = ALL - room.fields - {"count"}
    return of(ereport, room) | {name: getattr(ereport, name) for name in sorted(lost)}


@pytest.mark.parametrize(("name", "layout"), CASES)
@settings(max_examples=50)  # each is a stream, and there are many cases
@given(st.data())
def test_what_is_written_is_read_back(name: str, layout: Layout, data: st.DataObject) -> None:
    made = data.draw(written(layout))
    room = replace(ROOM[name], time_ns=MICROSECOND) if (name, layout) in FINER else ROOM[name]
    found = read_back(name, made, layout)
    wanted = [ereport_of(record, machine(layout), seq) for seq, record in enumerate(made)]
    assert [whole(each, room) for each in found] == [kept(each, room, layout) for each in wanted]


def test_every_format_is_read_back_but_our_own() -> None:
    """Ours is the contract's own, and what reads it is tested there."""
    assert set(FORMATS) - set(ROOM) == {"ereports"}


@pytest.mark.parametrize(("name", "layout"), CASES)
def test_the_decoder_knows_it_by_its_content(name: str, layout: Layout, tmp_path: Path) -> None:
    """As `pagewarden decode FILE` does, without a word about the format."""
    course = course_of(scenario.load("polled"), EmulatorConfig())
    made = [r for found in course.harvests() for r in records(found, course.geometry, layout)]
    write(tmp_path / "any", name, made, machine(layout))
    with opened([str(tmp_path / "any")]) as (source,):
        found = list(formats.decode(source, UNSAID))
    assert [type(each) for each in found] == [Decoded] * len(made)
