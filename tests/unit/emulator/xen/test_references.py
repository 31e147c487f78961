"""Who else maps a page: it is not freed before the last of them has let go."""

import numpy as np
import pytest

from agent.contract.columns import I64
from agent.contract.frames import DomId, Mfn
from emulator.xen.references import References

PAGE, OTHER = Mfn(5), Mfn(6)
BACKEND, TOOL = DomId(0), DomId(3)
BOTH = np.array([PAGE, OTHER])


class Freed:
    """What was freed, in order."""

    def __init__(self) -> None:
        self.mfns: list[int] = []

    def __call__(self, mfns: I64) -> None:
        self.mfns += mfns.tolist()


@pytest.fixture
def freed() -> Freed:
    return Freed()


@pytest.fixture
def references(freed: Freed) -> References:
    """`BACKEND` maps `PAGE`."""
    references = References(freed)
    references.map(PAGE, BACKEND)
    return references


def test_a_page_that_nobody_maps_is_freed_when_its_owner_lets_go(
    references: References, freed: Freed
) -> None:
    references.release(np.array([OTHER]))
    assert freed.mfns == [OTHER]


def test_of_many_pages_those_that_are_mapped_stay(references: References, freed: Freed) -> None:
    references.release(BOTH)
    assert (freed.mfns, set(references.lingering)) == ([OTHER], {PAGE})


def test_a_page_is_not_freed_while_its_owner_has_it(references: References, freed: Freed) -> None:
    references.unmap(PAGE, BACKEND)
    assert (freed.mfns, list(references.mapped)) == ([], [])


def test_the_last_who_lets_go_frees_the_page(references: References, freed: Freed) -> None:
    references.map(PAGE, TOOL)
    references.release(BOTH[:1])
    references.unmap(PAGE, BACKEND)
    before = list(freed.mfns)
    references.unmap(PAGE, TOOL)
    assert (before, freed.mfns, set(references.lingering)) == ([], [PAGE], set())


def test_who_maps_a_page_twice_must_let_go_twice(references: References, freed: Freed) -> None:
    references.map(PAGE, BACKEND)
    references.release(BOTH[:1])
    references.unmap(PAGE, BACKEND)
    assert (freed.mfns, references.mappers(PAGE)) == ([], (BACKEND,))


def test_mappers_are_named_once_each_and_in_order(references: References) -> None:
    for mapper in (TOOL, BACKEND, TOOL):
        references.map(PAGE, mapper)
    assert references.mappers(PAGE) == (BACKEND, TOOL)


def test_a_page_that_nobody_maps_has_no_mappers(references: References) -> None:
    assert references.mappers(OTHER) == ()


@pytest.mark.parametrize(("mfn", "mapper"), [(PAGE, TOOL), (OTHER, BACKEND)])
def test_nobody_can_let_go_of_what_he_does_not_map(
    references: References, mfn: Mfn, mapper: DomId
) -> None:
    with pytest.raises(ValueError, match=f"domain {mapper} does not map frame {mfn:#x}"):
        references.unmap(mfn, mapper)


def test_who_lets_go_once_too_often_changes_nothing(references: References, freed: Freed) -> None:
    with pytest.raises(ValueError, match="does not map"):
        references.unmap(PAGE, TOOL)
    assert (references.mappers(PAGE), freed.mfns) == ((BACKEND,), [])
