"""What a run says of itself at the end."""

from emulator.demo.play import Verdict
from tests.support.evidence import evidence


def test_a_run_that_was_cut_short_says_so() -> None:
    verdict = Verdict(evidence(), disagreements=(), ended_by_itself=False)
    assert verdict.remarks == ("stopped before all of it had come to rest",)
    assert verdict.truth_agrees


def test_a_run_that_rested_has_nothing_to_remark_but_its_disagreements() -> None:
    verdict = Verdict(evidence(), disagreements=("a lie",), ended_by_itself=True)
    assert verdict.remarks == ("a lie",)
    assert not verdict.truth_agrees
