"""Admission and policy as one. That the fold can be repeated is a property."""

import pytest

from agent.contract.errors import AgentError
from agent.diagnosis.admission import Admission, Stranger
from agent.diagnosis.diagnosis import Diagnosis, Finding
from agent.diagnosis.engines import SerdSettings
from agent.diagnosis.policy import Policy
from tests.support.batches import HOST, a_batch


def a_diagnosis() -> Diagnosis:
    return Diagnosis(Admission(HOST), Policy(SerdSettings(n=2, window_ns=10, pages_max=10)))


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
    snapshot = diagnosis.snapshot()
    for length in range(0, len(snapshot), 11):
        with pytest.raises(AgentError):
            a_diagnosis().restore(snapshot[:length])
