"""The engine on columns is a naive list a page, for every split into batches and every order."""

from collections import defaultdict
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agent.diagnosis.engines import N_MAX, Serd

Record = tuple[int, int, int]  # page, time in ns, errors


class NaiveSerd:
    """The meaning itself: a sorted list of the newest N - 1 times a page, and a set of latches.

    What a late record leaves no room for is put aside, the last N - 1 of those to come.
    """

    def __init__(self, n: int, window_ns: int) -> None:
        self.n, self.window_ns = n, window_ns
        self.times: dict[int, list[int]] = defaultdict(list)
        self.aside: dict[int, list[int]] = defaultdict(list)
        self.latched: set[int] = set()

    def record(self, page: int, time_ns: int, errors: int) -> bool:
        is_late = bool(self.times[page]) and time_ns < self.times[page][-1]
        times = sorted(self.times[page] + [time_ns] * min(errors, self.n))
        known = sorted(times + self.aside[page])
        full = any(
            known[at + self.n - 1] - known[at] < self.window_ns
            for at in range(len(known) - self.n + 1)
        )
        room = len(times) - min(self.n - 1, len(times))
        self.times[page] = times[room:]
        if is_late:
            aside = self.aside[page] + times[:room]
            self.aside[page] = aside[len(aside) - min(self.n - 1, len(aside)) :]
        fires = full and page not in self.latched
        if fires:
            self.latched.add(page)
        return fires

    def hottest(self) -> dict[int, int]:
        """How many errors of each page lie in the window that ends with its newest."""
        within = {p: [t for t in ts if ts[-1] - t < self.window_ns] for p, ts in self.times.items()}
        return {p: self.n if p in self.latched else len(ts) for p, ts in within.items()}


def feed(serd: Serd, records: list[Record]) -> list[int]:
    """The places among `records` at which `serd` fired."""
    page, time_ns, errors = np.array(records, np.int64).reshape(-1, 3).T
    return list(map(int, serd.record(page, time_ns, errors).index))


# Few pages, few times and small N: ties, late records and windows just full are what this is about.
PAGES = 3
NS = st.integers(1, 4) | st.integers(1, N_MAX)
WINDOWS = st.integers(1, 6)
ERRORS = st.just(1) | st.integers(1, 3) | st.sampled_from([20, 32767])
RECORDS = st.lists(st.tuples(st.integers(1, PAGES), st.integers(0, 20), ERRORS), max_size=40)


@given(
    n=NS,
    window_ns=WINDOWS,
    pages_max=st.sampled_from([PAGES, 64]),
    records=RECORDS,
    cuts=st.lists(st.integers(0, 40), max_size=5),
)
def test_batches_cut_anywhere_fire_where_the_naive_list_fires(
    n: int, window_ns: int, pages_max: int, records: list[Record], cuts: list[int]
) -> None:
    serd, naive = Serd(n, window_ns, pages_max), NaiveSerd(n, window_ns)
    fired: list[int] = []
    for begin, end in pairwise([0, *sorted(cuts), 40]):
        fired += [begin + at for at in feed(serd, records[begin:end])]
    assert fired == [at for at, record in enumerate(records) if naive.record(*record)]
    assert dict(serd.hottest(PAGES)) == naive.hottest()


@given(n=NS, window_ns=WINDOWS, records=RECORDS)
def test_in_order_the_newest_times_are_all_that_one_needs(
    n: int, window_ns: int, records: list[Record]
) -> None:
    """Against the definition with nothing forgotten: N errors in (t - T, t]."""
    records.sort(key=lambda record: record[1])
    expected: list[int] = []
    for page in {page for page, _, _ in records}:
        for at, (_, now, _) in enumerate(records):
            mine = [(t, c) for p, t, c in records[: at + 1] if p == page]
            if records[at][0] == page and sum(c for t, c in mine if now - t < window_ns) >= n:
                expected.append(at)
                break
    assert feed(Serd(n, window_ns, pages_max=64), records) == sorted(expected)


@given(n=NS, window_ns=WINDOWS, records=RECORDS, more=RECORDS)
def test_a_restored_engine_goes_on_as_if_nothing_had_happened(
    n: int, window_ns: int, records: list[Record], more: list[Record]
) -> None:
    serd, again = Serd(n, window_ns, PAGES), Serd(n, window_ns, PAGES)
    feed(serd, records)
    again.restore(serd.snapshot())
    assert (feed(again, more), again.snapshot()) == (feed(serd, more), serd.snapshot())


@given(n=NS, records=RECORDS, pages_max=st.integers(1, 3))
def test_a_full_table_forgets_the_pages_that_were_touched_least_recently(
    n: int, records: list[Record], pages_max: int
) -> None:
    serd = Serd(n, 10, pages_max)
    feed(serd, records)
    recent = dict.fromkeys(page for page, _, _ in reversed(records))
    assert {page for page, _ in serd.hottest(9)} == set(list(recent)[:pages_max])
