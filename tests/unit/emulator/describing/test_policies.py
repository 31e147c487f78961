"""What policies would have saved: the count in one go is the one that a plain loop makes."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contract.columns import Kind
from emulator.describing.policies import Policy, saved
from emulator.machine.faults import Mode, site_of
from emulator.machine.memory import Geometry
from emulator.machine.model import HOUR_NS
from emulator.machine.stream import Chunk

HOST = Geometry(memory=1 << 26)
HOURS = st.integers(0, 15).map(lambda count: 12 * count)  # so that windows are met to the hour
PAGES = st.sampled_from([0, 1, 8, 9, 16, 500])  # 0 and 8 share a row, as do 1 and 9

EVENTS = st.lists(
    st.tuples(
        HOURS, PAGES, st.integers(0, 1), st.sampled_from(Mode), st.sampled_from([*Kind, Kind.CE])
    ),
    max_size=80,
)
POLICIES = st.builds(
    Policy, st.just("p"), st.integers(1, 5), st.sampled_from([1, 24, 72]), st.booleans()
)

Event = tuple[int, int, int, Mode, Kind]


def chunk_of(events: list[Event]) -> Chunk:
    hours, pages, _, modes, kinds = np.array(events, np.int64).reshape(-1, 5).T
    nothing = np.zeros(len(events), np.uint8)
    return Chunk(
        time_ns=hours * HOUR_NS,
        address=pages << 12,
        kind=kinds.astype(np.uint8),
        transaction=nothing,
        flaw=np.zeros(len(events), np.int64),
        mode=modes.astype(np.uint8),
    )


def looped(policy: Policy, events: list[Event]) -> dict[str, list[int]]:
    """Errors, avoided, uncorrected, avoided and bytes lost, by mode."""
    seen: dict[object, list[int]] = defaultdict(list)
    since: dict[object, int] = {}
    counts: dict[str, list[int]] = {mode.word: [0, 0, 0, 0, 0] for mode in Mode}
    for hour, page, host, mode, kind in events:
        site = site_of(page << 12, HOST)
        row = (site.dimm, site.rank, site.bank_group, site.bank, site.row)
        unit = (host, row) if policy.by_row else (host, page)
        avoided = unit in since and since[unit] < hour
        column = 2 if kind is Kind.UE else 0
        counts[mode.word][column] += 1
        counts[mode.word][column + 1] += avoided
        if kind is Kind.UE:
            continue
        seen[unit].append(hour)
        recent = [each for each in seen[unit][-policy.errors :] if hour - each < policy.hours]
        if len(recent) == policy.errors and unit not in since:
            since[unit] = hour
            counts[mode.word][4] += HOST.row_bytes if policy.by_row else 4096
    return counts


@given(POLICIES, EVENTS)
def test_what_is_saved_is_what_a_plain_loop_counts(policy: Policy, events: list[Event]) -> None:
    events = sorted(events, key=lambda event: event[0])
    hosts = np.array([event[2] for event in events], np.int64)
    counted = {
        line.mode: [
            line.errors,
            line.errors_avoided,
            line.uncorrected,
            line.uncorrected_avoided,
            line.bytes_lost,
        ]
        for line in saved(policy, chunk_of(events), hosts, HOST)
    }
    assert counted == looped(policy, events)


def test_two_pages_share_a_row_here() -> None:
    """Otherwise policies by row were not put to the test."""
    assert site_of(0 << 12, HOST).row == site_of(8 << 12, HOST).row
    assert site_of(0 << 12, HOST).bank == site_of(8 << 12, HOST).bank


@pytest.mark.parametrize(("hours_apart", "bytes_lost"), [(23, 4096), (24, 0)])
def test_errors_as_far_apart_as_the_window_are_not_within_it(
    hours_apart: int, bytes_lost: int
) -> None:
    events = [(hour, 8, 0, Mode.CELL, Kind.CE) for hour in (0, hours_apart)]
    lines = saved(Policy("p", 2, 24), chunk_of(events), np.zeros(2, np.int64), HOST)
    assert sum(line.bytes_lost for line in lines) == bytes_lost
