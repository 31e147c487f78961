"""The free lists: every free frame is in one buddy, and every buddy on the list of its order.

A host begins as a few buddies, whatever its size. Freed memory is first merged with its buddies,
as if all of it were free; what is offlined is then carved out of the result. So the free frames are
always covered by the largest buddies that their regions allow, and `check` need not say more.

The order of a buddy stands at its head, as in Xen. A list is a stack of heads that is tidied late:
a head counts only while its order says so, so that taking a buddy off a list costs nothing.
"""

from array import array
from collections import defaultdict

import numpy as np

from agent.contract.columns import I64, U8, Bools
from emulator.machine.columns import zeros
from emulator.xen.buddy import ORDER_MAX, Buddies, Runs, carve, cover, cut, runs_of
from emulator.xen.regions import regions_of

_ORDERS = ORDER_MAX + 1
_STALE_MAX = 1024  # heads a list may hold beyond twice those that count
_PEEK_MIN = 64
_NONE = Buddies(np.empty(0, np.int64), np.empty(0, np.int64))


class FreeLists:
    """The free frames of a host; at first all `frames`, shared by `nodes`."""

    def __init__(self, frames: int, nodes: int = 1) -> None:
        self._regions = regions_of(frames, nodes)
        self._order_plus_1: U8 = zeros(frames, np.uint8)
        self._live = np.zeros(len(self._regions.starts) * _ORDERS, np.int64)
        self._lists: defaultdict[int, array[int]] = defaultdict(lambda: array("I"))
        self._add(cover(self._regions.runs()))

    def find(self, order: int, count: int, node: int = 0) -> Runs:
        """Up to `count` runs of 2^`order` free frames, together. Nothing is taken.

        `node` first, then its high memory before its low, then its small buddies before its large.
        """
        found, left = _NONE, count << order
        for key in self._stocked(order, node):
            larger = key % _ORDERS
            heads = self._peek(key, -(-left >> larger))
            found, left = _joined(found, heads, larger), left - (len(heads) << larger)
            if left <= 0:
                break
        return _cut_short(found, count << order)

    def node_of(self, mfn: int) -> int:
        """The NUMA node that a frame is of."""
        return self._regions.node_of(mfn)

    def heads_among(self, mfns: I64) -> I64:
        """Those of these frames that head a buddy of more than one."""
        heads: I64 = mfns[self._order_plus_1[mfns] > 1]
        return heads

    def lowest(self, count: int) -> Runs:
        """The lowest `count` free frames."""
        return self.buddies().runs().lowest(count)

    def take(self, mfns: I64) -> None:
        """These frames, all of them free, are free no more."""
        if not len(mfns):
            return
        holes = runs_of(mfns)
        holders = self._holders(cover(self._cut(holes)))
        self._remove(holders)
        self._add(carve(holders, holes))

    def put(self, mfns: I64, offlined: I64) -> None:
        """These frames are freed, and those among them that are `offlined` leave at once."""
        if not len(mfns):
            return
        merged = self._merge(cover(self._cut(runs_of(mfns))))
        self._add(carve(merged, runs_of(offlined)) if len(offlined) else merged)

    def buddies(self) -> Buddies:
        """All free buddies, in no order."""
        found = _NONE
        for key in np.flatnonzero(self._live).tolist():
            found = _joined(found, self._counting(key), key % _ORDERS)
        return found

    def check(self, free: I64) -> list[str]:
        """How the lists differ from the frames that are `free`, in sentences."""
        wanted, listed = cover(self._cut(runs_of(free))).runs(), self.buddies().runs()
        agree = np.array_equal(wanted.first, listed.first) and np.array_equal(
            wanted.last, listed.last
        )
        return [] if agree else ["the free lists are not the free frames in their largest buddies"]

    def _stocked(self, order: int, node: int) -> list[int]:
        """The lists that have buddies of `order` or larger, in the order of preference."""
        regions = self._regions.preferred(node)
        keys: I64 = (regions[:, np.newaxis] * _ORDERS + np.arange(order, _ORDERS)).ravel()
        stocked: list[int] = keys[self._live[keys] > 0].tolist()
        return stocked

    def _cut(self, runs: Runs) -> Runs:
        return cut(runs, self._regions.starts)

    def _keys(self, buddies: Buddies) -> I64:
        """The list that each buddy belongs on, by its number."""
        return self._regions.of(buddies.heads) * _ORDERS + buddies.orders

    def _add(self, buddies: Buddies) -> None:
        self._order_plus_1[buddies.heads] = buddies.orders + 1
        keys = self._keys(buddies)
        self._live += np.bincount(keys, minlength=len(self._live))
        for key in np.unique(keys).tolist():
            heads = self._lists[key]
            heads.frombytes(buddies.heads[keys == key].astype(np.uint32).tobytes())
            if len(heads) > 2 * self._live[key] + _STALE_MAX:
                self._tidied(key)

    def _remove(self, buddies: Buddies) -> None:
        self._order_plus_1[buddies.heads] = 0
        self._live -= np.bincount(self._keys(buddies), minlength=len(self._live))

    def _counting(self, key: int) -> I64:
        """The heads on a list that count, each once."""
        return self._top(key, len(self._lists[key]))

    def _tidied(self, key: int) -> I64:
        """The same, and nothing else is left on the list."""
        heads = self._counting(key)
        self._lists[key] = array("I", heads[::-1].astype(np.uint32).tobytes())
        return heads

    def _peek(self, key: int, count: int) -> I64:
        """Up to `count` heads from the top of a list."""
        count = min(count, int(self._live[key]))
        top = self._top(key, max(count, _PEEK_MIN))
        return top[:count] if len(top) >= count else self._tidied(key)[:count]

    def _top(self, key: int, entries: int) -> I64:
        """The heads that count among the newest `entries`, each once."""
        newest = np.array(self._lists[key][-entries:], np.int64)
        counting: I64 = newest[self._order_plus_1[newest] == key % _ORDERS + 1]
        return np.unique(counting)[::-1]

    def _holders(self, parts: Buddies) -> Buddies:
        """The free buddies that these are parts of."""
        orders = np.full(len(parts.heads), -1)
        for order in range(_ORDERS):
            heads = parts.heads >> order << order
            orders[self._order_plus_1[heads] == order + 1] = order
        heads, first = np.unique(parts.heads >> orders << orders, return_index=True)
        return Buddies(heads, orders[first])

    def _merge(self, freed: Buddies) -> Buddies:
        """`freed` and the free buddies it merges with, which leave their lists."""
        settled, heads = _NONE, _NONE.heads
        for order in range(_ORDERS):
            heads = np.sort(np.concatenate([heads, freed.heads[freed.orders == order]]))
            if len(heads):
                joins = self._joins(heads, order)
                settled = _joined(settled, heads[~joins], order)
                heads = np.unique(heads[joins] >> (order + 1) << (order + 1))
        return settled

    def _joins(self, heads: I64, order: int) -> Bools:
        """Whether each of these has its other half; a half that was listed is so no more."""
        if order == ORDER_MAX:
            return np.zeros(len(heads), np.bool_)
        halves = heads ^ (1 << order)
        near = self._regions.share(heads, halves)
        listed = near.copy()
        listed[near] = self._order_plus_1[halves[near]] == order + 1
        if listed.any():
            self._remove(Buddies(halves[listed], np.full(np.count_nonzero(listed), order)))
        joins: Bools = listed | (near & _are_twins(heads >> (order + 1)))
        return joins


def _are_twins(parents: I64) -> Bools:
    """Whether each of these, which are in order, is there twice."""
    alike = parents[1:] == parents[:-1]
    twins = np.zeros(len(parents), np.bool_)
    twins[1:] = alike
    twins[:-1] |= alike
    return twins


def _joined(buddies: Buddies, heads: I64, order: int) -> Buddies:
    orders = np.full(len(heads), order)
    return Buddies(np.concatenate([buddies.heads, heads]), np.concatenate([buddies.orders, orders]))


def _cut_short(buddies: Buddies, frames: int) -> Runs:
    """The first `frames` frames of buddies that were found in the order of preference."""
    sizes = 1 << buddies.orders
    until = np.minimum(frames - (np.cumsum(sizes) - sizes), sizes)
    in_order = np.argsort(buddies.heads)
    return Runs(buddies.heads[in_order], (buddies.heads + until)[in_order])
