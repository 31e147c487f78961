"""What counts against a row and a bank, and what does not. Exactness is a property."""

import struct

import pytest

from agent.contract.columns import UNKNOWN, Kind
from agent.contract.errors import AgentError
from agent.diagnosis.dram import Dram, Failing, Hot, Wear
from agent.diagnosis.engines import SerdSettings
from agent.diagnosis.place import DIMMS_MAX, RANKS_MAX, ROWS_MAX, Place
from tests.support.batches import a_batch

HOUR_NS = 3600 * 10**9
ROW = Place("A", 1, 7, 4242)
OTHER_ROW = Place("A", 1, 7, 4243)
BANK = Place("A", 1, 7)


def a_dram(row_n: int = 2, bank_n: int = 4, most: int = 100) -> Dram:
    day = 24 * HOUR_NS
    row = SerdSettings(row_n, day, most) if row_n else None
    return Dram(row, SerdSettings(bank_n, day, most) if bank_n else None)


def errors(dram: Dram, *places: Place, kind: Kind = Kind.CE, is_located: bool = True) -> Wear:
    """One error at each of `places`, all of them in one batch."""
    return dram.judge(
        a_batch(
            range(len(places)),
            mfns=None if is_located else [None] * len(places),
            kinds=[kind] * len(places),
            dimms=[place.dimm for place in places],
            banks=[(place.rank, place.bank) for place in places],
            rows=[UNKNOWN if place.row is None else place.row for place in places],
        )
    )


def test_a_row_fails_on_its_nth_error_and_says_so_once() -> None:
    dram = a_dram()
    assert errors(dram, ROW).rows == ()
    assert errors(dram, ROW).rows == (Failing(ROW, 1_000, "2 errors in 24 h"),)
    assert errors(dram, ROW, ROW).rows == ()


def test_a_row_is_known_by_the_label_of_its_dimm_wherever_a_batch_lists_it() -> None:
    dram = a_dram()
    errors(dram, ROW, Place("B", 1, 7, 4242))
    (row,) = errors(dram, Place("C", 0, 0, 0), ROW).rows
    assert row.place == ROW


def test_an_error_that_names_no_page_counts_against_its_row_all_the_same() -> None:
    dram = a_dram()
    assert len(errors(dram, ROW, ROW, is_located=False).rows) == 1


def test_an_uncorrected_error_counts_against_no_row() -> None:
    dram = a_dram()
    assert errors(dram, ROW, ROW, kind=Kind.UE) == Wear()


def test_an_ereport_without_a_row_counts_against_its_bank() -> None:
    dram = a_dram()
    wear = errors(dram, BANK, BANK, BANK, BANK)
    assert [failing.place for failing in (*wear.rows, *wear.banks)] == [BANK]


@pytest.mark.parametrize("place", [Place("A", UNKNOWN, 7, 1), Place("A", 1, UNKNOWN, 1)])
def test_an_ereport_that_does_not_name_its_bank_counts_against_none(place: Place) -> None:
    dram = a_dram(row_n=1, bank_n=1)
    assert errors(dram, place) == Wear()


def test_one_bad_row_is_no_bad_bank() -> None:
    dram = a_dram()
    assert errors(dram, *[ROW] * 100).banks == ()


def test_errors_in_many_rows_are_a_bad_bank() -> None:
    dram = a_dram()
    (bank,) = errors(dram, *(Place("A", 1, 7, row) for row in range(4))).banks
    assert bank.place == BANK


def test_where_rows_are_not_judged_all_counts_against_the_bank() -> None:
    dram = a_dram(row_n=0)
    (bank,) = errors(dram, ROW, ROW, ROW, ROW).banks
    assert bank.place == BANK


def test_where_banks_are_not_judged_rows_are() -> None:
    wear = errors(a_dram(bank_n=0), ROW, ROW, OTHER_ROW, OTHER_ROW)
    assert ([row.place for row in wear.rows], wear.banks) == ([ROW, OTHER_ROW], ())


@pytest.mark.parametrize("place", [Place("A", RANKS_MAX, 7, 1), Place("A", 1, 7, ROWS_MAX)])
def test_a_row_that_no_dimm_has_is_counted_and_no_row_blamed(place: Place) -> None:
    dram = a_dram(row_n=1, bank_n=1)
    assert errors(dram, place) == Wear(misplaced=1)


def test_there_may_be_so_many_dimms_and_those_that_came_first_are_judged_on() -> None:
    dram = a_dram(row_n=1, bank_n=0)
    for begin in range(0, DIMMS_MAX, 1024):
        errors(dram, *(Place(f"D{number}", 0, 0, 0) for number in range(begin, begin + 1024)))
    assert errors(dram, ROW).misplaced == 1
    (row,) = errors(dram, Place("D0", 0, 0, 1)).rows
    assert row.place.dimm == "D0"


