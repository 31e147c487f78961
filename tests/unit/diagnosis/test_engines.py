"""N errors in T: when an engine fires, and what it forgets. Its exactness is a property."""

import pytest

from agent.contract.errors import AgentError
from agent.diagnosis import aside
from agent.diagnosis.engines import Serd
from tests.support.batches import numbers

PAGE = 7


def fires(serd: Serd, *times_ns: int, page: int = PAGE, errors: int = 1) -> list[int]:
    """The places among `times_ns` at which the page fires."""
    many = [1] * len(times_ns)
    fired = serd.record(
        numbers(page * one for one in many),
        numbers(times_ns),
        numbers(errors * one for one in many),
    )
    return [int(at) for at in fired.index]


def a_serd(n: int = 3, window_ns: int = 10, pages_max: int = 100) -> Serd:
    return Serd(n, window_ns, pages_max)


def test_it_fires_on_the_nth_error() -> None:
    assert fires(a_serd(n=3), 1, 2, 3, 4) == [2]


def test_an_error_just_inside_the_window_counts() -> None:
    assert fires(a_serd(n=2, window_ns=10), 0, 9) == [1]


def test_an_error_exactly_one_window_ago_counts_no_more() -> None:
    assert fires(a_serd(n=2, window_ns=10), 0, 10) == []


def test_the_window_slides() -> None:
    """A bucket that is emptied at 0, 10, 20 … would see two errors, and one."""
    assert fires(a_serd(n=3, window_ns=10), 8, 9, 11) == [2]


def test_n_of_one_fires_on_the_first_error() -> None:
    assert fires(a_serd(n=1), 5, 6) == [0]


def test_a_record_that_counts_n_errors_fires_at_once() -> None:
    assert fires(a_serd(n=3), 5, errors=32767) == [0]


def test_counts_add_up() -> None:
    assert fires(a_serd(n=5), 1, 2, 3, errors=2) == [2]


def test_a_page_that_began_anew_fires_again_and_what_was_before_counts_no_more() -> None:
    serd = a_serd(n=2)
    fires(serd, 1, 2)
    serd.forget(numbers([PAGE]), numbers([3]))
    assert (fires(serd, 4), fires(serd, 5)) == ([], [0])


def test_what_came_after_a_page_began_anew_counts() -> None:
    """The same is forgotten once more at a start, and there may be newer errors by then."""
    serd = a_serd(n=3, window_ns=10)
    fires(serd, 1, 2, 3)
    fires(serd, 5)
    serd.forget(numbers([PAGE]), numbers([3]))
    assert fires(serd, 6) == [0]


def test_to_begin_anew_with_a_page_is_nothing_to_the_others() -> None:
    serd = a_serd(n=2)
    fires(serd, 1, page=8)
    serd.forget(numbers([PAGE, 9]), numbers([50, 50]))
    assert fires(serd, 2, page=8) == [0]


def test_what_a_clock_that_was_ahead_put_aside_is_forgotten_too() -> None:
    serd = a_serd(n=3, window_ns=10)
    fires(serd, 1000, 1001, 1, 2)
    serd.forget(numbers([PAGE]), numbers([2000]))
    assert fires(serd, 3) == []


@pytest.mark.parametrize("others", [0, 200])
def test_of_a_page_that_is_let_go_nothing_stays_that_was_put_aside(others: int) -> None:
    """Nor if it had made room for others by then."""
    serd = a_serd(n=3, window_ns=100)
    fires(serd, 10_000, 20_000, 500, 510)
    for page in range(others):
        fires(serd, 30_000, page=PAGE + 1 + page)
    serd.let_go(lambda keys: keys == PAGE)
    assert fires(serd, 10_000, 515) == []


def test_a_page_that_fired_does_not_fire_again() -> None:
    serd = a_serd(n=2)
    assert (fires(serd, 1, 2, 3), fires(serd, 100, 101)) == ([1], [])


def test_a_step_back_in_time_erases_nothing() -> None:
    assert fires(a_serd(n=3), 100, 101, 5, 102) == [3]


def test_a_late_record_completes_the_window_it_belongs_to() -> None:
    assert fires(a_serd(n=3), 1, 9, 5) == [2]


def test_a_late_record_exactly_one_window_away_completes_nothing() -> None:
    assert fires(a_serd(n=2, window_ns=10), 15, 5) == []


def test_a_record_may_be_late_by_a_whole_batch() -> None:
    serd = a_serd(n=3)
    assert (fires(serd, 1, 9), fires(serd, 5)) == ([], [0])


