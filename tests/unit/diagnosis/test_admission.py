"""Who is let in: our host, each ereport once, the last few boots."""

from uuid import UUID

import pytest

from agent.contract.ereport import Applied, Range
from agent.contract.errors import AgentError
from agent.diagnosis.admission import Admission, Admitted, Stranger
from tests.support.batches import BOOT, HOST, a_batch

BOOTS = [UUID(int=number) for number in range(1, 7)]


def admitted(admission: Admission, *seqs: int, boot_id: UUID = BOOT) -> Admitted:
    found = admission.admit(a_batch(seqs, boot_id=boot_id))
    assert isinstance(found, Admitted)
    return found


def test_another_host_is_a_stranger() -> None:
    found = Admission(HOST).admit(a_batch([0], host="hv-2"))
    assert found == Stranger("host hv-2 is not ours: this agent looks after hv-1")


def test_the_batch_that_is_let_in_holds_only_what_is_new() -> None:
    admission = Admission(HOST)
    admitted(admission, 0, 1)
    again = admitted(admission, 1, 2, 0)
    assert (again.batch.seq.tolist(), again.duplicates) == ([2], 2)


def test_a_batch_with_nothing_new_is_admitted_empty() -> None:
    admission = Admission(HOST)
    admitted(admission, 0, 1)
    again = admitted(admission, 0, 1)
    assert (len(again.batch), again.duplicates, again.gaps) == (0, 2, ())


def test_each_boot_has_its_own_numbers() -> None:
    admission = Admission(HOST)
    assert len(admitted(admission, 0, boot_id=BOOTS[0]).batch) == 1
    assert len(admitted(admission, 0, boot_id=BOOTS[1]).batch) == 1


def test_a_gap_is_asked_for_by_its_boot() -> None:
    admission = Admission(HOST)
    admitted(admission, 5)
    assert admission.due(now=0.0).ranges == (Range(boot_id=BOOT, first=0, last=4),)


def test_what_stays_missing_is_reported_lost_once() -> None:
    admission = Admission(HOST, asks_max=1)
    admitted(admission, 5)
    assert [admission.due(now).lost for now in (0.0, 100.0, 200.0)] == [0, 5, 0]


def test_nothing_is_applied_before_anything_came() -> None:
    assert Admission(HOST).applied() == ()


def test_the_mark_stands_before_the_first_gap() -> None:
    admission = Admission(HOST)
    admitted(admission, 0, 1, 5)
    assert admission.applied() == (Applied(boot_id=BOOT, next_seq=2),)


def test_each_boot_has_a_mark_and_the_one_that_spoke_last_comes_last() -> None:
    """Two sources may speak for one host: the machine itself, and somebody who feeds a log."""
    admission = Admission(HOST)
    for boot_id, seq in ((BOOTS[0], 0), (BOOTS[1], 0), (BOOTS[0], 1)):
        admitted(admission, seq, boot_id=boot_id)
    assert admission.applied() == (
        Applied(boot_id=BOOTS[1], next_seq=1),
        Applied(boot_id=BOOTS[0], next_seq=2),
    )


def test_the_mark_can_be_told_even_behind_the_last_number_there_is() -> None:
    admission = Admission(HOST, asks_max=1)
    admitted(admission, 2**63 - 1)
    for now in (0.0, 100.0):
        admission.due(now)
    assert admission.applied() == (Applied(boot_id=BOOT, next_seq=2**63 - 1),)


def test_the_least_recent_boot_is_forgotten_and_what_it_missed_is_lost() -> None:
    admission = Admission(HOST, boots_max=2)
    admitted(admission, 3, boot_id=BOOTS[0])
    for boot_id in BOOTS[1:3]:
        admitted(admission, 0, boot_id=boot_id)
    assert (admission.missing, admission.lost) == (0, 3)


def test_something_new_keeps_its_boot_alive() -> None:
    admission = Admission(HOST, boots_max=2)
    for boot_id, seq in ((BOOTS[0], 0), (BOOTS[1], 0), (BOOTS[0], 1), (BOOTS[2], 0)):
        admitted(admission, seq, boot_id=boot_id)
    assert len(admitted(admission, 1, boot_id=BOOTS[0]).batch) == 0


def test_a_duplicate_does_not_keep_its_boot_alive() -> None:
    """It is not in the journal, so a fold of the journal could not know of it."""
    admission = Admission(HOST, boots_max=2)
    for boot_id in (BOOTS[0], BOOTS[1], BOOTS[0], BOOTS[2]):
        admitted(admission, 0, boot_id=boot_id)
    assert len(admitted(admission, 0, boot_id=BOOTS[1]).batch) == 0


def test_a_restored_admission_knows_what_it_has_seen_and_asks_at_once() -> None:
    admission, again = Admission(HOST), Admission(HOST)
    admitted(admission, 3)
    admission.due(now=1e9)
    again.restore(admission.snapshot())
    assert len(admitted(again, 3).batch) == 0
    assert again.due(now=0.0).ranges == (Range(boot_id=BOOT, first=0, last=2),)


def test_a_damaged_snapshot_is_refused_in_one_line() -> None:
    with pytest.raises(AgentError, match=r"admission snapshot: damaged in 1 places"):
        Admission(HOST).restore(b"{")


@pytest.mark.parametrize("name", ["boots_max", "gaps_max", "asks_max", "ask_seconds"])
def test_every_bound_must_be_above_zero(name: str) -> None:
    settings: dict[str, int] = {name: 0}
    with pytest.raises(ValueError, match=f"{name} must be above 0"):
        Admission(HOST, **settings)
