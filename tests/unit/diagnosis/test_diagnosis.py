"""Admission and policy as one. That the fold can be repeated is a property."""

import struct

import pytest

from agent.contract.columns import Batch
from agent.contract.errors import AgentError
from agent.diagnosis.admission import Admission, Stranger
from agent.diagnosis.diagnosis import Diagnosis, Finding
from agent.diagnosis.dram import Dram
from agent.diagnosis.engines import SerdSettings
from agent.diagnosis.policy import Judgement, Policy
from tests.support.batches import HOST, a_batch


def a_diagnosis() -> Diagnosis:
    settings = SerdSettings(n=2, window_ns=10, pages_max=10)
    return Diagnosis(Admission(HOST), Policy(settings, dram=Dram(settings, settings)))


def in_a_row(seq: int) -> Batch:
    return a_batch([seq], dimms=["A"], banks=[(0, 1)], rows=[2], mfns=[0x100 + seq])


def judged(found: Finding | Stranger) -> Judgement:
    assert isinstance(found, Finding)
    return found.judgement


def rows_failing(found: Finding | Stranger) -> int:
    return len(judged(found).wear.rows)


def test_an_ereport_that_comes_twice_counts_once() -> None:
    diagnosis = a_diagnosis()
    findings = [diagnosis.take(a_batch([0])) for _ in range(2)]
    assert [f.judgement.errors for f in findings if isinstance(f, Finding)] == [1, 0]


def test_a_page_does_not_go_bad_by_hearing_of_one_error_twice() -> None:
    diagnosis = a_diagnosis()
    diagnosis.take(a_batch([0], mfns=[5]))
    finding = diagnosis.take(a_batch([0, 0, 0], mfns=[5, 5, 5]))
    assert isinstance(finding, Finding)
    assert finding.judgement.verdicts == ()


def test_a_stranger_is_not_judged() -> None:
    diagnosis = a_diagnosis()
    before = diagnosis.snapshot()
    assert isinstance(diagnosis.take(a_batch([0], host="hv-2")), Stranger)
    assert diagnosis.snapshot() == before


def test_the_totals_are_as_old_as_the_first_ereport() -> None:
    diagnosis, again = a_diagnosis(), a_diagnosis()
    diagnosis.take(a_batch([0, 1], counts=[1, 5]))
    again.restore(diagnosis.snapshot())
    again.take(a_batch([1, 2]))
    assert (again.totals.ereports, again.totals.errors) == (3, 7)


def test_a_snapshot_cut_anywhere_is_refused() -> None:
    diagnosis = a_diagnosis()
    diagnosis.take(a_batch([0, 1, 5]))
    diagnosis.take(in_a_row(6))
    snapshot = diagnosis.snapshot()
    for length in range(0, len(snapshot), 11):
        with pytest.raises(AgentError):
            a_diagnosis().restore(snapshot[:length])


def test_a_row_goes_bad_across_a_start() -> None:
    diagnosis, again = a_diagnosis(), a_diagnosis()
    diagnosis.take(in_a_row(0))
    again.restore(diagnosis.snapshot())
    assert [rows_failing(again.take(in_a_row(seq))) for seq in (1, 2)] == [1, 0]


def test_a_row_does_not_go_bad_by_hearing_of_one_error_twice() -> None:
    diagnosis = a_diagnosis()
    assert [rows_failing(diagnosis.take(in_a_row(0))) for _ in range(2)] == [0, 0]


def test_a_snapshot_of_before_rows_were_judged_is_taken_over() -> None:
    """Its format: magic, length of the admission, totals, admission, pages."""
    diagnosis, again = a_diagnosis(), a_diagnosis()
    diagnosis.take(a_batch([0], mfns=[5]))
    admission, pages = diagnosis.admission.snapshot(), diagnosis.policy.serd.snapshot()
    again.restore(struct.pack("<4sIQQ", b"PWD1", len(admission), 1, 1) + admission + pages)
    assert again.snapshot() == diagnosis.snapshot()
    (verdict,) = judged(again.take(a_batch([1], mfns=[5]))).verdicts
    assert verdict.mfn == 5
