"""Rows and banks of columns are a naive list a row and a bank, for every split and every order."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.contract.columns import UNKNOWN, Batch, Kind
from agent.diagnosis.dram import Dram, Failing
from agent.diagnosis.engines import SerdSettings
from agent.diagnosis.place import Place
from tests.property.test_engines import NaiveSerd
from tests.support.batches import a_batch


@dataclass(frozen=True, slots=True)
class Error:
    """As an ereport tells it; -1 and None where it does not."""

    dimm: str | None
    rank: int
    bank: int
    row: int
    time_ns: int
    count: int = 1
    kind: Kind = Kind.CE


class NaiveDram:
    """The meaning itself: an engine a row and one a bank; a failed row answers for its errors."""

    def __init__(self, row_n: int, bank_n: int, window_ns: int) -> None:
        self.rows, self.banks = _Naive(row_n, window_ns), _Naive(bank_n, window_ns)

    def judge(self, error: Error) -> list[Place]:
        if UNKNOWN in (error.rank, error.bank) or error.dimm is None or error.kind is Kind.UE:
            return []
        bank = Place(error.dimm, error.rank, error.bank)
        row = Place(error.dimm, error.rank, error.bank, error.row)
        failing = list[Place]()
        if error.row != UNKNOWN:
            failing += self.rows.failing(row, error)
        if error.row == UNKNOWN or not self.rows.has_failed(row):
            failing += self.banks.failing(bank, error)
        return failing


class _Naive:
    def __init__(self, n: int, window_ns: int) -> None:
        self._serd = NaiveSerd(n, window_ns) if n else None
        self._numbers: dict[Place, int] = {}

    def _number(self, place: Place) -> int:
        return self._numbers.setdefault(place, len(self._numbers))

    @property
    def seen(self) -> int:
        return len(self._numbers)

    def failing(self, place: Place, error: Error) -> list[Place]:
        if self._serd is None:
            return []
        fires = self._serd.record(self._number(place), error.time_ns, max(1, error.count))
        return [place] if fires else []

    def has_failed(self, place: Place) -> bool:
        return self._serd is not None and self._number(place) in self._serd.latched


def a_dram(row_n: int, bank_n: int, window_ns: int, most: int = 64) -> Dram:
    row = SerdSettings(row_n, window_ns, most) if row_n else None
    bank = SerdSettings(bank_n, window_ns, most) if bank_n else None
    return Dram(row, bank)


def a_batch_of(errors: Sequence[Error]) -> Batch:
    """Its labels stand in the order of their first error: in another one in each batch."""
    return a_batch(
        range(len(errors)),
        times_ns=[error.time_ns for error in errors],
        counts=[error.count for error in errors],
        kinds=[error.kind for error in errors],
        dimms=[error.dimm for error in errors],
        banks=[(error.rank, error.bank) for error in errors],
        rows=[error.row for error in errors],
    )


def places(failing: Sequence[Failing]) -> list[Place]:
    return [each.place for each in failing]


# Few places and times, so that they meet; coordinates at their ends, so that none runs over.
ERRORS = st.lists(
    st.builds(
        Error,
        dimm=st.sampled_from(["A", "B", None]),
        rank=st.sampled_from([0, 1, 255, UNKNOWN]),
        bank=st.sampled_from([0, (1 << 15) - 1, UNKNOWN]),
        row=st.sampled_from([0, 1, (1 << 28) - 1, UNKNOWN]),
        time_ns=st.integers(0, 20),
        count=st.sampled_from([0, 1, 1, 1, 2, 32767]),
        kind=st.sampled_from([Kind.CE, Kind.CE, Kind.CE, Kind.UE]),
    ),
    max_size=40,
)
# The same, of so few places that engines fill up, fire and go on.
CROWDED = st.lists(
    st.builds(
        Error,
        dimm=st.sampled_from(["A", "B"]),
        rank=st.just(0),
        bank=st.just(3),
        row=st.sampled_from([0, 1, 2, 3, UNKNOWN]),
        time_ns=st.integers(0, 20),
        count=st.sampled_from([1, 1, 1, 2, 32767]),
    ),
    max_size=40,
)
CUTS = st.lists(st.integers(0, 40), max_size=5)
ROW_NS, BANK_NS = st.integers(0, 4), st.integers(0, 6) | st.just(16)
WINDOWS = st.integers(1, 8)


@given(row_n=ROW_NS, bank_n=BANK_NS, window_ns=WINDOWS, errors=ERRORS | CROWDED, cuts=CUTS)
def test_batches_cut_anywhere_find_what_the_naive_lists_find(
    row_n: int, bank_n: int, window_ns: int, errors: list[Error], cuts: list[int]
) -> None:
    dram, naive = a_dram(row_n, bank_n, window_ns), NaiveDram(row_n, bank_n, window_ns)
    for begin, end in pairwise([0, *sorted(cuts), 40]):
        wear = dram.judge(a_batch_of(errors[begin:end]))
        expected = [place for error in errors[begin:end] for place in naive.judge(error)]
        assert places(wear.rows) == [place for place in expected if place.row is not None]
        assert places(wear.banks) == [place for place in expected if place.row is None]


@given(errors=ERRORS | CROWDED, more=ERRORS | CROWDED, row_n=ROW_NS, bank_n=BANK_NS)
def test_a_restored_dram_goes_on_as_if_nothing_had_happened(
    errors: list[Error], more: list[Error], row_n: int, bank_n: int
) -> None:
    dram, again = a_dram(row_n, bank_n, 8), a_dram(row_n, bank_n, 8)
    dram.judge(a_batch_of(errors))
    again.restore(dram.frozen()())
    assert again.judge(a_batch_of(more)) == dram.judge(a_batch_of(more))
    assert again.frozen()() == dram.frozen()()


@given(errors=ERRORS | CROWDED, most=st.integers(1, 3), cuts=CUTS)
def test_no_more_rows_and_banks_are_kept_than_was_said_and_those_that_go_are_counted(
    errors: list[Error], most: int, cuts: list[int]
) -> None:
    dram, naive = a_dram(2, 3, 8, most), NaiveDram(2, 3, 8)
    evicted = 0
    for begin, end in pairwise([0, *sorted(cuts), 40]):
        evicted += dram.judge(a_batch_of(errors[begin:end])).rows_evicted
        assert max(len(dram.rows), len(dram.banks)) <= most
    for error in errors:
        naive.judge(error)
    assert evicted >= naive.rows.seen - len(dram.rows)
