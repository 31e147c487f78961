"""Ereports side by side: one numpy column a field.

A message carries up to 1,024 ereports. They are never made into objects on the way in: admission
and the engines work on these columns. `COLUMNS` is the one table of what there is, and the packed
encoding writes the columns in this order, little-endian.

Unknown is -1 for a coordinate and `located` = False for an address: the address column then holds
0, and nobody may read it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from typing import Any, Self
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]
U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]
I16 = NDArray[np.int16]
I32 = NDArray[np.int32]
I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]

UNKNOWN = -1


class Kind(IntEnum):
    """What an ereport reports: a corrected or an uncorrected memory error."""

    CE = 0
    UE = 1


COLUMNS: tuple[tuple[str, np.dtype[Any]], ...] = (
    ("seq", np.dtype("<u8")),
    ("time_ns", np.dtype("<i8")),
    ("address", np.dtype("<u8")),
    ("count", np.dtype("<u4")),
    ("row", np.dtype("<i4")),
    ("column", np.dtype("<i4")),
    ("dimm", np.dtype("<i2")),
    ("rank", np.dtype("<i2")),
    ("bank", np.dtype("<i2")),
    ("kind", np.dtype("u1")),
    ("located", np.dtype("?")),
)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Ereports of one host and one boot, in the order they were sent.

    `count` is as reported: 0 means "unknown" and is to be read as 1 (`errors` does). `dimm` indexes
    `dimms`, the labels that occur. `bank` counts flat within a rank (bank group × banks + bank).
    """

    host: str
    boot_id: UUID
    dimms: tuple[str, ...]
    seq: U64
    time_ns: I64
    address: U64
    count: U32
    row: I32
    column: I32
    dimm: I16
    rank: I16
    bank: I16
    kind: U8
    located: Bools

    def __len__(self) -> int:
        return len(self.seq)

    @property
    def mfn(self) -> I64:
        """The frame of each ereport; read it only where `located`."""
        return (self.address >> np.uint64(12)).astype(np.int64)

    @property
    def errors(self) -> I64:
        """How many errors each ereport stands for: its count, and 1 where the count is unknown."""
        return np.maximum(self.count, 1).astype(np.int64)

    def only(self, chosen: Bools) -> Self:
        """The ereports for which `chosen` is true, in the same order."""
        kept = {name: getattr(self, name)[chosen] for name, _ in COLUMNS}
        return replace(self, **kept)

    def same_as(self, other: object) -> bool:
        """True if every column and every name is equal (arrays have no truth of their own)."""
        if not isinstance(other, Batch):
            return False
        return all(
            np.array_equal(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)
        )


def joined(batches: Sequence[Batch]) -> Batch:
    """Batches of one host and one boot, one behind the other, as one."""
    if len(batches) == 1:
        return batches[0]
    labels = dict.fromkeys(label for batch in batches for label in batch.dimms)
    places = {label: at for at, label in enumerate(labels)}
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(batch, name) for batch in batches]) for name, _ in COLUMNS
    }
    columns["dimm"] = np.concatenate([_renamed(batch, places) for batch in batches])
    return replace(batches[0], dimms=tuple(labels), **columns)


def _renamed(batch: Batch, places: Mapping[str, int]) -> I16:
    """The column of DIMMs, as an index into the labels that stand at `places`."""
    renamed = np.array([UNKNOWN, *(places[label] for label in batch.dimms)], np.int16)
    dimms: I16 = renamed[batch.dimm - UNKNOWN]
    return dimms
