"""`pagewarden top` fits the terminal, and says how fast things count."""

import io

import pytest
from rich.console import Console

from agent.commands.rates import OVER_SECONDS, Rate
from agent.commands.top import Rates, Room, drawn, room
from agent.contract.status import CaseView, HotPage, Rest, StatusView, TopView

CASES = tuple(
    CaseView(id=f"c{n}", mfn=n, state="open", rest=Rest.OPEN, opened_at=1.0, moved_at=2.0)
    for n in range(64)
)
HOT = tuple(HotPage(mfn=n, errors=1, threshold=2) for n in range(10))
VIEW = TopView(
    at=1.0,
    status=StatusView(host="hv-1", version="1", healthy=True, hot_pages=HOT, cases={"open": 64}),
    open=64,
    under_way=CASES,
)


def lines(view: TopView, rows: int, columns: int) -> list[str]:
    console = Console(file=io.StringIO(), width=columns, height=rows)
    with console.capture() as capture:
        console.print(drawn(view, Rates(), rows))
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.mark.parametrize("rows", [12, 24, 40, 100])
@pytest.mark.parametrize("columns", [60, 80, 200])
def test_it_never_has_more_rows_than_the_terminal(rows: int, columns: int) -> None:
    assert len(lines(VIEW, rows, columns)) <= rows


@pytest.mark.parametrize("rows", [24, 60])
def test_a_taller_terminal_shows_more_cases_and_none_is_cut_off_unseen(rows: int) -> None:
    shown = sum(line.startswith("c") and line[1:2].isdigit() for line in lines(VIEW, rows, 80))
    assert shown == room(rows, len(HOT), 64).cases
    assert f"and {64 - shown} more" in lines(VIEW, rows, 80)


def test_rows_that_one_table_does_not_need_are_the_other_s() -> None:
    assert room(31, hot=2, cases=64) == Room(hot=2, cases=18)
    assert room(31, hot=10, cases=0) == Room(hot=10, cases=10)


def test_what_is_empty_says_so() -> None:
    view = VIEW.model_copy(update={"open": 0, "under_way": ()})
    assert "no case is under way" in lines(view, 24, 80)


def test_a_rate_is_none_before_the_second_look() -> None:
    rate = Rate()
    rate.see(1.0, 5)
    assert rate.per_second is None


def test_a_rate_is_of_the_last_seconds_and_not_since_the_start() -> None:
    rate = Rate()
    rate.see(0.0, 0)
    for second in range(1, 30):
        rate.see(float(second), 1000 + second)
    assert rate.per_second == pytest.approx(1.0)
    assert OVER_SECONDS < 30


def test_a_counter_that_began_anew_has_no_negative_rate() -> None:
    rate = Rate()
    rate.see(1.0, 500)
    rate.see(2.0, 3)
    assert rate.per_second is None
