"""The dashboards keep our rules, and every panel of them has something to show of a real day."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from dashboards import limits
from dashboards.__main__ import BOARDS, HERE
from dashboards.grafana import as_json, steps
from dashboards.lint import findings, panels_of, unshown
from dashboards.proof import Asked
from dashboards.rules import ALERTS, Alert

KEPT = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in HERE.glob("grafana/*")}
LEAST = {limits.COMMITS_MIN, limits.PAUSES_MIN, limits.ERRORS_LATELY, limits.PAUSED_SECONDS_LATELY}

Board = dict[str, Any]


@pytest.mark.parametrize("name", KEPT)
def test_a_dashboard_keeps_the_rules(name: str) -> None:
    assert findings(KEPT[name]) == []


def test_every_metric_is_on_some_panel_or_said_to_be_on_none() -> None:
    assert unshown(KEPT.values()) == []


def test_what_an_alert_compares_with_is_drawn_on_a_panel_and_nothing_else_is() -> None:
    """But for what only says whether there is enough to speak of."""
    compared = {limit for alert in ALERTS for limit in alert.limits} - LEAST
    drawn = {panel.limit for board in BOARDS for panel in board.panels if panel.limit}
    assert compared == drawn


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_compares_with_its_limits(alert: Alert) -> None:
    for limit in alert.limits:
        number = limit.page if alert.name == "PagewardenDimmReplace" else limit.warn
        assert f" {number:g}" in alert.expr


def test_thresholds_are_green_on_the_good_side() -> None:
    assert [step["color"] for step in steps(limits.DIMM_RATIO)] == ["green", "orange", "red"]  # type: ignore[index, call-overload] # JSON
    assert [step["color"] for step in steps(limits.HEALTHY)] == ["red", "green"]  # type: ignore[index, call-overload] # JSON


def test_dashboards_are_of_a_schema_that_grafana_10_imports() -> None:
    for board in KEPT.values():
        assert board["schemaVersion"] == 39
        assert "__inputs" not in board


# The checks can fail: a defect, and the word by which it is found.


def first(board: Board) -> Board:
    return panels_of(board)[0]


def without_a_uid(board: Board) -> None:
    board["uid"] = ""


def editable(board: Board) -> None:
    board["editable"] = True


def without_a_host(board: Board) -> None:
    board["templating"]["list"] = board["templating"]["list"][:1]


def without_links(board: Board) -> None:
    board["links"] = []


def without_annotations(board: Board) -> None:
    board["annotations"]["list"] = []


def asking_nothing(board: Board) -> None:
    board["panels"][0]["title"] = "Overview"


def overlapping(board: Board) -> None:
    board["panels"][2]["gridPos"] = board["panels"][1]["gridPos"]


def sticking_out(board: Board) -> None:
    board["panels"][1]["gridPos"] |= {"x": 20, "w": 8, "y": 999}


def twice(board: Board) -> None:
    first(board)["id"] = 1


def undescribed(board: Board) -> None:
    first(board)["description"] = ""


def without_a_unit(board: Board) -> None:
    first(board)["fieldConfig"]["defaults"]["unit"] = ""


def without_thresholds(board: Board) -> None:
    first(board)["fieldConfig"]["defaults"]["thresholds"]["steps"] = []


def of_one_source(board: Board) -> None:
    first(board)["datasource"] = {"type": "prometheus", "uid": "mine"}


def with_a_column_that_has_another_name(board: Board) -> None:
    """One query's value is called Value, as the values of many are not."""
    (table,) = (panel for panel in panels_of(board) if panel["title"] == "Hosts")
    del table["targets"][1:]


def asking(expr: str) -> Callable[[Board], None]:
    def change(board: Board) -> None:
        first(board)["targets"][0] |= {"expr": expr, "range": True, "instant": False}

    return change


OF = '{job=~"$job",instance=~"$instance"}'

DEFECTS: list[tuple[Callable[[Board], None], str]] = [
    (without_a_uid, "no uid"),
    (editable, "can be edited"),
    (without_a_host, "choose data source, job and host"),
    (without_links, "no link leads"),
    (without_annotations, "does not mark"),
    (asking_nothing, "asks nothing"),
    (overlapping, "lies on another panel"),
    (sticking_out, "sticks out"),
    (twice, "this id is there twice"),
    (undescribed, "does not say what one sees"),
    (without_a_unit, "no unit"),
    (without_thresholds, "no thresholds"),
    (of_one_source, "data source cannot be chosen"),
    (with_a_column_that_has_another_name, "it has no column Value #B"),
    (asking(f"pagewarden_case{OF}"), "there is no metric pagewarden_case"),
    (asking("pagewarden_cases"), "hosts that were not chosen"),
    (asking(f"rate(pagewarden_cases{OF}[$__rate_interval])"), "is no counter"),
    (asking(f"rate(pagewarden_gaps_total{OF}[1m])"), "use $__rate_interval"),
    (asking(f"increase(pagewarden_gaps_total{OF}[$__interval])"), "no lower bound"),
    (asking(f"topk(3, pagewarden_cases{OF})"), "many more than k"),
]


@pytest.mark.parametrize(("defect", "word"), DEFECTS)
def test_a_defect_is_found(defect: Callable[[Board], None], word: str) -> None:
    board = json.loads(json.dumps(as_json(BOARDS[0])))
    defect(board)
    assert any(word in finding for finding in findings(board))


def test_a_metric_that_is_on_no_panel_is_found() -> None:
    boards = [board for name, board in KEPT.items() if name != "pagewarden-dimms"]
    assert "pagewarden_bank_errors_total is on no panel" in unshown(boards)


# Every query, on a real Prometheus with a day of three hosts


@pytest.mark.parametrize("name", KEPT)
def test_every_panel_has_something_to_show_of_a_day(name: str, a_day: Asked) -> None:
    assert a_day.findings(KEPT[name]) == []


@pytest.mark.parametrize(
    ("expr", "word"),
    [
        (f"sum(pagewarden_cases{OF}", "parse error"),
        ('pagewarden_cases{job="another"}', "no data"),
        (f"pagewarden_cases{OF} / 0 * 0", "nothing but NaN"),
        (f"pagewarden_cases{OF} * 0", "always zero"),
        (f"pagewarden_dimm_pages{OF} / pagewarden_dimm_pages_max{OF}", "no data"),
    ],
)
def test_a_query_that_shows_nothing_is_found(expr: str, word: str, a_day: Asked) -> None:
    board = copy.deepcopy(KEPT["pagewarden-hosts"])
    asking(expr)(board)
    (found,) = a_day.findings(board)
    assert word in found


def test_a_variable_without_values_is_found(a_day: Asked) -> None:
    board = copy.deepcopy(KEPT["pagewarden-dimms"])
    board["templating"]["list"][-1]["query"]["query"] = "label_values(pagewarden_cases, dimm)"
    assert a_day.findings(board) == ["the variable dimm has nothing to choose from"]


def test_an_annotation_that_asks_nonsense_is_found(a_day: Asked) -> None:
    board = copy.deepcopy(KEPT["pagewarden-dimms"])
    board["annotations"]["list"][0]["expr"] = "changes("
    (found,) = a_day.findings(board)
    assert found.startswith("the annotation Firing alert: ")