def test_a_batch_of_more_pages_than_there_is_room_for_fires_in_its_place() -> None:
    serd = a_serd(n=2, pages_max=2)
    fired = serd.record(numbers([1, 2, 3, 3]), numbers([1, 1, 1, 1]), numbers([1, 1, 1, 1]))
    assert fired.index.tolist() == [3]


def test_pages_do_not_add_up() -> None:
    serd = a_serd(n=2)
    assert fires(serd, 1, page=1) + fires(serd, 2, page=2) == []


def test_a_full_table_says_how_many_pages_had_to_go() -> None:
    serd = a_serd(pages_max=2)
    fired = serd.record(numbers([1, 2, 3]), numbers([1, 1, 1]), numbers([1, 1, 1]))
    assert (fired.evicted, len(serd)) == (1, 2)


def test_a_full_table_makes_room_for_many_at_a_time() -> None:
    serd = a_serd(pages_max=160)
    serd.record(numbers(range(160)), numbers([1] * 160), numbers([1] * 160))
    fires(serd, 2, page=1000)
    assert len(serd) == 151


def test_an_empty_batch_fires_nothing() -> None:
    assert fires(a_serd()) == []


def test_the_hottest_page_is_the_one_nearest_to_firing() -> None:
    serd = a_serd(n=4)
    fires(serd, 1, 2, page=1)
    fires(serd, 1, 2, 3, page=2)
    fires(serd, 1, 2, 3, 4, page=3)
    assert serd.hottest(5) == [(2, 3), (1, 2), (3, 4)]


def test_errors_outside_the_window_make_no_page_hot() -> None:
    serd = a_serd(n=4, window_ns=10)
    fires(serd, 1, 50, 55)
    assert serd.hottest(1) == [(PAGE, 2)]


def test_of_equals_the_one_touched_last_is_hotter() -> None:
    serd = a_serd()
    for page in (1, 2, 3):
        fires(serd, 1, page=page)
    assert serd.hottest(2) == [(3, 1), (2, 1)]


def test_no_page_is_hot_where_there_is_none() -> None:
    assert a_serd().hottest(3) == []


def test_a_snapshot_may_be_restored_into_an_engine_of_another_n() -> None:
    narrow, wide = a_serd(n=2), a_serd(n=4)
    fires(wide, 1, 2, 3)
    narrow.restore(wide.snapshot())
    assert fires(narrow, 4) == [0]
    wide.restore(narrow.snapshot())
    assert len(wide) == 1


def test_a_snapshot_larger_than_the_table_leaves_its_oldest_pages_behind() -> None:
    small, large = a_serd(pages_max=2), a_serd()
    for page in (1, 2, 3):
        fires(large, 1, page=page)
    small.restore(large.snapshot())
    assert [page for page, _ in small.hottest(9)] == [3, 2]


def test_a_snapshot_cut_anywhere_is_refused() -> None:
    serd = a_serd()
    fires(serd, 1, 2)
    snapshot = serd.snapshot()
    for length in range(0, len(snapshot), 7):
        with pytest.raises(AgentError, match="engine snapshot: damaged"):
            serd.restore(snapshot[:length])
    assert len(serd) == 1


@pytest.mark.parametrize(
    ("n", "window_ns", "pages_max", "named"),
    [(0, 1, 1, "n"), (17, 1, 1, "n"), (1, 0, 1, "window_ns"), (1, 1, 0, "pages_max")],
)
def test_a_setting_out_of_range_is_refused_by_name(
    n: int, window_ns: int, pages_max: int, named: str
) -> None:
    with pytest.raises(ValueError, match=f"^{named} must be"):
        Serd(n, window_ns, pages_max)


@pytest.mark.parametrize("n", [2, 3, 16])
def test_a_clock_put_right_after_being_ahead_does_not_blind_a_page(n: int) -> None:
    """The newest times lie in the future; the errors from now on must count all the same."""
    serd = a_serd(n, window_ns=100)
    assert fires(serd, *(10_000 + 200 * at for at in range(n - 1))) == []
    assert fires(serd, *range(n)) == [n - 1]


def test_what_was_put_aside_survives_a_snapshot() -> None:
    serd, restored = a_serd(n=2), a_serd(n=2)
    fires(serd, 1000, 1)
    restored.restore(serd.snapshot())
    assert fires(restored, 2) == [0]


def test_pages_with_something_put_aside_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside, "PAGES_MAX", 2)
    serd = a_serd(n=2)
    for page in (1, 2, 3):
        fires(serd, 1000, 1, page=page)
    assert [page for page in (2, 3, 1) if fires(serd, 2, page=page)] == [2, 3]
