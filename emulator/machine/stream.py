"""Errors side by side: what a simulated host's memory does in a span of time, as numpy columns.

One row is one error, corrected or not, in the order of time. Counts, registers and lost addresses
are no business of the memory: whoever latches errors makes lumps of them.
"""

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Self

import numpy as np

from agent.contract.columns import I64, U8, Kind


class Transaction(IntEnum):
    """What came upon the error: a program's read, or the patrol scrubber on its round."""

    READ = 0
    SCRUB = 1


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Some errors in a row. `time_ns` counts from the begin of the span, `kind` is a `Kind`.

    `flaw` is which of the flaws that were handed in, and `mode` its mode. A flaw is at an address
    as the memory's geometry has it, and that need not be one that the host makes use of.
    """

    time_ns: I64
    address: I64
    kind: U8
    transaction: U8
    flaw: I64
    mode: U8

    def __len__(self) -> int:
        return len(self.time_ns)

    @property
    def uncorrected(self) -> int:
        return int(np.count_nonzero(self.kind == Kind.UE))

    def __getitem__(self, chosen: slice) -> Self:
        return type(self)(*(getattr(self, f.name)[chosen] for f in fields(self)))