def test_the_hottest_rows_are_those_that_failed_and_then_those_nearest_to_it() -> None:
    dram = a_dram(row_n=3)
    colder = Place("B", 0, 0, 1)
    errors(dram, ROW, ROW, ROW, colder, OTHER_ROW, OTHER_ROW)
    hottest = (Hot(ROW, 3, 3), Hot(OTHER_ROW, 2, 3), Hot(colder, 1, 3))
    assert dram.rows.hottest(9) == hottest
    assert dram.rows.hottest(2) == hottest[:2]


def test_what_is_not_judged_is_not_hot() -> None:
    dram = Dram()
    errors(dram, ROW)
    assert (dram.rows.hottest(9), dram.banks.hottest(9), len(dram.rows)) == ((), (), 0)


def test_rows_that_were_not_judged_before_begin_with_nothing() -> None:
    before, now = a_dram(row_n=0), a_dram()
    errors(before, ROW, ROW)
    now.restore(before.frozen()())
    assert (len(now.rows), len(now.banks)) == (0, 1)


def test_what_is_not_judged_any_more_is_let_go() -> None:
    before, now = a_dram(), Dram()
    errors(before, ROW)
    now.restore(before.frozen()())
    assert errors(now, ROW) == Wear()


def test_a_snapshot_cut_anywhere_is_refused() -> None:
    dram = a_dram()
    errors(dram, ROW, OTHER_ROW)
    snapshot = dram.frozen()()
    for length in range(len(snapshot)):
        with pytest.raises(AgentError, match="start without"):
            a_dram().restore(snapshot[:length])


def test_labels_that_are_none_are_refused() -> None:
    dram = a_dram()
    errors(dram, ROW)
    snapshot = dram.frozen()().replace(b'["A"]', b'["A"[')
    with pytest.raises(AgentError, match="labels of DIMMs: damaged"):
        a_dram().restore(snapshot)


def test_a_failed_row_that_goes_on_is_the_last_to_be_forgotten() -> None:
    """Forgotten, it would fail once more, and be told once more."""
    dram = a_dram(row_n=2, most=2)
    errors(dram, ROW, ROW)
    errors(dram, OTHER_ROW)
    errors(dram, ROW)
    assert errors(dram, Place("B", 0, 0, 0)).rows_evicted == 1
    assert errors(dram, ROW, ROW).rows == ()


# Another DIMM in the slot


def hot_rows(dram: Dram) -> list[Place]:
    return [hot.place for hot in dram.rows.hottest(10)]


def test_what_a_replaced_dimm_had_is_forgotten_and_of_the_others_nothing() -> None:
    dram = a_dram()
    dram.meet({"A": "old", "B": "stays"})
    errors(dram, ROW, ROW, Place("B", 1, 7, 1), BANK)
    assert dram.meet({"A": "new", "B": "stays"}) == ("A",)
    assert hot_rows(dram) == [Place("B", 1, 7, 1)]
    assert [hot.place for hot in dram.banks.hottest(10)] == [Place("B", 1, 7)]


def test_a_row_of_the_new_dimm_fails_by_its_own_errors() -> None:
    dram = a_dram()
    dram.meet({"A": "old"})
    errors(dram, ROW, ROW)
    dram.meet({"A": "new"})
    assert errors(dram, ROW).rows == ()
    assert len(errors(dram, ROW).rows) == 1


def test_a_dimm_that_nobody_knew_is_not_taken_for_another() -> None:
    """Nor one of which the host says nothing this time."""
    dram = a_dram()
    errors(dram, ROW)
    assert dram.meet({"A": "first"}) == ()
    assert dram.meet({}) == ()
    assert hot_rows(dram) == [ROW]
    assert dram.meet({"A": "second"}) == ("A",)


def test_which_dimm_was_there_is_remembered_across_a_start() -> None:
    dram, next_life = a_dram(), a_dram()
    dram.meet({"A": "old"})
    errors(dram, ROW)
    next_life.restore(dram.frozen()())
    assert next_life.meet({"A": "new"}) == ("A",)
    assert hot_rows(next_life) == []


def test_a_snapshot_of_before_dimms_were_remembered_is_taken_over() -> None:
    old, dram = a_dram(), a_dram()
    errors(old, ROW)
    labels, rows, banks = b'["A"]', old.rows.frozen()(), old.banks.frozen()()
    dram.restore(struct.pack("<QQQ", *map(len, (labels, rows, banks))) + labels + rows + banks)
    assert hot_rows(dram) == [ROW]
    assert dram.meet({"A": "first"}) == ()
