"""The numbers of one boot: which were seen, which are missing, which were given up.

A source numbers its ereports 0, 1, 2, … from each boot. So all that was ever seen of a boot fits in
one number and a few ranges:

    0 ─────────────── 41 │ 42 … 57 │ 58 ──── 99 │ 100 …
        seen             │   gap   │    seen    │ next_seq: nothing from here on was seen

A gap is two numbers however wide it is: a batch that names 0 and 2⁶³ - 2 costs as much as any.
A gap is asked for again and again, ever more slowly, and then *given up*: it counts as lost and
holds nothing back, yet it is remembered, so that what arrives after all is still let in, once. Only
when there are more gaps than the bound is the oldest forgotten; what arrives for it then is taken
for a duplicate, because an error that is never counted is better than one counted twice.
"""

from dataclasses import dataclass, replace
from math import inf

import numpy as np

from agent.contract.columns import U64, Bools


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a gap is asked for, and how long each answer may take: twice as long each time."""

    asks_max: int
    seconds: float
    seconds_max: float

    def after(self, asked: int) -> float:
        """How long to wait for the answer to the ask that follows `asked` others."""
        # The exponent is bounded too: 2.0 ** 1024 is an OverflowError.
        return min(self.seconds * 2.0 ** min(asked, 60), self.seconds_max)


@dataclass(frozen=True, slots=True)
class Gap:
    """Ereports `first` to `last`, both included, that did not arrive.

    `due_at` is when it is to be asked for: at once when it is new, and nobody knows yet (None) when
    a part of it has just arrived, because then the rest may be on its way.
    """

    first: int
    last: int
    asked: int = 0
    due_at: float | None = -inf
    given_up: bool = False

    @property
    def size(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Taken:
    """What a batch's numbers came to: all that is known after it, which were new, which skipped."""

    after: "Numbering"
    new: Bools
    opened: tuple[Gap, ...]


@dataclass(frozen=True, slots=True)
class Numbering:
    """All that is known of one boot's numbers. `lost` counts the ereports that were given up."""

    next_seq: int = 0
    gaps: tuple[Gap, ...] = ()
    lost: int = 0

    @property
    def missing(self) -> int:
        """How many ereports are still hoped for."""
        return sum(gap.size for gap in self.gaps if not gap.given_up)

    @property
    def frontier(self) -> int:
        """Every number below this one has arrived or was given up."""
        return next((gap.first for gap in self.gaps if not gap.given_up), self.next_seq)

    def take(self, seq: U64, gaps_max: int) -> Taken:
        """Let in what is new of `seq`: any order, any holes, any repeats, each number once."""
        if _follows_on(seq, self.next_seq):
            after = replace(self, next_seq=self.next_seq + len(seq))
            return Taken(after, np.ones(len(seq), np.bool_), ())
        return self._take_scattered(seq, gaps_max)

    def _take_scattered(self, seq: U64, gaps_max: int) -> Taken:
        numbers, first_at = np.unique(seq, return_index=True)
        ahead = numbers >= self.next_seq
        late = _within(self.gaps, numbers)
        new = np.zeros(len(seq), np.bool_)
        new[first_at[ahead | late]] = True
        opened = tuple(Gap(*hole) for hole in _holes(self.next_seq, numbers[ahead]))
        next_seq = int(numbers[-1]) + 1 if ahead.any() else self.next_seq
        gaps = (*_filled(self.gaps, numbers[late]), *opened)
        after = replace(self, next_seq=next_seq, gaps=gaps)
        return Taken(_bounded(after, gaps_max), new, opened)

    def ask(self, now: float, patience: Patience) -> tuple["Numbering", tuple[Gap, ...]]:
        """The gaps to ask for now. Those that were asked for often enough are given up instead."""
        looked_at = tuple(_looked_at(gap, now, patience) for gap in self.gaps)
        pairs = tuple(zip(self.gaps, looked_at, strict=True))
        asks = tuple(new for old, new in pairs if new.asked > old.asked)
        lost = sum(new.size for old, new in pairs if new.given_up and not old.given_up)
        return replace(self, gaps=looked_at, lost=self.lost + lost), asks


def _bounded(known: Numbering, gaps_max: int) -> Numbering:
    """`known` with its newest `gaps_max` gaps; what the others still missed is lost."""
    over = max(0, len(known.gaps) - gaps_max)
    lost = sum(gap.size for gap in known.gaps[:over] if not gap.given_up)
    return replace(known, gaps=known.gaps[over:], lost=known.lost + lost)


def _looked_at(gap: Gap, now: float, patience: Patience) -> Gap:
    """`gap` after a look at the clock: asked for once more, given up, or left to wait."""
    if gap.given_up:
        return gap
    if gap.due_at is None:
        return replace(gap, due_at=now + patience.after(0))
    if now < gap.due_at:
        return gap
    if gap.asked >= patience.asks_max:
        return replace(gap, given_up=True)
    return replace(gap, asked=gap.asked + 1, due_at=now + patience.after(gap.asked))


def _follows_on(seq: U64, next_seq: int) -> bool:
    """True if `seq` is next_seq, next_seq + 1, …: the ordinary case, and nothing is missing."""
    return int(seq[0]) == next_seq and bool((seq[1:] - seq[:-1] == 1).all())


def _within(gaps: tuple[Gap, ...], numbers: U64) -> Bools:
    """Which of `numbers` lie in one of `gaps`."""
    if not gaps:
        return np.zeros(len(numbers), np.bool_)
    firsts = np.array([gap.first for gap in gaps], np.uint64)
    lasts = np.array([gap.last for gap in gaps], np.uint64)
    at = np.searchsorted(firsts, numbers, side="right") - 1
    within: Bools = (at >= 0) & (numbers <= lasts[at])
    return within


def _holes(low: int, present: U64) -> list[tuple[int, int]]:
    """The ranges from `low` to the last of `present` (rising) that `present` leaves out."""
    expected = np.concatenate((np.array([low], np.uint64), present[:-1] + 1))[: len(present)]
    skipped = present > expected
    lasts = present[skipped] - 1
    return list(zip(expected[skipped].tolist(), lasts.tolist(), strict=True))


def _filled(gaps: tuple[Gap, ...], arrived: U64) -> list[Gap]:
    """What remains of `gaps` without `arrived` (rising, each of them within a gap)."""
    if not len(arrived):
        return list(gaps)
    begins = np.searchsorted(arrived, np.array([gap.first for gap in gaps], np.uint64))
    cuts = [*begins.tolist(), len(arrived)]
    remaining: list[Gap] = []
    for gap, begin, end in zip(gaps, cuts, cuts[1:], strict=False):
        remaining += _pieces(gap, arrived[begin:end])
    return remaining


def _pieces(gap: Gap, arrived: U64) -> list[Gap]:
    """`gap` without `arrived`. A source that answers is not given up on: its count starts anew."""
    if not len(arrived):
        return [gap]
    fence = np.append(arrived, np.uint64(gap.last + 1))
    holes = _holes(gap.first, fence)
    return [Gap(first, last, due_at=None, given_up=gap.given_up) for first, last in holes]
