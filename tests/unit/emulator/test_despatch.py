"""What goes out next: in order, until applied, and again only for a reason."""

from uuid import UUID

import pytest

from agent.contract.codec import decode, from_ereports
from agent.contract.columns import Batch
from agent.contract.ereport import Applied, Ereport, Range
from agent.contract.outbox import Parcel
from emulator.config import TelemetrySettings
from emulator.edges.despatch import Despatch, Encoding, parcels_of

BOOT = UUID(int=7)


def a_despatch(**settings: float) -> Despatch:
    """Of parcels 0 to 4, ten ereports each, all published at 0 s."""
    despatch = Despatch(TelemetrySettings.model_validate(settings))
    for number in range(5):
        despatch.take(Parcel(number * 10, number * 10 + 9, b""), now=0.0)
    sent(despatch)
    return despatch


def sent(despatch: Despatch) -> list[int]:
    """Publish all that waits: the first number of each, in order."""
    numbers = []
    while (parcel := despatch.next()) is not None:
        despatch.published(parcel)
        numbers.append(parcel.first)
    return numbers


def applied_below(seq: int) -> Applied:
    return Applied(boot_id=BOOT, next_seq=seq)


def a_batch(ereports: int) -> Batch:
    return from_ereports(
        [
            Ereport(host="hv", boot_id=BOOT, seq=seq, time_ns=seq, address=seq << 12)
            for seq in range(ereports)
        ]
    )


def test_a_parcel_waits_until_it_is_published() -> None:
    despatch = Despatch(TelemetrySettings())
    parcel = Parcel(0, 9, b"")
    despatch.take(parcel, now=0.0)
    assert despatch.next() is despatch.next() is parcel


def test_what_is_published_is_kept_until_it_is_applied() -> None:
    despatch = a_despatch()
    assert len(despatch.outbox) == 5
    despatch.applied(applied_below(30), now=1.0)
    assert len(despatch.outbox) == 2


def test_a_mark_that_lets_nothing_go_makes_no_room() -> None:
    assert not a_despatch().applied(applied_below(5), now=1.0)


def test_a_new_connection_sends_everything_again_in_order() -> None:
    despatch = a_despatch()
    despatch.take(Parcel(50, 59, b""), now=1.0)
    despatch.reconnected(now=2.0)
    assert sent(despatch) == [0, 10, 20, 30, 40, 50]


def test_what_the_agent_misses_is_sent_before_what_is_new() -> None:
    despatch = a_despatch()
    despatch.take(Parcel(50, 59, b""), now=1.0)
    despatch.asked_for(Range(boot_id=BOOT, first=15, last=25), now=1.0)
    assert sent(despatch) == [10, 20, 50]


def test_what_is_applied_before_it_went_out_again_does_not_go_out() -> None:
    despatch = a_despatch()
    despatch.reconnected(now=1.0)
    despatch.applied(applied_below(40), now=1.0)
    assert sent(despatch) == [40]


def test_nothing_is_sent_again_before_patience_is_at_its_end() -> None:
    assert a_despatch(patience_seconds=5.0).nudge(now=4.9) == 0


def test_the_oldest_are_sent_again_and_no_more_than_allowed() -> None:
    despatch = a_despatch(patience_seconds=5.0, resend_parcels_max=2)
    assert despatch.nudge(now=5.0) == 2
    assert sent(despatch) == [0, 10]


def test_patience_doubles_up_to_its_limit_while_nothing_is_applied() -> None:
    despatch = a_despatch(patience_seconds=5.0, patience_seconds_max=15.0)
    resent_at = [second for second in range(60) if despatch.nudge(now=float(second))]
    assert resent_at == [5, 15, 30, 45]


def test_patience_starts_afresh_when_anything_was_applied() -> None:
    despatch = a_despatch(patience_seconds=5.0)
    despatch.nudge(now=5.0)
    despatch.applied(applied_below(10), now=6.0)
    assert next(second for second in range(6, 20) if despatch.nudge(now=float(second))) == 11


def test_a_full_outbox_takes_nothing_more_and_drops_nothing() -> None:
    despatch = a_despatch(outbox_parcels_max=5)
    with pytest.raises(ValueError, match="the outbox is full"):
        despatch.take(Parcel(50, 59, b""), now=0.0)
    assert (len(despatch.outbox), despatch.outbox.dropped) == (5, 0)


@pytest.mark.parametrize("encoding", ["packed", "json"])
def test_a_batch_goes_out_in_parcels_that_hold_all_of_it(encoding: Encoding) -> None:
    parcels = list(parcels_of(a_batch(25), encoding, batch_max=10))
    assert [(parcel.first, parcel.last) for parcel in parcels] == [(0, 9), (10, 19), (20, 24)]
    seqs = [int(seq) for parcel in parcels for seq in decode(parcel.payload).seq]
    assert seqs == list(range(25))


def test_what_a_boot_leaves_is_what_was_sent_and_not_applied_and_what_never_was_sent() -> None:
    despatch = Despatch(TelemetrySettings())
    parcels = [Parcel(number * 10, number * 10 + 9, b"") for number in range(4)]
    for parcel in parcels:
        despatch.take(parcel, now=0.0)
    for parcel in parcels[:3]:
        despatch.sending(parcel)
    despatch.applied(applied_below(10), now=1.0)
    assert despatch.left() == (parcels[1:3], parcels[3:])
