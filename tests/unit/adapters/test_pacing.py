"""How many ereports a message has, and when it is due."""

from uuid import UUID

import pytest

from agent.adapters.pacing import Pacing, batched, recorded
from agent.contract.codec import decode, from_ereports
from agent.telemetry.record import Decoded

BOOT = UUID(int=7)


@pytest.mark.parametrize(
    ("rate", "most"), [(0.0, 1024), (1.0, 1), (99.0, 9), (5000.0, 500), (1e6, 1024)]
)
def test_a_message_holds_no_more_than_a_tenth_of_a_second(rate: float, most: int) -> None:
    assert Pacing(1024, rate=rate).batch_at_rate == most


async def test_records_are_numbered_on_from_message_to_message() -> None:
    records = [Decoded(line=1, time_ns=at) for at in range(5)]
    parcels = [p async for p in recorded(records, "hv-1", BOOT, Pacing(batch=2))]
    assert [(p.first, p.last) for p in parcels] == [(0, 1), (2, 3), (4, 4)]


async def test_a_batch_is_one_message_and_stays_as_it_is() -> None:
    ereports = [Decoded(line=1, time_ns=9).ereport("hv-1", BOOT, seq) for seq in (3, 4)]
    batch = from_ereports(ereports)
    (parcel,) = [p async for p in batched(iter([batch]), Pacing(batch=2))]
    assert (parcel.first, parcel.last, decode(parcel.payload).same_as(batch)) == (3, 4, True)
