"""The numbers of one boot: seen, missing, asked for, given up."""

import numpy as np
import pytest

from agent.diagnosis.numbering import Gap, Numbering, Patience, Taken

PATIENCE = Patience(asks_max=3, seconds=2.0, seconds_max=5.0)


def take(numbering: Numbering, *seqs: int, gaps_max: int = 1024) -> Taken:
    return numbering.take(np.array(seqs, np.uint64), gaps_max)


def ranges(numbering: Numbering) -> list[tuple[int, int]]:
    return [(gap.first, gap.last) for gap in numbering.gaps]


def test_numbers_in_order_are_all_new_and_leave_no_gap() -> None:
    taken = take(Numbering(), 0, 1, 2)
    assert (taken.new.tolist(), taken.after) == ([True] * 3, Numbering(next_seq=3))


def test_a_numbering_starts_at_zero() -> None:
    """The first batch that arrives need not be the first that was sent."""
    assert ranges(take(Numbering(), 5, 6).after) == [(0, 4)]


def test_a_skipped_number_is_a_gap_and_is_told_once() -> None:
    first = take(Numbering(), 0, 2)
    assert [(gap.first, gap.last) for gap in first.opened] == [(1, 1)]
    assert take(first.after, 3, 4).opened == ()


def test_a_number_seen_twice_in_one_batch_is_new_where_it_stands_first() -> None:
    assert take(Numbering(), 1, 0, 1, 0).new.tolist() == [True, True, False, False]


def test_a_late_number_closes_its_gap() -> None:
    assert take(take(Numbering(), 0, 2).after, 1).after == Numbering(next_seq=3)


def test_a_late_number_in_the_middle_splits_its_gap() -> None:
    assert ranges(take(take(Numbering(), 9).after, 4).after) == [(0, 3), (5, 8)]


def test_a_batch_may_fill_one_gap_repeat_a_number_and_open_another() -> None:
    taken = take(take(Numbering(), 0, 3).after, 7, 3, 2)
    assert taken.new.tolist() == [True, False, True]
    assert ranges(taken.after) == [(1, 1), (4, 6)]


def test_the_widest_gap_there_can_be_is_one_gap() -> None:
    after = take(Numbering(), 0, 2**63 - 2).after
    assert (ranges(after), after.missing) == ([(1, 2**63 - 3)], 2**63 - 3)


def test_the_last_number_there_is_can_be_taken() -> None:
    after = take(Numbering(), 2**63 - 1).after
    assert take(after, 2**63 - 1).new.tolist() == [False]


def test_beyond_the_bound_the_oldest_gap_is_forgotten_and_lost() -> None:
    after = take(Numbering(), 3, 5, gaps_max=1).after
    assert (ranges(after), after.lost) == ([(4, 4)], 3)


def test_what_arrives_for_a_forgotten_gap_is_a_duplicate() -> None:
    after = take(Numbering(), 3, 5, gaps_max=1).after
    assert not take(after, 0).new.any()


def test_a_gap_is_asked_for_at_growing_distances_and_then_given_up() -> None:
    numbering = take(Numbering(), 1).after
    asked_at: list[int] = []
    for second in range(30):
        numbering, asks = numbering.ask(float(second), PATIENCE)
        asked_at += [second] * len(asks)
    assert asked_at == [0, 2, 6]
    assert (numbering.missing, numbering.lost) == (0, 1)


@pytest.mark.parametrize(("asked", "seconds"), [(0, 2.0), (1, 4.0), (2, 5.0), (10_000, 5.0)])
def test_patience_doubles_up_to_its_bound(asked: int, seconds: float) -> None:
    assert PATIENCE.after(asked) == seconds


def given_up(*seqs: int) -> Numbering:
    numbering = take(Numbering(), *seqs).after
    for second in range(30):
        numbering, _ = numbering.ask(float(second), PATIENCE)
    return numbering


def test_a_given_up_gap_holds_the_frontier_back_no_more() -> None:
    assert take(Numbering(), 5).after.frontier == 0
    assert given_up(5).frontier == 6


def test_what_arrives_after_it_was_given_up_is_let_in_once() -> None:
    taken = take(given_up(5), 2)
    assert taken.new.all()
    assert not take(taken.after, 2).new.any()


def test_what_remains_of_a_given_up_gap_stays_given_up() -> None:
    after = take(given_up(5), 2).after
    assert (after.missing, after.lost) == (0, 5)


def test_a_gap_that_shrinks_is_left_to_fill_before_it_is_asked_for_again() -> None:
    """The rest of what was asked for is likely on its way."""
    numbering, _ = take(Numbering(), 5).after.ask(0.0, PATIENCE)
    numbering = take(numbering, 0).after
    numbering, soon = numbering.ask(100.0, PATIENCE)
    _, later = numbering.ask(102.0, PATIENCE)
    assert (soon, [gap.first for gap in later]) == ((), [1])


def test_a_source_that_answers_is_not_given_up_on() -> None:
    numbering = Numbering(next_seq=9, gaps=(Gap(0, 7, asked=3, due_at=0.0),))
    assert take(numbering, 0).after.gaps[0].asked == 0
