"""What a decoder says of a line that speaks of a memory error: the error, or why not.

A line about anything else gives neither. Bounds are those of the contract, so that a `Decoded` that
was `checked` always makes an ereport.
"""

from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

from agent.contract.ereport import Ereport

DIMM_CHARS_MAX = 128
DETAIL_CHARS_MAX = 4096
UNTIMED = "no time: the line has neither a date nor seconds since boot"

BOUNDS: dict[str, int] = {
    "time_ns": 1 << 63,
    "count": 1 << 32,
    "address": 1 << 64,
    "rank": 1 << 15,
    "bank": 1 << 15,
    "row": 1 << 31,
    "column": 1 << 31,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """The error that line number `line` reports; `host` is who the line says wrote it."""

    line: int
    time_ns: int
    kind: Literal["ce", "ue"] = "ce"
    count: int = 1
    address: int | None = None
    dimm: str | None = None
    rank: int | None = None
    bank: int | None = None
    row: int | None = None
    column: int | None = None
    detail: str | None = None
    host: str | None = None

    @property
    def errors(self) -> int:
        """How many errors it stands for: a count of 0 is an unknown one, and counts 1."""
        return max(self.count, 1)

    def ereport(self, host: str, boot_id: UUID, seq: int) -> Ereport:
        return Ereport(
            host=host,
            boot_id=boot_id,
            seq=seq,
            time_ns=self.time_ns,
            kind=self.kind,
            count=self.count,
            address=self.address,
            dimm=self.dimm,
            rank=self.rank,
            bank=self.bank,
            row=self.row,
            column=self.column,
            detail=self.detail,
        )


@dataclass(frozen=True, slots=True)
class Refused:
    """Line number `line` speaks of a memory error that could not be read."""

    line: int
    reason: str


Outcome = Decoded | Refused


def checked(record: Decoded) -> Outcome:
    """`record`, if an ereport may carry every number of it; a detail that is too long is cut."""
    for name, below in BOUNDS.items():
        value: int | None = getattr(record, name)
        if value is not None and not 0 <= value < below:
            return Refused(record.line, f"{name} must be 0 to {below - 1} (got {value})")
    if record.detail and len(record.detail) > DETAIL_CHARS_MAX:
        return replace(record, detail=f"{record.detail[: DETAIL_CHARS_MAX - 1]}…")
    return record


def dimm_named(label: str) -> str | None:
    """The DIMM that `label` names, or None where it names none.

    The kernel lists every DIMM that it could have been (`A or B or C`); a list too long for an
    ereport keeps its first names and ends in `or …`.
    """
    label = label.strip()
    if label in {"", "any memory", "unknown memory", "unknown label"}:
        return None
    if len(label) <= DIMM_CHARS_MAX:
        return label
    ending = " or …"
    kept = label[: DIMM_CHARS_MAX - len(ending)]
    return (kept.rpartition(" or ")[0] or kept) + ending
