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

A page is whatever a key stands for: rows and banks are counted by engines of their own (`dram.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from zipfile import BadZipFile

import numpy as np

from agent.contract.columns import I64, Bools
from agent.contract.durations import in_words
from agent.contract.errors import AgentError
from agent.diagnosis.aside import Aside
from agent.diagnosis.index import NOBODY
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


def reason_of(settings: SerdSettings) -> str:
    """What firing means, for people: `2 errors in 24 h`."""
    errors = "1 error" if settings.n == 1 else f"{settings.n} errors"
    return f"{errors} in {in_words(settings.window_ns)}"


@dataclass(frozen=True, slots=True, eq=False)
class Fired:
    """Where in the batch a page fired (rising), and how many pages had to make room for others.

    `over`, of an engine that fires for good: which records are those of pages that have fired, from
    the record on which they did.
    """

    index: I64
    evicted: int
    over: Bools


_NOBODY_IS_OVER: Bools = np.zeros(0, np.bool_)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one page stands: `errors` in the window that ends with its newest, N if it fired."""

    errors: int
    fired: bool
    times_ns: tuple[int, ...] = ()


class Serd:
    """One engine for each page that had an error lately. Keys and times are never negative.

    With `for_good` a page that fired will not be told to `forget`. So nothing of it needs to be
    counted any more, and a storm on pages that fired costs little.
    """

    def __init__(self, n: int, window_ns: int, pages_max: int, *, for_good: bool = False) -> None:
        self.settings = SerdSettings(n, window_ns, pages_max)
        self._for_good = for_good
        self._pages = Slots(pages_max, width=n - 1)
        self._aside = Aside(width=n - 1)
        self._records = 0

    def __len__(self) -> int:
        return len(self._pages)

    def record(self, keys: I64, time_ns: I64, errors: I64) -> Fired:
        """Count a batch, record by record in this order; a page fires on exactly one of them.

        `errors` are at least 1 each.
        """
        at_once = self.settings.pages_max  # no part can name more pages than there is room for
        parts = [
            self._record(
                keys[at : at + at_once], time_ns[at : at + at_once], errors[at : at + at_once]
            )
            for at in range(0, len(keys), at_once)
        ]
        index = [part.index + at_once * number for number, part in enumerate(parts)]
        over = [part.over for part in parts]
        return Fired(
            np.concatenate((np.zeros(0, np.int64), *index)),
            sum(part.evicted for part in parts),
            np.concatenate((np.zeros(0, np.bool_), *over)),
        )

    def _record(self, keys: I64, time_ns: I64, errors: I64) -> Fired:
        rows, evicted = self._pages.rows_of(keys)
        copies = np.minimum(errors, self.settings.n)
        if not self._for_good:
            return Fired(self._fire(rows, time_ns, copies), evicted, _NOBODY_IS_OVER)
        over = self._pages.latched(rows)
        self._touch(rows[over])
        left = np.flatnonzero(~over)
        if not len(left):
            return Fired(left, evicted, over)
        hits = left[self._fire(rows[left], time_ns[left], copies[left])]
        return Fired(hits, evicted, over | _from_hit_on(rows, hits))

    def _touch(self, rows: I64) -> None:
        """Nothing of these latched rows but that they erred last; where one comes twice, its last
        time counts.
        """
        self._pages.stamp(rows, self._records + np.arange(len(rows)), np.ones(len(rows), np.bool_))
        self._records += len(rows)

    def _fire(self, rows: I64, time_ns: I64, copies: I64) -> I64:
        """Count the records of these rows; the places among them, rising, at which one fires."""
        runs = _Runs.of(rows, time_ns, copies)
        pages = runs.row[runs.starts]
        latched = self._pages.latched(pages)
        hits = np.flatnonzero(self._count(pages, runs) & ~latched[runs.page])
        hits = hits[_begins(runs.page[hits])]  # the first of each page
        latched[runs.page[hits]] = True
        self._pages.stamp(pages, self._records + runs.place[runs.ends - 1], latched)
        self._records += len(rows)
        return np.sort(runs.place[hits])

    def _count(self, pages: I64, runs: "_Runs") -> Bools:
        """Put the records into the rows of their `pages`; which of them complete N in T."""
        untidy = runs.out_of_order(self._newest(pages))
        if not untidy.any():
            return self._sweep(pages, runs)
        chosen = ~untidy[runs.page]
        fires = np.zeros(len(runs.row), np.bool_)
        if chosen.any():
            fires[chosen] = self._sweep(pages[~untidy], runs.only(chosen))
        late = np.flatnonzero(~chosen)
        for at in late[np.argsort(runs.place[late])].tolist():
            copies = [int(runs.time[at])] * int(runs.copies[at])
            fires[at] = self._insert(int(runs.row[at]), copies)
        return fires

    def _newest(self, rows: I64) -> I64:
        if not self._pages.width:
            return np.full(len(rows), NEVER, np.int64)
        newest: I64 = self._pages.times[-1][rows]
        return newest

    def _sweep(self, pages: I64, runs: "_Runs") -> Bools:
        """All pages at once. `line` is each page's past, then its records, `copies` times each."""
        times, width = self._pages.times, self._pages.width
        last = runs.last_copies()
        last += (runs.page + 1) * width  # that many places of pasts stand before a record
        line = np.empty(int(last[-1]) + 1, np.int64)
        runs.write_times(line, last)
        begins = (last - runs.copies)[runs.starts] + 1 - width
        for at in range(width):
            line[begins + at] = times[at][pages]
        newest = last[runs.ends - 1]
        for at in range(width):
            times[at][pages] = line[newest - (width - 1 - at)]
        back = line[last - width]
        fires: Bools = (runs.time - back < self.settings.window_ns) & (back != NEVER)
        return fires

    def _insert(self, row: int, copies: list[int]) -> bool:
        """One record of a page that is out of order, put where it belongs."""
        width, key = self._pages.width, int(self._pages.keys[row])
        past = [time for time in self._pages.times[:, row].tolist() if time != NEVER]
        times = sorted([*past, *copies])
        older, newest = times[: max(0, len(times) - width)], times[max(0, len(times) - width) :]
        self._pages.times[width - len(newest) :, row] = newest
        fires = self._holds_n(sorted([*times, *self._aside.of(key)]))
        if past and copies[0] < past[-1]:
            self._aside.put(key, older)
        return fires

    def _holds_n(self, times: list[int]) -> bool:
        """True if N of these, in order, lie within less than T."""
        ends = times[self.settings.n - 1 :]
        window_ns = self.settings.window_ns
        return any(end - begin < window_ns for begin, end in zip(times, ends, strict=False))

    def forget(self, keys: I64, before_ns: I64) -> None:
        """These distinct pages begin anew: errors before each one's time count no more, and it may
        fire again.
        """
        rows = self._pages.find(keys)
        known = rows != NOBODY
        rows, before_ns = rows[known], before_ns[known]
        times = self._pages.times[:, rows]
        self._pages.times[:, rows] = np.sort(np.where(times < before_ns, NEVER, times), axis=0)
        self._pages.unlatch(rows)
        for key in keys.tolist():
            self._aside.drop(key)

    def let_go(self, chosen: Callable[[I64], Bools]) -> None:
        """Begin anew with the pages whose keys are `chosen`, as if nobody had heard of them."""
        rows = self._pages.in_use()
        self._pages.drop(rows[chosen(self._pages.keys[rows])])
        self._aside.let_go(chosen)

    def hottest(self, k: int) -> list[tuple[int, int]]:
        """The `k` pages nearest to firing, most errors first; behind them those that fired.

        The number is how many errors of the page lie in the window that ends with its newest one;
        for a page that fired it is N.
        """
        rows = self._pages.in_use()
        latched, errors = self._pages.latched(rows), self._errors(rows)
        # One number to sort by: unlatched above latched, then errors, then the more recent.
        score = ((errors + np.where(latched, 0, N_MAX + 1)) << 56) + self._pages.touched(rows)
        k = min(k, len(rows))
        best = np.argpartition(score, len(rows) - k)[len(rows) - k :] if k else rows[:0]
        best = best[np.argsort(-score[best])]
        return list(zip(self._pages.keys[rows[best]].tolist(), errors[best].tolist(), strict=True))

    def fired(self, k: int) -> list[int]:
        """The `k` pages that fired and were touched last, the latest first."""
        rows = self._pages.in_use()
        rows = rows[self._pages.latched(rows)]
        latest = rows[np.argsort(-self._pages.touched(rows))][:k]
        keys: list[int] = self._pages.keys[latest].tolist()
        return keys

    def all(self) -> tuple[I64, I64]:
        """Every page that is counted, and its number as `hottest` says it."""
        rows = self._pages.in_use()
        return self._pages.keys[rows], self._errors(rows)

    def standing(self, key: int) -> Standing:
        """Where this page stands; a page that nothing is known of had no error."""
        rows = self._pages.find(np.array([key], np.int64))
        if rows[0] == NOBODY:
            return Standing(0, fired=False)
        times = tuple(time for time in self._pages.times[:, rows[0]].tolist() if time != NEVER)
        fired = bool(self._pages.latched(rows)[0])
        return Standing(int(self._errors(rows)[0]), fired, times)

    def _errors(self, rows: I64) -> I64:
        errors: I64 = np.where(self._pages.latched(rows), self.settings.n, self._in_window(rows))
        return errors

    def _in_window(self, rows: I64) -> I64:
        times = self._pages.times[:, rows]
        recent = self._newest(rows) - times < self.settings.window_ns
        errors: I64 = np.count_nonzero(recent & (times != NEVER), axis=0)
        return errors

    def snapshot(self) -> bytes:
        """All engines; equal engines give equal bytes."""
        return self.frozen()()

    def frozen(self) -> Callable[[], bytes]:
        """A copy of all engines as they are now; call it, in any thread, for the snapshot."""
        pages, aside, records = self._pages.copied(), self._aside.columns(), self._records

        def snapshot() -> bytes:
            file = BytesIO()
            columns = {**pages.columns(), **aside}
            np.savez(file, allow_pickle=False, records=records, **columns)
            return file.getvalue()

        return snapshot

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
    """A batch sorted by row, arrival order kept: `starts` and `ends` bound each page's run.

    `place` is where a record stood in the batch, `page` counts the runs.
    """

    place: I64
    row: I64
    time: I64
    copies: I64
    page: I64
    starts: I64
    ends: I64

    @classmethod
    def of(cls, rows: I64, time: I64, copies: I64) -> "_Runs":
        # One number to sort by is several times faster than a stable sort that says where from.
        bits = len(rows).bit_length()
        sorted_by = rows << bits
        sorted_by |= np.arange(len(rows))
        sorted_by.sort()
        place = sorted_by & ((1 << bits) - 1)
        return cls._of_sorted(place, sorted_by >> bits, time[place], copies[place])

    @classmethod
    def _of_sorted(cls, place: I64, row: I64, time: I64, copies: I64) -> "_Runs":
        begins = _begins(row)
        starts = np.flatnonzero(begins)
        ends = np.empty_like(starts)
        ends[:-1] = starts[1:]
        ends[-1] = len(row)
        return cls(place, row, time, copies, np.cumsum(begins) - 1, starts, ends)

    def last_copies(self) -> I64:
        """Where the last copy of each record stands, when all copies stand in one line."""
        return np.cumsum(self.copies) - 1

    def write_times(self, line: I64, last: I64) -> None:
        """Put each record's time at `last`, and its other copies before that."""
        line[last] = self.time
        for copies in range(2, int(self.copies.max()) + 1):
            more = np.flatnonzero(self.copies >= copies)
            line[last[more] - (copies - 1)] = self.time[more]

    def only(self, chosen: Bools) -> "_Runs":
        columns = (self.place, self.row, self.time, self.copies)
        return self._of_sorted(*(column[chosen] for column in columns))

    def out_of_order(self, newest: I64) -> Bools:
        """For each page: does a record step behind the one before it, or behind `newest`?"""
        before = np.empty_like(self.time)
        before[1:] = self.time[:-1]
        before[self.starts] = newest
        steps_back = self.time < before
        if not steps_back.any():
            return np.zeros(len(newest), np.bool_)
        out: Bools = np.logical_or.reduceat(steps_back, self.starts)
        return out


def _from_hit_on(rows: I64, hits: I64) -> Bools:
    """Which records are of a row that is hit, and not before it is; no row is hit twice."""
    if not len(hits):
        return np.zeros(len(rows), np.bool_)
    hits = hits[np.argsort(rows[hits])]
    hit = hits[np.minimum(np.searchsorted(rows[hits], rows), len(hits) - 1)]
    behind: Bools = (rows == rows[hit]) & (np.arange(len(rows)) >= hit)
    return behind


def _begins(column: I64) -> Bools:
    """Where a value differs from the one before it."""
    begins = np.ones(len(column), np.bool_)
    np.not_equal(column[1:], column[:-1], out=begins[1:])
    return begins
