"""Soft Error Rate Discrimination: fire when N errors fall within T.

One error is a particle of cosmic radiation. Several on one page, close together, are a cell that
is going bad. So each page has an engine, and the engine fires **on the N-th error whose window
`(t - T, t]` holds N of them**, once: from then on it is latched. Others mean other things by the
same words: illumos fires on error N + 1, and mcelog empties its bucket by whole periods, so that a
burst across the seam passes unseen. Here the window slides exactly.

An engine remembers the newest N - 1 times of its page, in order, and needs no more: a record in
order fires if the error N - 1 places before it is less than T ago. A record is as many errors as it
counts. One that comes late, or after the clock stepped back, is put where it belongs and fires if
any N errors that stand side by side there, itself included, lie within less than T. No late record
erases what is known, none is forgotten for being late (`aside.py`), and nothing fires twice.

A batch goes through as a whole: each page's past and its records, one behind the other in one long
line, and every record looks N - 1 places back. Only pages whose records are out of order take the
slow way, one by one, to the same result.

Uncorrected errors are not its business: one of those is one too many, and no rate.
"""

from dataclasses import dataclass
from io import BytesIO
from zipfile import BadZipFile

import numpy as np

from agent.contract.columns import I64, Bools
from agent.contract.errors import AgentError
from agent.diagnosis.aside import Aside
from agent.diagnosis.slots import NEVER, Slots

N_MAX = 16


@dataclass(frozen=True, slots=True)
class SerdSettings:
    """`n` errors within `window_ns`, on at most `pages_max` pages at a time."""

    n: int
    window_ns: int
    pages_max: int

    def __post_init__(self) -> None:
        if not 1 <= self.n <= N_MAX:
            raise ValueError(f"n must be 1 to {N_MAX} (got {self.n})")
        if not 0 < self.window_ns < 1 << 63:
            raise ValueError(f"window_ns must be above 0 and below 2^63 (got {self.window_ns})")
        if self.pages_max < 1:
            raise ValueError(f"pages_max must be at least 1 (got {self.pages_max})")


@dataclass(frozen=True, slots=True, eq=False)
class Fired:
    """Where in the batch a page fired (rising), and how many pages had to make room for others."""

    index: I64
    evicted: int


