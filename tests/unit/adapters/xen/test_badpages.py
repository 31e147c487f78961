"""Retired pages for Xen's command line: none that is innocent, and nothing that Xen would cut."""

import re

from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.xen.badpages import LETTERS_MAX, OPTION, badpages_of
from agent.contract.frames import MFN_MAX, Mfn

MFNS = st.lists(st.integers(0, MFN_MAX) | st.integers(0, 40), max_size=60)


def named(option: str) -> set[int]:
    """The pages that Xen reads from it, as its manual says."""
    found: set[int] = set()
    for part in filter(None, option.removeprefix(OPTION).split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first, 16), int(last or first, 16) + 1))
    return found


def test_pages_are_named_one_by_one_and_runs_by_their_ends() -> None:
    assert badpages_of(map(Mfn, (0x2001, 0x1234, 0x2000, 0x2003, 0x2002, 0x1234))).option == (
        "badpage=0x1234,0x2000-0x2003"
    )


def test_without_a_page_there_is_no_option() -> None:
    assert badpages_of([]).option == ""


def test_what_xen_would_cut_is_left_out_and_told() -> None:
    """It keeps 99 characters: the last number would name another page."""
    found = badpages_of(Mfn(0x10000 + 2 * n) for n in range(20))
    assert len(found.option) <= len(OPTION) + LETTERS_MAX
    assert found.left_out == tuple(range(0x10000 + 2 * 12, 0x10000 + 2 * 20, 2))


def test_long_runs_go_first() -> None:
    run = range(0x90000, 0x90100)
    found = badpages_of(map(Mfn, (*range(0, 60, 2), *run)))
    assert set(run) <= named(found.option)


@given(MFNS)
def test_every_page_is_named_or_left_out_and_no_other(mfns: list[int]) -> None:
    found = badpages_of(map(Mfn, mfns))
    assert len(found.option.removeprefix(OPTION)) <= LETTERS_MAX
    assert named(found.option) | set(found.left_out) == set(mfns)
    assert not named(found.option) & set(found.left_out)
    assert re.fullmatch(r"|badpage=[0-9a-fx,-]+", found.option)
