"""Each dashboard, drawn from a real day: no error box, nothing without data, no blank canvas.

`make dashboards-drawn` keeps what was drawn in dashboards/pictures, for the README and for people
to look at: whether a picture is a pleasure no machine can say.
"""

import copy
import os
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dashboards.__main__ import HERE
from dashboards.lint import Board, Panel, panels_of
from dashboards.proof import Asked
from tests.dashboards import drawn
from tests.dashboards.drawn import WIDTHS, Easel
from tests.dashboards.test_dashboards import KEPT, OF
from tests.support import chromium
from tests.support.needs import missing

PICTURES = HERE / "pictures"
PICTURE_BYTES_MAX = 200_000
EARLIER_SECONDS = 1200  # before midnight, whose label would be cut off at the edge


@pytest.fixture(scope="session")
def bundled() -> None:
    """`make dashboards-drawing` installs what it is made of."""
    if not drawn.BUNDLER.exists():
        missing("grafana-drawn")
    if chromium.PROGRAM is None:
        missing("chromium")
    assert drawn.bundle() == ""


@pytest.fixture
async def easel(bundled: None, a_day: Asked, tmp_path: Path) -> AsyncGenerator[Easel]:
    before_midnight = replace(a_day, end=a_day.end - EARLIER_SECONDS)
    async with drawn.easel(tmp_path, before_midnight) as opened:
        yield opened


def keep(name: str, picture: bytes) -> None:
    (PICTURES / name).write_bytes(picture)


@pytest.mark.parametrize("name", KEPT)
async def test_all_of_a_dashboard_is_drawn(name: str, easel: Easel) -> None:
    for width in WIDTHS:
        assert await easel.faults(KEPT[name], width) == []
        if "PAGEWARDEN_PICTURES" in os.environ:
            keep(f"{name}-{width}.png", await easel.picture())


def test_the_script_that_draws_keeps_to_grafana_s_types(bundled: None) -> None:
    assert drawn.type_errors() == ""


# The checks can fail: a defect of one panel, and the word by which it is found.


def asking(expr: str) -> Callable[[Panel], None]:
    def change(panel: Panel) -> None:
        panel["targets"][0]["expr"] = expr

    return change


def without_ink(panel: Panel) -> None:
    panel["fieldConfig"]["defaults"]["custom"] |= {"lineWidth": 0, "fillOpacity": 0}


def with_no_cell(panel: Panel) -> None:
    panel["options"]["filterValues"]["le"] = 1e9


def of_a_kind_that_nobody_draws(panel: Panel) -> None:
    panel["type"] = "crystal-ball"


def with_a_value_of_another_name(panel: Panel) -> None:
    del panel["targets"][1:]


DEFECTS: list[tuple[str, str, Callable[[Panel], None], str]] = [
    ("pagewarden-hosts", "Calls that fail", asking(f"sum(up{OF}"), "an error box: Error: "),
    ("pagewarden-hosts", "Calls that fail", asking('up{job="another"}'), "no data"),
    ("pagewarden-hosts", "DIMMs to replace", asking('up{job="another"}'), "no data"),
    ("pagewarden-hosts", "Calls that fail", without_ink, "a blank canvas"),
    ("pagewarden-dimms", "Banks by time", with_no_cell, "a blank canvas"),
    ("pagewarden-hosts", "Calls that fail", of_a_kind_that_nobody_draws, "an error box"),
    ("pagewarden-hosts", "Hosts", with_a_value_of_another_name, "no column Well, Errors, 24 h"),
]


def only(board: Board, title: str) -> dict[str, Any]:
    """The dashboard with that panel alone."""
    return {**board, "panels": [panel for panel in panels_of(board) if panel["title"] == title]}


@pytest.mark.parametrize(("name", "title", "defect", "word"), DEFECTS)
async def test_a_defect_is_found(
    name: str, title: str, defect: Callable[[Panel], None], word: str, easel: Easel
) -> None:
    board = only(copy.deepcopy(KEPT[name]), title)
    defect(board["panels"][0])
    (found,) = await easel.faults(board, WIDTHS[0])
    assert found.startswith(f"{title}: {word}")


async def test_a_panel_that_is_folded_away_is_found(easel: Easel) -> None:
    board = only(copy.deepcopy(KEPT["pagewarden-hosts"]), "Hosts")
    row = KEPT["pagewarden-hosts"]["panels"][0] | {"collapsed": True, "panels": board["panels"]}
    assert await easel.faults(board | {"panels": [row]}, WIDTHS[0]) == ["Hosts: not drawn"]


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize("width", WIDTHS)
def test_a_picture_of_it_is_kept_and_shown(name: str, width: int) -> None:
    picture = PICTURES / f"{name}-{width}.png"
    assert picture.stat().st_size <= PICTURE_BYTES_MAX
    assert f"dashboards/pictures/{picture.name}" in (HERE.parent / "README.md").read_text("utf-8")
