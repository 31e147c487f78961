"""APEI/GHES: an error that the firmware has looked at, as the kernel prints what it was told.

Carries the address, the place and the DIMM, the time to the microsecond of the log's prefix; a
count it does not know. `{7}` is the number of the event, so that lines of two can be told apart.
"""

from emulator.recording.kernel import kernel_lines
from emulator.recording.record import Machine, Record

_CORRECTED = "It has been corrected by h/w and requires no further action"
_SEVERITIES = {"ce": "corrected", "ue": "recoverable"}
_TYPES = {"ce": "2, single-bit ECC", "ue": "3, multi-bit ECC"}


def text(record: Record, machine: Machine, number: int) -> str:
    return kernel_lines(record, machine, block(record, machine, number))


def block(record: Record, _machine: Machine, number: int) -> tuple[str, ...]:
    """The lines of one event with one section."""
    severity = _SEVERITIES[record.kind]
    return tuple(
        f"{{{number + 1}}}[Hardware Error]: {said}"
        for said in (
            "Hardware error from APEI Generic Hardware Error Source: 1",
            *((_CORRECTED,) if record.kind == "ce" else ()),
            f"event severity: {severity}",
            f" Error 0, type: {severity}",
            "  section_type: memory error",
            *_where(record),
            f"  error_type: {_TYPES[record.kind]}",
            *((f"  DIMM location: {record.dimm}",) if record.dimm else ()),
        )
    )


def _where(record: Record) -> tuple[str, ...]:
    node = f"  node:{record.socket} card:{record.channel} "
    if record.slot is not None:
        node += f"module:{record.slot} "
    place = record.place
    if record.address is None or place is None:
        return (node,)
    bank = f"bank_group:{place.bank_group} bank_address:{place.bank}"
    return (
        f"  physical_address: 0x{record.address:016x}",
        "  physical_address_mask: 0xffffffffffffffc0",
        f"{node}rank:{place.rank} {bank} row:{place.row} column:{place.column} ",
    )
