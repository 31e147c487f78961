"""Grafana's own types know every option of our dashboards, and would not know a misspelt one."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from dashboards.lint import panels_of
from tests.dashboards import grafana_types
from tests.dashboards.test_dashboards import KEPT
from tests.support.needs import missing


@pytest.fixture(autouse=True)
def types() -> None:
    """`make dashboards-types` installs them."""
    if not grafana_types.COMPILER.exists():
        missing("grafana-types")


@pytest.mark.parametrize("name", KEPT)
def test_grafana_s_types_know_all_of_a_dashboard(name: str) -> None:
    assert grafana_types.findings(KEPT[name]) == []


def misspelt(board: dict[str, Any]) -> None:
    panels_of(board)[0]["options"]["colourMode"] = "background"


def of_no_enum(board: dict[str, Any]) -> None:
    panels_of(board)[0]["options"]["colorMode"] = "backdrop"


def a_string_for_a_number(board: dict[str, Any]) -> None:
    panels_of(board)[0]["gridPos"]["w"] = "4"


@pytest.mark.parametrize("defect", [misspelt, of_no_enum, a_string_for_a_number])
def test_a_defect_is_found(defect: Callable[[dict[str, Any]], None]) -> None:
    board = copy.deepcopy(KEPT["pagewarden-hosts"])
    defect(board)
    (found,) = grafana_types.findings(board)
    assert found.startswith("Agents that answer")
