"""Columns and a plain bank, error by error, tell the same; and nothing is told twice or lost."""

from collections.abc import Iterator

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from emulator.machine.banks import Registers
from emulator.machine.harvests import Harvester, Harvests, Logged
from emulator.machine.intel import registers
from emulator.machine.reporting import How, Reporter, Reporting

MS = 10**6
CHANNELS = 3

reportings = st.builds(
    Reporting,
    st.sampled_from(How),
    st.integers(1, 5),
    st.sampled_from([300 * MS, 2000 * MS]),
    st.integers(2, 5),
    st.sampled_from([200 * MS, 1000 * MS]),
    st.sampled_from([100 * MS, 3000 * MS]),
    st.sampled_from([None, 1, 3]),
)
gaps = st.one_of(st.integers(0, 400 * MS), st.integers(0, 8_000 * MS))
bursts = st.tuples(  # quiet before it, errors, quiet between them, lines, bank
    gaps,
    st.integers(1, 15),
    st.sampled_from([0, 30 * MS, 150 * MS, 600 * MS]),
    st.integers(1, 3),
    st.integers(0, CHANNELS - 1),
)


@st.composite
def streams(draw: st.DrawFn) -> Logged:
    times, lines, sources = [0], [0], [0]
    for gap, errors, between, places, source in draw(st.lists(bursts, min_size=1, max_size=12)):
        for at in range(errors):
            times.append(times[-1] + (between if at else gap))
            lines.append(at % places)
            sources.append(source)
    kinds = draw(st.lists(st.integers(0, 30), min_size=len(times), max_size=len(times)))
    return Logged(
        np.array(times, np.int64),
        np.array(lines, np.uint64) << np.uint64(6),
        np.array(sources, np.int16),
        np.array(kinds) == 30,
        np.array(kinds) == 29,
    )


def in_parts(logged: Logged, sizes: list[int]) -> Iterator[Logged]:
    start = 0
    for size in [*sizes, len(logged)]:
        end = min(start + size, len(logged))
        if start < end:
            yield logged.at(np.arange(start, end))
        start = end


def by_columns(reporting: Reporting, logged: Logged, sizes: list[int], until: int) -> Harvests:
    harvester = Harvester(reporting)
    found = [harvester.harvest(part) for part in in_parts(logged, sizes)]
    last = harvester.finish(until)
    for more in [*found[1:], *([last] if last else [])]:
        found[0] = found[0].followed_by(more)
    return found[0]


def one_by_one(reporting: Reporting, logged: Logged, until: int) -> list[tuple[int, Registers]]:
    reporters = {source: Reporter(reporting, source) for source in range(CHANNELS)}
    found: list[tuple[int, Registers]] = []
    for at in range(len(logged)):
        time_ns, address = int(logged.time_ns[at]), int(logged.address[at])
        reporter = reporters[int(logged.source[at])]
        if logged.uncorrected[at]:
            read = reporter.log_uncorrected(address, time_ns)
        else:
            read = reporter.log(address, time_ns, is_scrub=bool(logged.is_scrub[at]))
        found += [(harvest.time_ns, harvest.registers) for harvest in read]
    for reporter in reporters.values():
        found += [(harvest.time_ns, harvest.registers) for harvest in reporter.read(until)]
    return found


def at(*milliseconds: int) -> Logged:
    """Corrected errors in one line of one bank."""
    zeros = np.zeros(len(milliseconds), np.int64)
    never = zeros.astype(np.bool_)
    times = np.array(milliseconds) * MS
    return Logged(times, zeros.astype(np.uint64), zeros.astype(np.int16), never, never)


# A storm that begins with the last error before a calm is over before the next.
SHORT_STORM = Reporting(How.CMCI, 2, 1, 2, 200 * MS, 100 * MS)


@example(SHORT_STORM, at(0, 0, 150, 300, 450), [])
@given(reportings, streams(), st.lists(st.integers(1, 40), max_size=6))
def test_columns_tell_what_a_bank_tells_error_by_error(
    reporting: Reporting, logged: Logged, sizes: list[int]
) -> None:
    until = int(logged.time_ns[-1]) + 5000 * MS
    found = by_columns(reporting, logged, sizes, until)
    read = registers(found, found.source.astype(np.int64), reporting.yellow_from)
    columns = (found.time_ns, read.status, read.address, read.misc)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    told = [(time_ns, Registers(*rest)) for time_ns, *rest in rows]
    key = repr
    assert sorted(told, key=key) == sorted(one_by_one(reporting, logged, until), key=key)


@given(reportings, streams(), st.lists(st.integers(1, 40), max_size=6))
def test_readings_come_in_the_order_of_time(
    reporting: Reporting, logged: Logged, sizes: list[int]
) -> None:
    found = by_columns(reporting, logged, sizes, int(logged.time_ns[-1]) + 5000 * MS)
    assert np.all(np.diff(found.time_ns) >= 0)