class Serd:
    """One engine for each page that had an error lately. Keys and times are never negative."""

    def __init__(self, n: int, window_ns: int, pages_max: int) -> None:
        self.settings = SerdSettings(n, window_ns, pages_max)
        self._pages = Slots(pages_max, width=n - 1)
        self._aside = Aside(width=n - 1)
        self._records = 0

    def __len__(self) -> int:
        return len(self._pages)

    def record(self, keys: I64, time_ns: I64, errors: I64) -> Fired:
        """Count a batch, record by record in this order; a page fires on exactly one of them."""
        at_once = self.settings.pages_max  # no part can name more pages than there is room for
        parts = [
            self._record(
                keys[at : at + at_once], time_ns[at : at + at_once], errors[at : at + at_once]
            )
            for at in range(0, len(keys), at_once)
        ]
        index = [part.index + at_once * number for number, part in enumerate(parts)]
        none = np.zeros(0, np.int64)
        return Fired(np.concatenate((none, *index)), sum(part.evicted for part in parts))

    def _record(self, keys: I64, time_ns: I64, errors: I64) -> Fired:
        order = np.argsort(keys, kind="stable")
        runs = _Runs.of(keys[order], time_ns[order], np.clip(errors[order], 1, self.settings.n))
        rows, evicted = self._pages.touch(
            runs.key[runs.starts], self._records + order[runs.ends - 1]
        )
        self._records += len(keys)
        fires = self._count(rows, runs)
        hits = np.flatnonzero(fires & ~self._pages.latched[rows][runs.page])
        _, first = np.unique(runs.page[hits], return_index=True)
        hits = hits[first]
        self._pages.latched[rows[runs.page[hits]]] = True
        return Fired(np.sort(order[hits]), evicted)

    def _count(self, rows: I64, runs: "_Runs") -> Bools:
        """Put the records into their pages; which of them complete N in T."""
        tidy = ~runs.out_of_order(self._newest(rows))
        if tidy.all():
            return self._sweep(rows, runs)
        fires = np.zeros(len(runs.key), np.bool_)
        chosen = tidy[runs.page]
        if chosen.any():
            fires[chosen] = self._sweep(rows[tidy], runs.only(chosen))
        for at in np.flatnonzero(~chosen).tolist():
            copies = [int(runs.time[at])] * int(runs.copies[at])
            fires[at] = self._insert(int(rows[runs.page[at]]), int(runs.key[at]), copies)
        return fires

    def _newest(self, rows: I64) -> I64:
        newest: I64 = self._pages.times[rows].max(axis=1, initial=NEVER)
        return newest

    def _sweep(self, rows: I64, runs: "_Runs") -> Bools:
        """All pages at once. `line` is each page's past, then its records, `copies` times each."""
        width = self._pages.width
        shift = (runs.page + 1) * width  # how many places of pasts stand before a record
        last = np.cumsum(runs.copies) - 1 + shift  # where a record's last copy stands
        line = np.empty(len(rows) * width + int(runs.copies.sum()), np.int64)
        copied = np.arange(int(runs.copies.sum())) + np.repeat(shift, runs.copies)
        line[copied] = np.repeat(runs.time, runs.copies)
        places = np.arange(width)
        begins = last[runs.starts] - runs.copies[runs.starts] + 1 - width
        line[begins[:, None] + places] = self._pages.times[rows]
        self._pages.times[rows] = line[last[runs.ends - 1][:, None] - places[::-1]]
        back = line[last - width]
        fires: Bools = (back != NEVER) & (runs.time - back < self.settings.window_ns)
        return fires

    def _insert(self, row: int, key: int, copies: list[int]) -> bool:
        """One record of a page that is out of order, put where it belongs."""
        width = self._pages.width
        past = [time for time in self._pages.times[row].tolist() if time != NEVER]
        times = sorted([*past, *copies])
        older, newest = times[: max(0, len(times) - width)], times[max(0, len(times) - width) :]
        self._pages.times[row, width - len(newest) :] = newest
        fires = self._holds_n(sorted([*times, *self._aside.of(key)]))
        if past and copies[0] < past[-1]:
            self._aside.put(key, older)
        return fires

    def _holds_n(self, times: list[int]) -> bool:
        """True if N of these, in order, lie within less than T."""
        ends = times[self.settings.n - 1 :]
        window_ns = self.settings.window_ns
        return any(end - begin < window_ns for begin, end in zip(times, ends, strict=False))

    def hottest(self, k: int) -> list[tuple[int, int]]:
        """The `k` pages nearest to firing, most errors first; behind them those that fired.

        The number is how many errors of the page lie in the window that ends with its newest one;
        for a page that fired it is N.
        """
        rows = self._pages.in_use()
        latched = self._pages.latched[rows]
        errors = np.where(latched, self.settings.n, self._in_window(rows))
        # One number to sort by: unlatched above latched, then errors, then the more recent.
        score = ((errors + np.where(latched, 0, N_MAX + 1)) << 56) + self._pages.touched[rows]
        k = min(k, len(rows))
        best = np.argpartition(score, len(rows) - k)[len(rows) - k :] if k else rows[:0]
        best = best[np.argsort(-score[best])]
        return list(zip(self._pages.keys[rows[best]].tolist(), errors[best].tolist(), strict=True))

    def _in_window(self, rows: I64) -> I64:
        times = self._pages.times[rows]
        recent = self._newest(rows)[:, None] - times < self.settings.window_ns
        errors: I64 = np.count_nonzero(recent & (times != NEVER), axis=1)
        return errors

    def snapshot(self) -> bytes:
        """All engines; equal engines give equal bytes."""
        file = BytesIO()
        columns = {**self._pages.columns(), **self._aside.columns()}
        np.savez(file, allow_pickle=False, records=self._records, **columns)
        return file.getvalue()

    def restore(self, snapshot: bytes) -> None:
        """Go on from `snapshot`, of any N and any size. `AgentError` if it is damaged."""
        pages = Slots(self.settings.pages_max, self.settings.n - 1)
        aside = Aside(self.settings.n - 1)
        try:
            with np.load(BytesIO(snapshot), allow_pickle=False) as file:
                columns = dict(file)
            records = int(columns.pop("records"))
            aside.fill(columns.pop("aside_keys"), columns.pop("aside_times"))
            pages.fill(**columns)
        except (
            ValueError,
            KeyError,
            TypeError,
            IndexError,
            EOFError,
            OSError,
            BadZipFile,
        ) as error:
            raise AgentError(f"engine snapshot: damaged ({error}); start without it") from None
        self._pages, self._aside, self._records = pages, aside, records


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    """A batch sorted by page, arrival order kept: `starts` and `ends` bound each page's run."""

    key: I64
    time: I64
    copies: I64
    page: I64
    starts: I64
    ends: I64

    @classmethod
    def of(cls, key: I64, time: I64, copies: I64) -> "_Runs":
        begins = np.ones(len(key), np.bool_)
        begins[1:] = key[1:] != key[:-1]
        starts = np.flatnonzero(begins)
        ends = np.append(starts[1:], len(key))
        return cls(key, time, copies, np.cumsum(begins) - 1, starts, ends)

    def only(self, chosen: Bools) -> "_Runs":
        return self.of(self.key[chosen], self.time[chosen], self.copies[chosen])

    def out_of_order(self, newest: I64) -> Bools:
        """For each page: does a record step behind the one before it, or behind `newest`?"""
        before = np.empty_like(self.time)
        before[1:] = self.time[:-1]
        before[self.starts] = newest
        out: Bools = np.logical_or.reduceat(self.time < before, self.starts)
        return out
