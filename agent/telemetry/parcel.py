"""Records become one message: numbered one after another, and packed."""

from collections.abc import Sequence
from uuid import UUID

from agent.contract.codec import from_ereports, pack
from agent.contract.outbox import Parcel
from agent.telemetry.record import Decoded


def parcel_of(batch: Sequence[Decoded], host: str, boot_id: UUID, first_seq: int) -> Parcel:
    """`batch` as one message, numbered from `first_seq`."""
    ereports = [record.ereport(host, boot_id, seq) for seq, record in enumerate(batch, first_seq)]
    return Parcel(first_seq, first_seq + len(batch) - 1, pack(from_ereports(ereports)))
