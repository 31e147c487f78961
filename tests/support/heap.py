"""Frames and buddies written as plain numbers, for tests of the frame table and its heap."""

from collections.abc import Sequence

import numpy as np

from agent.contract.columns import I64
from agent.contract.frames import DomId
from agent.contract.hypercall import PageUse
from emulator.xen.buddy import Buddies
from emulator.xen.frametable import FrameTable, Tenant
from emulator.xen.heap import Heap

GUEST = Tenant(PageUse.HVM, DomId(1))
ZONES = [(0, 1), (2, 1), (4, 2), (8, 3)]  # a host of 16 frames as it begins: a buddy a zone


def frames(*mfns: int) -> I64:
    return np.array(mfns, np.int64)


def taken(heap: Heap, count: int, node: int = 0) -> list[int]:
    mfns = heap.take(count, GUEST, node)
    assert mfns is not None
    return list(map(int, mfns))


def buddies(table: FrameTable) -> list[tuple[int, int]]:
    return listed(table.lists.buddies())


def listed(found: Buddies, since: int = 0) -> list[tuple[int, int]]:
    """Head and order of each, the heads counted from `since`."""
    heads = (found.heads - since).tolist()
    return sorted(zip(heads, found.orders.tolist(), strict=True))


def offlined(table: FrameTable, mfns: Sequence[int]) -> FrameTable:
    table.offline_all(frames(*mfns))
    return table
