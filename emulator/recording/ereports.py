"""pagewarden's own: the contract's ereports, as JSON, one a line. Carries all of them."""

from agent.contract.ereport import Ereport
from emulator.recording.record import Machine, Record


def ereport_of(record: Record, machine: Machine, seq: int) -> Ereport:
    """What a host that knows all this of an error reports."""
    place = record.place
    return Ereport(
        host=machine.host,
        boot_id=machine.boot_id,
        seq=seq,
        time_ns=record.time_ns,
        kind=record.kind,
        count=record.count,
        address=record.address,
        dimm=record.dimm,
        rank=place.rank if place else None,
        bank=place.bank_group * machine.banks_per_group + place.bank if place else None,
        row=place.row if place else None,
        column=place.column if place else None,
    )


def text(record: Record, machine: Machine, number: int) -> str:
    return ereport_of(record, machine, number).model_dump_json(exclude_none=True) + "\n"
