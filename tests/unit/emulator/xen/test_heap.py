"""The heap: next fit, the frames one names, and never one that is going or gone."""

import numpy as np
import pytest

from agent.contract.columns import I64
from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PageUse
from emulator.xen import heap as module
from emulator.xen.frametable import FrameTable, Tenant
from emulator.xen.heap import Heap

GUEST = Tenant(PageUse.HVM, DomId(1))


def frames(*mfns: int) -> I64:
    return np.array(mfns, np.int64)


def taken(heap: Heap, count: int) -> list[int]:
    mfns = heap.take(count, GUEST)
    assert mfns is not None
    return list(map(int, mfns))


def test_frames_come_in_order_from_the_bottom() -> None:
    assert taken(Heap(FrameTable(16)), 4) == [0, 1, 2, 3]


def test_the_next_fit_goes_on_where_the_last_one_ended() -> None:
    table = FrameTable(16)
    heap = Heap(table)
    table.release(frames(*taken(heap, 4)))
    assert taken(heap, 2) == [4, 5]


def test_the_cursor_comes_round_again() -> None:
    table = FrameTable(16)
    heap = Heap(table)
    table.release(frames(*taken(heap, 12)))
    assert taken(heap, 6) == [12, 13, 14, 15, 0, 1]


@pytest.mark.parametrize("window_frames", [1, 3, 5, 16])
def test_the_size_of_the_window_does_not_show(
    window_frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WINDOW_FRAMES", window_frames)
    table = FrameTable(16)
    heap = Heap(table)
    table.allocate(frames(1, 4, 5, 6, 7, 12), GUEST)
    assert taken(heap, 10) == [0, 2, 3, 8, 9, 10, 11, 13, 14, 15]


def test_an_offlined_frame_is_never_handed_out() -> None:
    table = FrameTable(16)
    table.offline(Mfn(2))
    assert 2 not in taken(Heap(table), 15)


def test_a_frame_freed_while_offlining_is_never_handed_out() -> None:
    table = FrameTable(16)
    heap = Heap(table)
    everything = taken(heap, 16)
    table.offline(Mfn(2))
    table.release(frames(*everything))
    assert 2 not in taken(heap, 15)


def test_too_little_memory_is_none() -> None:
    table = FrameTable(16)
    table.offline(Mfn(2))
    assert Heap(table).take(16, GUEST) is None


def test_too_little_memory_changes_nothing() -> None:
    table = FrameTable(16)
    Heap(table).take(17, GUEST)
    assert table.free == 16


def test_nothing_can_be_asked_for() -> None:
    assert taken(Heap(FrameTable(16)), 0) == []


def test_named_frames_are_the_ones_given() -> None:
    table = FrameTable(16)
    Heap(table).take_at(frames(9, 3), GUEST)
    assert [table.owner_of(Mfn(mfn)) for mfn in (3, 9)] == [1, 1]


def test_named_frames_are_all_given_or_none() -> None:
    table = FrameTable(16)
    table.offline(Mfn(3))
    refused = Heap(table).take_at(frames(9, 3), GUEST)
    assert (refused, table.free) == (None, 15)
