"""What counts against which page, and what against none."""

from dataclasses import replace

import numpy as np
import pytest

from agent.contract.columns import Kind
from agent.contract.frames import MFN_MAX, Mfn
from agent.diagnosis.engines import SerdSettings, reason_of
from agent.diagnosis.policy import Policy
from agent.diagnosis.verdict import Verdict
from tests.support.batches import a_batch

HOUR_NS = 3600 * 10**9
TWO_A_DAY = SerdSettings(n=2, window_ns=24 * HOUR_NS, pages_max=100)
ONE = SerdSettings(n=1, window_ns=1, pages_max=100)


def test_the_second_error_of_a_page_is_a_verdict() -> None:
    batch = a_batch([0, 1], mfns=[5, 5], times_ns=[10, 20], dimms=["A1", "A1"])
    assert Policy(TWO_A_DAY).judge(batch).verdicts == (
        Verdict(Mfn(5), 20, "2 errors in 24 h", "A1"),
    )


def test_a_verdict_names_the_rank_that_the_ereport_named() -> None:
    """Of two, that of the error which fired."""
    batch = a_batch([0, 1], mfns=[5, 5], dimms=["A1", "A1"], ranks=[0, 1])
    (verdict,) = Policy(TWO_A_DAY).judge(batch).verdicts
    assert verdict.rank == 1


def test_a_verdict_names_no_dimm_where_the_ereport_named_none() -> None:
    (verdict,) = Policy(ONE).judge(a_batch([0])).verdicts
    assert verdict.dimm is None


def test_page_zero_is_a_page() -> None:
    assert [v.mfn for v in Policy(ONE).judge(a_batch([0], mfns=[0])).verdicts] == [0]


def test_an_ereport_without_an_address_counts_against_no_page() -> None:
    policy = Policy(ONE)
    judgement = policy.judge(a_batch([0, 1], mfns=[None, None], dimms=["A1", None]))
    assert (judgement.verdicts, len(policy.serd), judgement.unlocated) == ((), 0, 2)


def test_nobody_reads_an_address_that_is_not_valid() -> None:
    batch = replace(a_batch([0], mfns=[100]), located=np.array([False]))
    judgement = Policy(ONE, frames=100).judge(batch)
    assert (judgement.unlocated, judgement.out_of_range) == (1, 0)


def test_an_address_beyond_the_memory_reaches_no_engine() -> None:
    policy = Policy(ONE, frames=100)
    judgement = policy.judge(a_batch([0, 1], mfns=[99, 100]))
    assert [v.mfn for v in judgement.verdicts] == [99]
    assert judgement.out_of_range == 1


@pytest.mark.parametrize("frames", [None, 1 << 40])
def test_a_frame_that_the_hypervisor_cannot_be_told_is_out_of_range(frames: int | None) -> None:
    judgement = Policy(ONE, frames).judge(a_batch([0, 1], mfns=[MFN_MAX, MFN_MAX + 1]))
    assert [v.mfn for v in judgement.verdicts] == [MFN_MAX]


def test_an_uncorrected_error_is_counted_and_its_page_is_left_alone() -> None:
    policy = Policy(ONE)
    judgement = policy.judge(a_batch([0], kinds=[Kind.UE]))
    assert (judgement.uncorrected, judgement.errors, len(policy.serd)) == (1, 1, 0)


def test_errors_are_counted_not_records() -> None:
    """0 is "not known", and then it was one."""
    assert Policy(ONE).judge(a_batch([0, 1, 2], counts=[0, 1, 32767])).errors == 32769


def test_every_dimm_is_counted_and_so_is_the_unknown_one() -> None:
    batch = a_batch([0, 1, 2, 3], dimms=["B", "A", None, "A"], counts=[1, 2**32 - 1, 3, 4])
    assert Policy(ONE).judge(batch).dimm_errors == (("A", 2**32 + 3), ("B", 1), ("unknown", 3))


def test_an_empty_batch_comes_to_nothing() -> None:
    judgement = Policy(ONE).judge(a_batch([]))
    assert (judgement.errors, judgement.dimm_errors, judgement.newest_time_ns) == (0, (), 0)


def test_the_newest_time_is_the_latest_whatever_the_order() -> None:
    judgement = Policy(ONE).judge(a_batch([0, 1, 2], times_ns=[5, 9, 7]))
    assert judgement.newest_time_ns == 9


def test_pages_that_had_to_make_room_are_counted() -> None:
    policy = Policy(SerdSettings(n=2, window_ns=1, pages_max=1))
    assert policy.judge(a_batch([0, 1, 2])).evicted == 2


@pytest.mark.parametrize(
    ("n", "window_ns", "reason"),
    [
        (1, HOUR_NS, "1 error in 1 h"),
        (2, 24 * HOUR_NS, "2 errors in 24 h"),
        (16, 90 * 60 * 10**9, "16 errors in 90 min"),
        (3, 1, "3 errors in 1 ns"),
    ],
)
def test_a_reason_is_a_sentence_for_people(n: int, window_ns: int, reason: str) -> None:
    assert reason_of(SerdSettings(n, window_ns, 1)) == reason
