"""The way in: what is durable is acknowledged, what is bad is refused, kept and counted."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

import pytest

from agent.contract.codec import pack
from agent.contract.columns import Batch
from agent.contract.errors import AgentError
from agent.contract.frames import Mfn
from agent.diagnosis.admission import Admission, Unfit
from agent.diagnosis.diagnosis import Diagnosis
from agent.diagnosis.dram import Dram, Failing
from agent.diagnosis.engines import SerdSettings
from agent.diagnosis.place import Place
from agent.diagnosis.policy import Policy
from agent.diagnosis.verdict import Verdict
from agent.events import (
    BankFailing,
    BatchTaken,
    CapReached,
    CaseMoved,
    CaseOpened,
    DimmWornOut,
    Event,
    GapSeen,
    MessageRefused,
    PlacesEvicted,
    RowFailing,
)
from agent.pipeline import Pipeline
from agent.retirement.caps import Caps, Rank
from agent.retirement.case import Case
from agent.retirement.docket import Docket
from agent.retirement.reason import Reason
from agent.retirement.states import State
from tests.support.batches import a_batch

DAY = 86_400_000_000_000
FRAMES = 1 << 20


@dataclass(slots=True)
class FakeDelivery:
    payload: bytes
    oversize: bool = False
    steps: list[str] = field(default_factory=list[str])

    async def acknowledge(self) -> None:
        self.steps.append("acknowledge")


@dataclass(slots=True)
class FakeLog:
    """Remembers in memory; `is_full` makes it fail like a full disk."""

    steps: list[str] = field(default_factory=list[str])
    batches: list[Batch] = field(default_factory=list[Batch])
    refused: list[str] = field(default_factory=list[str])
    is_full: bool = False
    keeps_no_snapshot: bool = False

    async def commit(self, batches: Sequence[Batch], changed: Sequence[Case]) -> None:
        if self.is_full:
            raise AgentError("pagewarden.db: the disk is full")
        self.steps.append("commit")
        self.batches += batches

    async def keep_refused(self, reason: str, payload: bytes) -> None:
        self.refused.append(reason)

    @property
    def last_batch_id(self) -> int:
        return len(self.batches)

    async def snapshot(self, state: Callable[[], bytes], covered: int) -> None:
        if self.keeps_no_snapshot:
            raise AgentError("pagewarden.db: the disk is full")
        self.steps.append(f"snapshot of {covered}")


@dataclass(slots=True)
class Bench:
    log: FakeLog = field(default_factory=FakeLog)
    events: list[Event] = field(default_factory=list[Event])
    submitted: list[Case] = field(default_factory=list[Case])
    snapshot_every_batches: int = 1000

    def pipeline(self) -> Pipeline:
        settings = SerdSettings(n=2, window_ns=DAY, pages_max=100)
        return Pipeline(
            Diagnosis(Admission("h"), Policy(settings, FRAMES, Dram(settings, settings))),
            Docket(Caps(10)),
            self.log,
            self.submitted.append,
            self.events.append,
            lambda: 1,
            self.snapshot_every_batches,
        )

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


def batch(*seqs: int, host: str = "h", mfn: int | None = 5) -> bytes:
    return pack(a_batch(seqs, host=host, mfns=[mfn] * len(seqs)))


async def test_a_message_is_acknowledged_only_after_its_commit() -> None:
    bench = Bench()
    delivery = FakeDelivery(batch(0), steps=bench.log.steps)
    await bench.pipeline().take(delivery)
    assert bench.log.steps == ["commit", "acknowledge"]


async def test_a_dimm_that_is_to_be_replaced_is_told_once() -> None:
    bench = Bench()
    pipeline = bench.pipeline()
    pipeline.docket.caps = Caps(10, pages_per_rank_max=1)
    for first, mfn in ((0, 5), (2, 6), (4, 7)):
        errors = a_batch((first, first + 1), host="h", mfns=[mfn] * 2, dimms=["A"] * 2)
        await pipeline.take(FakeDelivery(pack(errors)))
    assert bench.of(DimmWornOut) == [DimmWornOut(Rank("A"))]
    assert bench.of(CapReached) == [CapReached(Reason.REPLACE_DIMM)] * 2


async def test_a_row_and_a_bank_that_fail_are_told_once_when_it_is_durable() -> None:
    bench = Bench()
    pipeline = bench.pipeline()
    for seq, row in enumerate((1, 1, 1, 2)):
        errors = a_batch([seq], host="h", mfns=[seq], dimms=["A"], banks=[(0, 3)], rows=[row])
        await pipeline.take(FakeDelivery(pack(errors)))
    (row_failing,) = bench.of(RowFailing)
    (bank_failing,) = bench.of(BankFailing)
    assert row_failing == RowFailing(Failing(Place("A", 0, 3, 1), 1_000, "2 errors in 24 h"))
    assert bank_failing == BankFailing(Failing(Place("A", 0, 3), 1_000, "2 errors in 24 h"))
    assert bench.submitted == [], "neither takes a page out of use"


async def test_a_row_that_fails_is_not_told_where_its_errors_cannot_be_kept() -> None:
    bench = Bench()
    bench.log.is_full = True
    errors = a_batch(
        [0, 1], host="h", mfns=[5, 6], dimms=["A"] * 2, banks=[(0, 3)] * 2, rows=[1] * 2
    )
    with pytest.raises(AgentError):
        await bench.pipeline().take(FakeDelivery(pack(errors)))
    assert bench.of(RowFailing) == []


async def test_rows_that_had_to_make_room_are_told() -> None:
    bench = Bench()
    many = range(101)
    errors = a_batch(many, host="h", mfns=many, dimms=["A"] * 101, banks=[(0, 3)] * 101, rows=many)
    await bench.pipeline().take(FakeDelivery(pack(errors)))
    assert bench.of(PlacesEvicted) == [PlacesEvicted(rows=6, banks=0)]


async def test_errors_on_a_page_that_others_have_marked_take_its_case_up() -> None:
    bench = Bench()
    pipeline = bench.pipeline()
    (found,) = pipeline.docket.adopt([Verdict(Mfn(5), 0, "found marked")], 0)
    await pipeline.take(FakeDelivery(batch(0, 1)))
    (driven,) = bench.submitted
    assert bench.of(CaseMoved) == [CaseMoved(driven, State.FOUND, 0.0)]
    assert (driven.id, driven.state) == (found.id, State.OPEN)


async def test_a_page_that_came_back_into_use_has_a_new_case_with_its_next_errors() -> None:
    bench = Bench()
    pipeline = bench.pipeline()
    await pipeline.take(FakeDelivery(batch(0, 1)))
    (first,) = bench.submitted
    pipeline.docket.put(replace(first, state=State.RETURNED, moved_at_ns=10**18))
    later = a_batch((2, 3), host="h", mfns=[5, 5], times_ns=[2 * 10**18] * 2)
    await pipeline.take(FakeDelivery(pack(later)))
    assert [case.mfn for case in bench.submitted] == [5, 5]
    assert bench.submitted[1].id != first.id


async def test_a_message_that_could_not_be_written_down_is_not_acknowledged() -> None:
    bench = Bench(FakeLog(is_full=True))
    delivery = FakeDelivery(batch(0))
    with pytest.raises(AgentError, match="disk is full"):
        await bench.pipeline().take(delivery)
    assert delivery.steps == []


async def test_two_errors_on_a_page_open_one_case_and_drive_it() -> None:
    bench = Bench()
    await bench.pipeline().take(FakeDelivery(batch(0, 1)))
    assert [case.mfn for case in bench.submitted] == [5]
    assert len(bench.of(CaseOpened)) == 1


async def test_a_message_that_comes_twice_counts_once() -> None:
    bench = Bench()
    pipeline = bench.pipeline()
    for _ in range(2):
        await pipeline.take(FakeDelivery(batch(0)))
    taken = [e for e in bench.events if isinstance(e, BatchTaken)]
    assert [(e.accepted, e.duplicates) for e in taken] == [(1, 0), (0, 1)]
    assert len(bench.log.batches) == 1


async def test_numbers_that_jump_are_a_gap_and_not_an_error() -> None:
    bench = Bench()
    pipeline = bench.pipeline()
    await pipeline.take(FakeDelivery(batch(0)))
    await pipeline.take(FakeDelivery(batch(5)))
    assert bench.of(GapSeen) == [GapSeen(1, 4)]
    assert pipeline.diagnosis.admission.missing == 4


async def test_what_was_missing_and_came_is_told_as_late_and_is_missing_no_more() -> None:
    bench = Bench()
    pipeline = bench.pipeline()
    for seqs in ((5,), (1, 2), (2, 3, 6)):
        await pipeline.take(FakeDelivery(batch(*seqs)))
    taken = [e for e in bench.events if isinstance(e, BatchTaken)]
    assert [(e.accepted, e.late, e.missing) for e in taken] == [(1, 0, 5), (2, 2, 3), (2, 1, 2)]


BAD = {
    "not JSON": b"ready.",
    "half of it": b'{"host": "h"',
    "wrong types": b'{"host": "h", "boot_id": 7, "seq": "x", "time_ns": []}',
    "unknown field": b'{"host":"h","boot_id":"%s","seq":0,"time_ns":1,"colour":"red"}'
    % str(UUID(int=1)).encode(),
    "a number that is a truth": b'{"host":"h","boot_id":"%s","seq":true,"time_ns":1}'
    % str(UUID(int=1)).encode(),
    "damaged columns": batch(0, 1)[:-1] + b"\xff",
    "nothing": b"",
}


@pytest.mark.parametrize("payload", BAD.values(), ids=BAD.keys())
async def test_bad_input_is_refused_in_one_line_kept_counted_and_acknowledged(
    payload: bytes,
) -> None:
    bench = Bench()
    delivery = FakeDelivery(payload)
    await bench.pipeline().take(delivery)
    (event,) = bench.events
    assert isinstance(event, MessageRefused)
    assert event.kind == Unfit.MALFORMED
    assert event.reason
    assert "\n" not in event.reason
    assert bench.log.refused == [event.reason]
    assert delivery.steps == ["acknowledge"]


async def test_a_ten_megabyte_payload_is_refused_without_being_read() -> None:
    bench = Bench()
    await bench.pipeline().take(FakeDelivery(b"[" * 10_000_000, oversize=True))
    (event,) = bench.events
    assert isinstance(event, MessageRefused)
    assert event.kind == Unfit.OVERSIZE


async def test_another_hosts_errors_are_a_strangers() -> None:
    bench = Bench()
    await bench.pipeline().take(FakeDelivery(batch(0, host="other")))
    (event,) = bench.events
    assert isinstance(event, MessageRefused)
    assert event.kind == Unfit.STRANGER


async def test_after_bad_input_good_input_is_taken() -> None:
    bench = Bench()
    pipeline = bench.pipeline()
    for payload in (*BAD.values(), batch(0)):
        await pipeline.take(FakeDelivery(payload))
    assert len(bench.log.batches) == 1


async def test_an_address_beyond_the_hosts_memory_is_counted_and_opens_no_case() -> None:
    bench = Bench()
    await bench.pipeline().take(FakeDelivery(batch(0, 1, 2, mfn=FRAMES)))
    (taken,) = bench.events
    assert isinstance(taken, BatchTaken)
    assert (taken.accepted, taken.out_of_range) == (3, 3)
    assert bench.submitted == []


async def test_errors_without_an_address_are_counted_and_never_touch_page_0() -> None:
    bench = Bench()
    await bench.pipeline().take(FakeDelivery(batch(0, 1, 2, mfn=None)))
    (taken,) = bench.events
    assert isinstance(taken, BatchTaken)
    assert (taken.errors, taken.unlocated) == (3, 3)
    assert bench.submitted == []


async def test_counters_are_written_down_every_so_many_batches() -> None:
    bench = Bench(snapshot_every_batches=2)

    async def deliveries() -> AsyncGenerator[Sequence[FakeDelivery], None]:
        for seq in range(4):
            yield [FakeDelivery(batch(seq, mfn=None))]
            await asyncio.sleep(0)

    await bench.pipeline().run(deliveries())
    assert bench.log.steps == 2 * ["commit"] + ["snapshot of 2"] + 2 * ["commit"] + [
        "snapshot of 4"
    ]


async def test_a_snapshot_that_fails_ends_the_intake() -> None:
    bench = Bench(FakeLog(keeps_no_snapshot=True), snapshot_every_batches=1)

    async def deliveries() -> AsyncGenerator[Sequence[FakeDelivery], None]:
        yield [FakeDelivery(batch(0))]
        await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as failed:
        await bench.pipeline().run(deliveries())
    assert failed.group_contains(AgentError, match="disk is full")


async def test_small_messages_of_one_boot_are_judged_as_one() -> None:
    bench = Bench()
    queued = [FakeDelivery(batch(seq), steps=bench.log.steps) for seq in range(3)]
    await bench.pipeline().take(*queued)
    assert bench.log.steps == ["commit", *3 * ["acknowledge"]]
    assert [len(each) for each in bench.log.batches] == [3]
    assert len(bench.of(CaseOpened)) == 1


async def test_what_does_not_fit_one_message_is_judged_apart_and_committed_together() -> None:
    bench = Bench()
    sizes = (1000, 24, 1)
    firsts = (0, 1000, 1024)
    queued = [
        FakeDelivery(batch(*range(first, first + size), mfn=None), steps=bench.log.steps)
        for first, size in zip(firsts, sizes, strict=True)
    ]
    await bench.pipeline().take(*queued)
    assert bench.log.steps == ["commit", *3 * ["acknowledge"]]
    assert [len(each) for each in bench.log.batches] == [1024, 1]


async def test_a_bad_message_among_good_ones_is_refused_alone() -> None:
    bench = Bench()
    payloads = (batch(0), b"ready.", batch(0, host="other"), batch(1))
    await bench.pipeline().take(*map(FakeDelivery, payloads))
    refused = [e.kind for e in bench.events if isinstance(e, MessageRefused)]
    assert refused == [Unfit.MALFORMED, Unfit.STRANGER]
    assert sum(map(len, bench.log.batches)) == 2


def text(seq: int, **changes: object) -> bytes:
    plain = {"host": "h", "boot_id": str(UUID(int=1)), "seq": seq, "time_ns": 1} | changes
    return json.dumps(plain).encode()


JSON_WITH_A_BAD_ONE = {
    "malformed": ((text(0), text(1, count=True), text(2)), Unfit.MALFORMED),
    "of another host": ((text(0), text(1, host="other"), text(2)), Unfit.STRANGER),
}


@pytest.mark.parametrize(
    ("payloads", "kind"), JSON_WITH_A_BAD_ONE.values(), ids=JSON_WITH_A_BAD_ONE.keys()
)
async def test_one_bad_json_message_among_good_ones_is_refused_alone(
    payloads: Sequence[bytes], kind: Unfit
) -> None:
    bench = Bench()
    await bench.pipeline().take(*map(FakeDelivery, payloads))
    assert [e.kind for e in bench.events if isinstance(e, MessageRefused)] == [kind]
    assert [seq for each in bench.log.batches for seq in each.seq.tolist()] == [0, 2]


async def test_json_and_packed_messages_are_taken_in_their_order() -> None:
    bench = Bench()
    payloads = (text(0), text(1), pack(a_batch([2], host="h", boot_id=UUID(int=1))), text(3))
    await bench.pipeline().take(*map(FakeDelivery, payloads))
    assert bench.of(GapSeen) == []
    assert [each.seq.tolist() for each in bench.log.batches] == [[0, 1, 2, 3]]


async def test_what_goes_in_together_is_told_in_one_sum() -> None:
    bench = Bench()
    first = a_batch(range(1000), host="h", mfns=[None] * 1000, dimms=["A"] * 1000)
    second = a_batch(range(1000, 1100), host="h", mfns=[FRAMES] * 100, dimms=["B"] * 100)
    again = a_batch([0], host="h", mfns=[None])
    await bench.pipeline().take(*(FakeDelivery(pack(each)) for each in (first, second, again)))
    (taken,) = bench.events
    assert isinstance(taken, BatchTaken)
    assert (taken.accepted, taken.duplicates) == (1100, 1)
    assert (taken.unlocated, taken.out_of_range, taken.errors) == (1000, 100, 1100)
    assert taken.dimm_errors == (("A", 1000), ("B", 100))
