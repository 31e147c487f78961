"""Whatever the bus does to messages, each ereport is let in once, and the fold can be repeated."""

from collections import Counter
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from agent.contract.columns import Batch
from agent.diagnosis.admission import Admission, Admitted
from agent.diagnosis.diagnosis import Diagnosis, Finding
from agent.diagnosis.dram import Dram
from agent.diagnosis.engines import SerdSettings
from agent.diagnosis.policy import Policy
from tests.support.batches import HOST, a_batch

SEQS = st.lists(st.integers(0, 30) | st.integers(0, 2**63 - 1), min_size=1, max_size=12)
MESSAGES = st.lists(st.tuples(st.integers(1, 3), SEQS), max_size=15)


def admitted(admission: Admission, batch: Batch) -> Admitted:
    found = admission.admit(batch)
    assert isinstance(found, Admitted)
    return found


def a_diagnosis() -> Diagnosis:
    settings = SerdSettings(n=2, window_ns=1_000, pages_max=8)
    policy = Policy(settings, dram=Dram(settings, settings))
    return Diagnosis(Admission(HOST, boots_max=2, gaps_max=4), policy)


def in_rows(seqs: list[int], boot: int) -> Batch:
    """Ereports of one page, in a few rows of a few DIMMs."""
    return a_batch(
        seqs,
        boot_id=UUID(int=boot),
        mfns=[7] * len(seqs),
        dimms=["ABC"[seq % 3] for seq in seqs],
        banks=[(0, seq % 2) for seq in seqs],
        rows=[seq % 2 for seq in seqs],
    )


@given(messages=MESSAGES)
def test_each_ereport_is_let_in_once_in_the_order_of_its_first_arrival(
    messages: list[tuple[int, list[int]]],
) -> None:
    admission = Admission(HOST)
    let_in: list[tuple[int, int]] = []
    for boot, seqs in messages:
        batch = admitted(admission, a_batch(seqs, boot_id=UUID(int=boot))).batch
        let_in += [(boot, seq) for seq in batch.seq.tolist()]
    sent = [(boot, seq) for boot, seqs in messages for seq in seqs]
    assert let_in == list(dict.fromkeys(sent))


@given(messages=st.lists(SEQS, max_size=15), gaps_max=st.integers(1, 3))
def test_with_too_many_gaps_an_ereport_may_be_lost_and_never_counts_twice(
    messages: list[list[int]], gaps_max: int
) -> None:
    admission = Admission(HOST, gaps_max=gaps_max)
    let_in = Counter(
        seq for seqs in messages for seq in admitted(admission, a_batch(seqs)).batch.seq.tolist()
    )
    highest = max((max(seqs) for seqs in messages), default=-1)
    assert set(let_in.values()) <= {1}
    assert let_in.total() + admission.missing + admission.lost == highest + 1


@given(messages=st.lists(SEQS, min_size=1, max_size=15), looks=st.integers(0, 12))
def test_every_number_below_the_mark_has_arrived_or_is_lost(
    messages: list[list[int]], looks: int
) -> None:
    admission = Admission(HOST, asks_max=3)
    lost = 0
    for at, seqs in enumerate(messages):
        admission.admit(a_batch(seqs))
        lost += admission.due(now=100.0 * at).lost if at < looks else 0
    (mark,) = admission.applied()
    arrived = {seq for seqs in messages for seq in seqs if seq < mark.next_seq}
    assert mark.next_seq - len(arrived) <= lost


@given(
    before=MESSAGES,
    after=MESSAGES,
    looks=st.lists(st.floats(0, 1e6), max_size=9),
)
def test_the_journal_folded_from_a_snapshot_is_the_state_that_was_lost(
    before: list[tuple[int, list[int]]],
    after: list[tuple[int, list[int]]],
    looks: list[float],
) -> None:
    """Only what was admitted is in the journal; duplicates never were, and are not missed."""
    live = a_diagnosis()
    for boot, seqs in before:
        live.take(in_rows(seqs, boot))
    for now in sorted(looks):
        live.admission.due(now)
    snapshot, journal = live.snapshot(), list[Batch]()
    for boot, seqs in after:
        finding = live.take(in_rows(seqs, boot))
        assert isinstance(finding, Finding)
        if len(finding.admitted.batch):
            journal.append(finding.admitted.batch)
    again = a_diagnosis()
    again.restore(snapshot)
    for batch in journal:
        again.take(batch)
    assert again.snapshot() == live.snapshot()
