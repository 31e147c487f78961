"""The picture of the demo fits the terminal, however many cases there are."""

import io
from types import SimpleNamespace
from typing import cast

import pytest
from rich.console import Console

from agent.contract.status import Rest
from emulator.demo.judge import Evidence
from emulator.demo.screen import Picture, cases_shown
from emulator.demo.stage import Stage
from tests.support.evidence import a_case, a_truth, evidence

STAGE = cast("Stage", SimpleNamespace(bus=SimpleNamespace(name="b"), metrics_url="http://b"))
LONG = a_truth().model_copy(update={"title": "Much goes bad. " * 20})
BUSY = evidence(LONG, cases=tuple(a_case(Rest.RETIRED) for _ in range(40)))


def rows_of(found: Evidence, rows: int, columns: int) -> int:
    console = Console(file=io.StringIO(), width=columns, height=rows)
    with console.capture() as capture:
        console.print(Picture(STAGE).drawn(found, rows))
    return len(capture.get().splitlines())


@pytest.mark.parametrize("rows", [18, 24, 40])
@pytest.mark.parametrize("columns", [80, 120])
def test_a_busy_run_has_no_more_rows_than_the_terminal(rows: int, columns: int) -> None:
    assert rows_of(BUSY, rows, columns) <= rows


def test_a_taller_terminal_shows_more_cases() -> None:
    assert cases_shown(BUSY, 24) < cases_shown(BUSY, 40)
