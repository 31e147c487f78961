"""Addresses and places on the DIMMs are one to one, however the memory is interleaved."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contract.columns import I64
from emulator.machine.memory import COLUMN_BYTES, Geometry, Places

POWERS = st.sampled_from([1, 2, 4, 8])
RUNS = st.sampled_from([64, 256, 4096, 1 << 16, 1 << 20])


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    """Hosts of any shape, from a page to 2 TiB, whether or not their DIMMs are of a usual size."""
    hashed = draw(st.booleans())
    return Geometry(
        memory=draw(st.integers(1, 1 << 29)) * 4096,
        sockets=draw(st.integers(1, 4)),
        channels=draw(POWERS) if hashed else draw(st.integers(1, 12)),
        dimms_per_channel=draw(st.integers(1, 3)),
        ranks=draw(st.integers(1, 4)),
        bank_groups=draw(POWERS),
        banks_per_group=draw(POWERS),
        row_bytes=draw(st.sampled_from([1024, 8192, 1 << 16])),
        socket_run=draw(st.just(0) | RUNS),
        channel_run=draw(RUNS),
        bank_hash=draw(st.booleans()),
        channel_hash=hashed,
    )


@st.composite
def hosts_with_addresses(draw: st.DrawFn) -> tuple[Geometry, I64]:
    geometry = draw(geometries())
    addresses = draw(st.lists(st.integers(0, geometry.capacity - 1), min_size=1, max_size=50))
    return geometry, np.array([*addresses, 0, geometry.capacity - 1], np.int64)


@st.composite
def hosts_with_places(draw: st.DrawFn) -> tuple[Geometry, Places]:
    geometry = draw(geometries())
    one = st.tuples(*(st.integers(0, each - 1) for each in geometry.extents.values()))
    chosen = draw(st.lists(one, min_size=1, max_size=50))
    return geometry, Places(*np.array(chosen, np.int64).T)


@given(hosts_with_addresses())
def test_an_address_comes_back_from_its_place(host: tuple[Geometry, I64]) -> None:
    geometry, addresses = host
    back = geometry.addresses(geometry.places(addresses))
    assert back.tolist() == (addresses - addresses % COLUMN_BYTES).tolist()


@given(hosts_with_places())
def test_a_place_comes_back_from_its_address(host: tuple[Geometry, Places]) -> None:
    geometry, places = host
    assert geometry.places(geometry.addresses(places)).same_as(places)


@given(hosts_with_addresses())
def test_no_coordinate_is_beyond_what_there_is(host: tuple[Geometry, I64]) -> None:
    geometry, addresses = host
    places = geometry.places(addresses)
    for name, extent in geometry.extents.items():
        column = getattr(places, name)
        assert 0 <= column.min() <= column.max() < extent


@given(geometries())
def test_places_and_addresses_are_equally_many(geometry: Geometry) -> None:
    assert math.prod(geometry.extents.values()) * COLUMN_BYTES == geometry.capacity
    assert geometry.capacity >= geometry.memory


@given(geometries(), st.integers(0, (1 << 41) - 1))
def test_a_cache_line_lies_in_one_row(geometry: Geometry, address: int) -> None:
    line = address % geometry.capacity // 64 * 64
    places = geometry.places(line + np.arange(0, 64, COLUMN_BYTES))
    rows = zip(*(getattr(places, name).tolist() for name in Places.__slots__[:-1]), strict=True)
    assert len(set(rows)) == 1


@st.composite
def simple_geometries(draw: st.DrawFn) -> Geometry:
    """Those of which the DIMM of a page can be told in a line."""
    geometry = replace(draw(geometries()), dimms_per_channel=1, channel_hash=False)
    run = draw(st.sampled_from([4096, 1 << 16]))
    if draw(st.booleans()):
        return replace(geometry, channel_run=run, socket_run=run)
    channels = draw(POWERS)
    return replace(geometry, channels=channels, channel_run=run, socket_run=run * channels)


@given(simple_geometries(), st.lists(st.integers(0, (1 << 29) - 1), min_size=1, max_size=50))
def test_the_interleave_that_is_told_is_the_true_one(geometry: Geometry, mfns: list[int]) -> None:
    told = geometry.interleave
    assert told is not None
    mfns = [mfn % (geometry.capacity >> 12) for mfn in mfns]
    places = geometry.places(np.array(mfns, np.int64) << 12)
    true = [geometry.labels[dimm] for dimm in geometry.dimm_of(places).tolist()]
    assert [told.dimm_of(mfn) for mfn in mfns] == true


SMALL = Geometry(memory=1 << 26)


def test_the_default_memory_tells_where_its_dimms_lie() -> None:
    assert SMALL.interleave is not None
    assert SMALL.interleave.dimms == SMALL.labels


@pytest.mark.parametrize(
    "intricate", [{"channel_hash": True}, {"channel_run": 256}, {"sockets": 2}]
)
def test_one_that_is_too_intricate_is_not_told(intricate: dict[str, Any]) -> None:
    assert replace(SMALL, **intricate).interleave is None


def test_a_stride_of_a_rows_size_meets_all_banks_because_they_are_hashed() -> None:
    stride = SMALL.dimms * SMALL.ranks * SMALL.banks * SMALL.row_bytes
    same_bank = np.arange(SMALL.rows, dtype=np.int64) * stride
    banks = {
        hashed: len(set(host.bank_of(host.places(same_bank)).tolist()))
        for hashed, host in ((True, SMALL), (False, replace(SMALL, bank_hash=False)))
    }
    assert banks == {True: SMALL.rows, False: 1}


def test_hashed_channels_share_any_stride_of_a_power_of_two() -> None:
    geometry = replace(SMALL, memory=1 << 36, channel_hash=True)
    for shift in range(15, 26):
        places = geometry.places(np.arange(256, dtype=np.int64) << shift)
        assert len(set(places.channel.tolist())) == geometry.channels, shift


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"bank_groups": 3}, "bank_groups must be a power of two"),
        ({"channel_run": 100}, "channel_run must be a power of two"),
        ({"socket_run": 100}, "socket_run must be 0 or a power of two"),
        ({"row_bytes": 32}, "at least 64"),
        ({"channels": 12, "channel_hash": True}, "channel_hash needs 1, 2, 4 or 8 channels"),
        ({"memory": 0}, "memory must be at least 1"),
    ],
)
def test_a_memory_that_cannot_be_is_refused(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        replace(SMALL, **wrong)
