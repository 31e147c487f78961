"""The emulated Xen answers the table of cases that `make test-xen` puts to the real one."""

import pytest

from tests.xen import emulated
from tests.xen.comparing import compared
from tests.xen.table import CASES, FILLER, Answer, Case, expected


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
def test_the_emulated_xen_answers_as_the_real_one(case: Case) -> None:
    given = {case.title: emulated.asked(case)}
    assert [
        finding for finding in compared(emulated.HOST, [case], given) if not finding.agrees
    ] == []


def test_a_single_other_word_is_a_difference_and_is_named() -> None:
    case = CASES[0]
    wrong = (*expected(case)[:-1], Answer("", (FILLER,)))
    (finding,) = compared("a host", [case], {case.title: wrong})
    assert not finding.agrees
    assert "step 9: ok     01010101 instead of ok     00000000" in finding.line


def test_a_case_that_was_not_asked_is_no_agreement() -> None:
    (finding,) = compared("a host", CASES[:1], {CASES[0].title: None})
    assert not finding.agrees
