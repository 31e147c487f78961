"""`pagewarden metrics`: the table of metrics, for people, for documents and for machines."""

import json
from pathlib import Path

from typer.testing import CliRunner

from agent.adapters.catalogue import TABLE
from agent.cli import build
from agent.retirement.states import State

KEPT = Path(__file__).parents[3] / "dashboards" / "METRICS.md"


def said(*options: str) -> str:
    done = CliRunner().invoke(build(), ["metrics", *options])
    assert done.exit_code == 0
    return done.stdout


def test_the_page_about_metrics_is_what_the_command_prints() -> None:
    """Else: pagewarden metrics --markdown > dashboards/METRICS.md"""
    assert said("--markdown") == KEPT.read_text(encoding="utf-8")


def test_people_see_a_line_for_each_metric() -> None:
    names = [line.split()[0] for line in said().splitlines()]
    assert names == ["metric", *(row.name for row in TABLE)]


def test_machines_see_every_value_of_a_closed_label() -> None:
    rows = {row["name"]: row for row in json.loads(said("--json"))}
    assert rows["pagewarden_mode"]["labels"] == {"mode": ["enforce", "observe"]}
    assert rows["pagewarden_cases"]["labels"]["state"] == list(State)
