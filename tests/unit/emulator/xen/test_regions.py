"""Regions: a zone is the width of a frame number, a node an equal share."""

import numpy as np
import pytest

from emulator.xen.regions import regions_of


def test_a_zone_begins_where_frame_numbers_get_wider() -> None:
    assert regions_of(32, 1).starts.tolist() == [0, 2, 4, 8, 16]


def test_a_node_begins_a_region_of_its_own() -> None:
    assert regions_of(24, 2).starts.tolist() == [0, 2, 4, 8, 12, 16]


def test_the_regions_are_the_whole_host() -> None:
    assert np.array_equal(regions_of(100, 3).runs().frames(), np.arange(100))


def test_each_frame_lies_in_the_region_that_begins_before_it() -> None:
    assert regions_of(32, 1).of(np.array([0, 1, 2, 15, 31])).tolist() == [0, 0, 1, 3, 4]


@pytest.mark.parametrize(("node", "starts"), [(0, [8, 4, 2, 0, 16, 12]), (1, [16, 12, 8, 4, 2, 0])])
def test_a_node_prefers_its_own_memory_and_there_the_high_zones(
    node: int, starts: list[int]
) -> None:
    regions = regions_of(24, 2)
    assert regions.starts[regions.preferred(node)].tolist() == starts


def test_what_cannot_be_shared_equally_is_the_last_nodes() -> None:
    regions = regions_of(11, 3)
    assert regions.starts[regions.preferred(2)[:2]].tolist() == [8, 6]


def test_a_host_of_one_frame_is_one_region() -> None:
    assert regions_of(1, 1).runs().frames().tolist() == [0]
