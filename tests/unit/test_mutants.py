"""The table of mutants is about the code as it is now."""

import ast

import pytest

from tests.mutants.mutants import ROOT, Mutant, mutants

MUTANTS = mutants()


def name_of(mutant: Mutant) -> str:
    return mutant.name


@pytest.mark.parametrize("mutant", MUTANTS, ids=name_of)
def test_what_a_mutant_changes_stands_once_in_its_file(mutant: Mutant) -> None:
    assert mutant.times_in(ROOT) == 1


@pytest.mark.parametrize("mutant", MUTANTS, ids=name_of)
def test_a_mutant_is_a_program_and_another_one(mutant: Mutant) -> None:
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    mutated = text.replace(mutant.old, mutant.new)
    assert ast.dump(ast.parse(mutated)) != ast.dump(ast.parse(text))


@pytest.mark.parametrize("mutant", MUTANTS, ids=name_of)
def test_the_tests_that_should_notice_a_mutant_exist(mutant: Mutant) -> None:
    assert (ROOT / mutant.tests).exists()


def test_no_two_mutants_are_called_alike() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
