"""The page of what was measured on a real Xen says what the table of cases says, and no more."""

from pathlib import Path

import pytest

from tests.xen.measured import page
from tests.xen.table import CASES, PVH_CASES, Case, expected

PAGE = Path(__file__).parents[2] / "docs" / "xen-measured.md"
LOG = (
    "   9.9          Xen 4.17.7 is up, and so is its dom0",
    "  10.0  ok      real: a free page: ok     00000000 | ok     00000002",
    "  10.0  ok      emulated: a free page: ok     00000000 | EPERM  00000002",
    "  10.0  FAILED  real: a page of dom0: ok     00000000",
    "  53.5  ok      dom0's page 0x99dd0 is parked; Xen's word: ok     00000008",
    "  62.9          rung save_restore: the heartbeat was silent for 3.07 s",
    "  81.2          PVH, rung migrate: the heartbeat was silent for 0.30 s",
)


@pytest.mark.parametrize("case", [*CASES, *PVH_CASES], ids=lambda case: case.title)
def test_each_case_of_the_table_was_measured_as_it_stands_there(case: Case) -> None:
    answers = dict.fromkeys(" ".join(str(answer).split()) for answer in expected(case))
    told = ", then ".join(f"`{answer}`" for answer in answers)
    assert f"| {case.title} | {told} | the same |" in PAGE.read_text(encoding="utf-8")


def test_a_difference_between_the_two_is_shown() -> None:
    assert "| a free page | `ok 00000000`, then `ok 00000002` | `ok 00000000`, then `EPERM" in page(
        LOG
    )


def test_what_failed_is_not_told_as_measured() -> None:
    assert "a page of dom0" not in page(LOG)


def test_pages_and_pauses_are_told_as_they_were_seen() -> None:
    told = page(LOG)
    assert "| dom0's page 0x99dd0 | parked | `ok 00000008` |" in told
    assert "- rung save_restore: the heartbeat was silent for 3.07 s" in told
    assert "- PVH, rung migrate: the heartbeat was silent for 0.30 s" in told
