"""The emulated Xen answers the table of cases that `make test-xen` puts to the real one: to its own
call, and, a page at a time, through the port that the agent drives a real Xen by.
"""

from errno import errorcode

import pytest

from agent.contract.frames import Mfn
from agent.contract.hypercall import SysctlCommand
from tests.support.xen import Xen
from tests.support.xen_library import EmulatedLibrary
from tests.xen import emulated
from tests.xen.comparing import compared
from tests.xen.emulated import PLACES
from tests.xen.table import CASES, FILLER, PVH_CASES, Answer, Case, answers, expected

ALL = (*CASES, *PVH_CASES)
# The port asks for one page at a time, and cuts no number.
OF_ONE_PAGE = [case for case in ALL if all(step.first == step.last == 0 for step in case.steps)]


def through_the_port(case: Case, library: EmulatedLibrary, mfn: int) -> tuple[Answer, ...]:
    def call(command: int, first: int, _: int) -> Answer:
        answer = library.ask(SysctlCommand(command), Mfn(first))
        assert (answer.ret == 0) is (answer.errno == 0)
        return Answer(errorcode.get(answer.errno, ""), (answer.word,))

    return answers(case, mfn, call)


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.title)
def test_the_emulated_xen_answers_as_the_real_one(case: Case) -> None:
    given = {case.title: emulated.asked(case)}
    assert [
        finding for finding in compared(emulated.HOST, [case], given) if not finding.agrees
    ] == []


@pytest.mark.parametrize("case", OF_ONE_PAGE, ids=lambda case: case.title)
def test_it_answers_the_same_through_the_port_and_is_left_as_it_was(case: Case) -> None:
    layout, mfn = PLACES[case.kind]
    library = EmulatedLibrary(Xen(layout))
    before = library.xen.host.table.counts
    assert through_the_port(case, library, mfn) == expected(case)
    assert library.xen.host.table.counts == before


def test_every_kind_of_single_page_is_asked_for_through_the_port() -> None:
    assert {case.kind for case in OF_ONE_PAGE} == {
        "free",
        "dom0",
        "guest",
        *(f"guest L{level}" for level in range(1, 5)),
        "guest ring",
        "xen heap",
        "m2p",
        "low",
        "owner-less",
        "xen image",
        "reserved",
        "beyond",
        "pvh",
        "pvh first",
    }


def test_a_single_other_word_is_a_difference_and_is_named() -> None:
    case = CASES[0]
    wrong = (*expected(case)[:-1], Answer("", (FILLER,)))
    (finding,) = compared("a host", [case], {case.title: wrong})
    assert not finding.agrees
    assert "step 9: ok     01010101 instead of ok     00000000" in finding.line


def test_the_page_of_another_kind_is_a_difference_through_the_port_too() -> None:
    case = CASES[0]
    layout, dom0s = PLACES["dom0"]
    given = through_the_port(case, EmulatedLibrary(Xen(layout)), dom0s)
    (finding,) = compared("the port", [case], {case.title: given})
    assert not finding.agrees
    assert "step 2: ok     00001004 instead of ok     00000002" in finding.line


def test_a_case_that_was_not_asked_is_no_agreement() -> None:
    (finding,) = compared("a host", CASES[:1], {CASES[0].title: None})
    assert not finding.agrees
