"""Streams become one: nothing lost, nothing out of order, whatever their parts."""

from collections.abc import Iterator

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from emulator.machine.merge import merged
from emulator.machine.stream import Chunk

parts = st.lists(st.lists(st.integers(0, 50), max_size=5), max_size=4)


def stream(number: int, gaps: list[list[int]]) -> Iterator[Chunk]:
    """Errors at rising times, in these parts; `flaw` tells the stream."""
    now = 0
    for part in gaps:
        times = now + np.cumsum(np.array(part, np.int64))
        now = int(times[-1]) if part else now
        zeros = np.zeros(len(part), np.uint8)
        yield Chunk(times, times, zeros, zeros, np.full(len(part), number), zeros)


def rows(chunks: Iterator[Chunk]) -> list[tuple[int, int]]:
    pairs = [zip(c.time_ns.tolist(), c.flaw.tolist(), strict=True) for c in chunks]
    return [pair for each in pairs for pair in each]


@given(st.lists(parts, max_size=4))
def test_all_errors_come_and_in_the_order_of_time(gaps: list[list[list[int]]]) -> None:
    streams = [stream(number, each) for number, each in enumerate(gaps)]
    wanted = [row for number, each in enumerate(gaps) for row in rows(stream(number, each))]
    found = rows(merged(streams))
    assert sorted(found) == sorted(wanted)
    assert [time_ns for time_ns, _ in found] == sorted(time_ns for time_ns, _ in found)
