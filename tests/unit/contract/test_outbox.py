"""The source keeps what it sent until it is applied, and sends it again when it must."""

from uuid import UUID

import pytest

from agent.contract.ereport import Applied, Range
from agent.contract.outbox import Outbox, Parcel

BOOT = UUID(int=1)


def a_parcel(first: int, last: int) -> Parcel:
    return Parcel(first, last, b"")


def an_outbox(parcels_max: int = 10) -> Outbox:
    """Three parcels of ten ereports, published at 0, 1 and 2 s."""
    outbox = Outbox(parcels_max)
    for number in range(3):
        outbox.put(a_parcel(number * 10, number * 10 + 9), now=float(number))
    return outbox


def applied(next_seq: int) -> Applied:
    return Applied(boot_id=BOOT, next_seq=next_seq)


def missing(first: int, last: int) -> Range:
    return Range(boot_id=BOOT, first=first, last=last)


def firsts(parcels: list[Parcel]) -> list[int]:
    return [parcel.first for parcel in parcels]


@pytest.mark.parametrize(("next_seq", "gone"), [(0, 0), (9, 0), (10, 1), (29, 2), (30, 3)])
def test_a_parcel_goes_when_all_of_it_is_applied(next_seq: int, gone: int) -> None:
    outbox = an_outbox()
    assert outbox.applied(applied(next_seq)) == gone
    assert len(outbox) == 3 - gone


def test_the_same_mark_again_lets_go_of_nothing_more() -> None:
    outbox = an_outbox()
    outbox.applied(applied(10))
    assert outbox.applied(applied(10)) == 0


@pytest.mark.parametrize(
    ("first", "last", "sent"),
    [(0, 0, [0]), (9, 10, [0, 10]), (10, 19, [10]), (5, 2**63 - 1, [0, 10, 20]), (30, 40, [])],
)
def test_every_parcel_with_a_missing_ereport_is_sent_again(
    first: int, last: int, sent: list[int]
) -> None:
    assert firsts(an_outbox().asked_for(missing(first, last), now=5.0)) == sent


def test_what_is_applied_cannot_be_sent_again() -> None:
    outbox = an_outbox()
    outbox.applied(applied(20))
    assert firsts(outbox.asked_for(missing(0, 29), now=5.0)) == [20]


def test_a_parcel_is_overdue_once_patience_is_over() -> None:
    assert firsts(an_outbox().overdue(now=3.0, patience_seconds=2.0)) == [0, 10]


def test_without_patience_everything_is_sent_again() -> None:
    """That is what a lost connection asks for."""
    assert firsts(an_outbox().overdue(now=2.0, patience_seconds=0.0)) == [0, 10, 20]


def test_sending_again_starts_the_wait_anew() -> None:
    outbox = an_outbox()
    outbox.asked_for(missing(0, 9), now=3.0)
    assert firsts(outbox.overdue(now=3.0, patience_seconds=2.0)) == [10]


def test_a_full_outbox_says_so() -> None:
    assert (an_outbox(parcels_max=3).is_full, an_outbox(parcels_max=4).is_full) == (True, False)


def test_a_full_outbox_drops_its_oldest_parcel_and_counts_it() -> None:
    outbox = an_outbox(parcels_max=3)
    outbox.put(a_parcel(30, 39), now=3.0)
    assert (outbox.dropped, len(outbox)) == (1, 3)
    assert outbox.asked_for(missing(0, 9), now=3.0) == []


def test_a_parcel_out_of_order_is_refused() -> None:
    with pytest.raises(ValueError, match="parcel 25 comes after 29: out of order"):
        an_outbox().put(a_parcel(25, 35), now=3.0)


def test_an_outbox_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="parcels_max must be at least 1"):
        Outbox(0)
