"""The emulated xen-4.17, through the port that a real one is driven by: one table for both."""

import errno

import pytest

from agent.adapters.xen.words import Answer
from agent.contract.frames import Mfn
from emulator.xen.pages import PageKind
from tests.support.xen import ON_SMALL, PV_GUEST
from tests.support.xen_cases import Kind, cases, differences, told
from tests.support.xen_library import EmulatedLibrary

PAGES: dict[Kind, Mfn] = {
    Kind.FREE: ON_SMALL[PageKind.FREE],
    Kind.DOM0: ON_SMALL[PageKind.DOM0],
    Kind.GUEST: ON_SMALL[PageKind.PV],
    Kind.LOW: ON_SMALL[PageKind.LOW],
    Kind.M2P: ON_SMALL[PageKind.M2P],
    Kind.XEN_HEAP: ON_SMALL[PageKind.XEN_HEAP],
    Kind.OWNERLESS: ON_SMALL[PageKind.ANONYMOUS],
    Kind.XEN_IMAGE: ON_SMALL[PageKind.XEN_IMAGE],
    Kind.NOT_RAM: ON_SMALL[PageKind.NOT_RAM],
    Kind.ABSENT: ON_SMALL[PageKind.ABSENT],
}


def test_the_table_is_about_every_kind() -> None:
    assert set(PAGES) == set(Kind) == set(cases(PV_GUEST))


@pytest.mark.parametrize("kind", Kind)
def test_the_emulated_xen_answers_as_the_real_one_did(kind: Kind) -> None:
    assert not [*differences(EmulatedLibrary(), {kind: PAGES[kind]}, PV_GUEST)]


def test_a_page_is_left_as_it_was() -> None:
    library = EmulatedLibrary()
    before = library.xen.host.table.counts
    assert not [*differences(library, PAGES, PV_GUEST)]
    assert library.xen.host.table.counts == before


def test_another_answer_is_a_difference() -> None:
    library = EmulatedLibrary()
    pages = {Kind.FREE: PAGES[Kind.DOM0]}
    (line,) = differences(library, pages, PV_GUEST)
    assert line.endswith("step 2, offline: 0 0x00001004, recorded was 0 0x00000002")


def test_an_answer_is_told_with_its_errno() -> None:
    assert told(Answer(-1, errno.EINVAL, 0x01010101)) == "-1 EINVAL 0x01010101"
