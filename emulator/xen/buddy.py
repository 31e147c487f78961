"""The buddy algebra: memory as naturally aligned runs of 2^0 … 2^18 frames.

A buddy of order n has 2^n frames and begins at a multiple of 2^n. When a page leaves a free buddy,
what stays is covered anew, from left to right, by the largest buddies that hold no hole and do
not leave the old one:

    order 3, page 3 leaves    |0 1|2|x|4 5 6 7|    0:1  2:0  4:2

Xen forgot the alignment from 2009 to 2026, and handed pages out twice. Everything here works on
many runs at once, and no run overlaps another.
"""

from dataclasses import dataclass

import numpy as np

from agent.contract.columns import I64

ORDER_MAX = 18  # MAX_ORDER of Xen on x86: 1 GiB


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Frames from each of `first` up to but not including `last`, from the lowest run up."""

    first: I64
    last: I64

    def frames(self) -> I64:
        """Every frame of them, from the lowest up."""
        sizes = self.last - self.first
        return np.repeat(self.first - _before(self), sizes) + np.arange(int(sizes.sum()))

    def lowest(self, count: int) -> "Runs":
        """The runs that the first `count` frames are in, the last one cut short."""
        until = np.minimum(self.first + count - _before(self), self.last)
        kept = until > self.first
        return Runs(self.first[kept], until[kept])


@dataclass(frozen=True, slots=True, eq=False)
class Buddies:
    """Runs of 2^`orders` frames at `heads`."""

    heads: I64
    orders: I64

    def runs(self) -> Runs:
        """The same frames as runs, one a buddy."""
        in_order = np.argsort(self.heads)
        heads = self.heads[in_order]
        return Runs(heads, heads + (1 << self.orders[in_order]))


def runs_of(mfns: I64) -> Runs:
    """The runs that these frames form; each frame is named once, in any order."""
    in_order = in_ascent(mfns)
    ends = np.flatnonzero(np.diff(in_order) != 1)
    first = np.concatenate([in_order[:1], in_order[ends + 1]])
    last = np.concatenate([in_order[ends], in_order[-1:]]) + 1
    return Runs(first, last)


def in_ascent(mfns: I64) -> I64:
    """The frames from the lowest up; what is so already is not sorted again."""
    return mfns if (mfns[1:] >= mfns[:-1]).all() else np.sort(mfns)


def cover(runs: Runs) -> Buddies:
    """The runs as buddies, each as large as its place allows, from left to right."""
    first, last = runs.first, runs.last
    heads, orders = [first[:0]], [first[:0]]
    while len(first):
        order = np.minimum(_alignment(first), _log2(last - first))
        heads.append(first)
        orders.append(order)
        first = first + (1 << order)
        unfinished = first < last
        first, last = first[unfinished], last[unfinished]
    return Buddies(np.concatenate(heads), np.concatenate(orders))


def carve(buddies: Buddies, holes: Runs) -> Buddies:
    """What stays of `buddies` without `holes`, all of which are in them."""
    return cover(_without(buddies.runs(), holes))


def _without(runs: Runs, holes: Runs) -> Runs:
    """What lies between: from where a run begins or a hole ends to where the next one does not."""
    first = np.sort(np.concatenate([runs.first, holes.last]))
    last = np.sort(np.concatenate([holes.first, runs.last]))
    kept = first < last
    return Runs(first[kept], last[kept])


def cut(runs: Runs, at: I64) -> Runs:
    """The same frames, with a new run wherever one of `at` lies inside of an old one."""
    if not len(runs.first):
        return runs
    within = np.searchsorted(runs.first, at, "right") - 1
    inside = at[(within >= 0) & (runs.first[within] < at) & (at < runs.last[within])]
    first = np.sort(np.concatenate([runs.first, inside]))
    return Runs(first, np.sort(np.concatenate([runs.last, inside])))


def bit_length(numbers: I64) -> I64:
    """As `int.bit_length`; exact, because a frame number fits a float's 53 bits."""
    _, exponents = np.frexp(numbers)
    return exponents.astype(np.int64)


def _alignment(first: I64) -> I64:
    """The largest order that may begin here; at frame 0 that is any."""
    orders: I64 = np.minimum(_log2(first & -first), ORDER_MAX)
    orders[first == 0] = ORDER_MAX
    return orders


def _log2(numbers: I64) -> I64:
    return bit_length(numbers) - 1


def _before(runs: Runs) -> I64:
    """How many frames the runs before each one have together."""
    sizes = runs.last - runs.first
    before: I64 = np.cumsum(sizes) - sizes
    return before
