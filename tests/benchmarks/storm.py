"""Storms to measure with: numbered corrected errors on so many pages, in messages of so many.

The pages lie scattered over the host, each in a row of its own. Time goes on by `step_ns` from one
ereport to the next.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import numpy as np

from agent.contract.codec import pack, to_ereports
from agent.contract.columns import I64, UNKNOWN, Batch
from agent.contract.frames import PAGE_SHIFT

HOST = "hv-1"
BEGAN_NS = 1_750_000_000_000_000_000
DIMMS = tuple(f"CPU{cpu}_C{channel}_D0" for cpu in range(2) for channel in range(8))
STRIDE = 7  # pages between two that err: no two of them share anything


@dataclass(slots=True)
class Storm:
    """Each message goes on where the one before it ended. Banks are named if it `names_banks`."""

    pages: int
    step_ns: int = 1_000
    names_banks: bool = True
    boot_id: UUID = field(default_factory=uuid4)
    next_seq: int = 0
    _rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(8412))

    def packed(self, messages: int, count: int) -> Iterator[bytes]:
        return (pack(self.batch(count)) for _ in range(messages))

    def twice(self, messages: int, count: int) -> Iterator[bytes]:
        """Two errors on each of ever new pages."""
        for number in range(messages):
            pages = np.repeat(np.arange(count // 2) + number * (count // 2), 2) * STRIDE
            yield pack(self.batch(count, pages))

    def json(self, messages: int, count: int) -> Iterator[bytes]:
        """An array a message, or a bare object where it holds but one."""
        for _ in range(messages):
            texts = [
                each.model_dump_json(exclude_none=True).encode()
                for each in to_ereports(self.batch(count))
            ]
            yield texts[0] if count == 1 else b"[" + b",".join(texts) + b"]"

    def batch(self, count: int, mfns: I64 | None = None) -> Batch:
        rng = self._rng
        seq = np.arange(self.next_seq, self.next_seq + count, dtype=np.uint64)
        self.next_seq += count
        pages = rng.integers(0, self.pages, count) * STRIDE if mfns is None else mfns
        place = pages // STRIDE
        return Batch(
            HOST,
            self.boot_id,
            DIMMS,
            seq=seq,
            time_ns=BEGAN_NS + seq.astype(np.int64) * self.step_ns,
            address=pages.astype(np.uint64) << np.uint64(PAGE_SHIFT),
            count=np.ones(count, np.uint32),
            row=(place // 512).astype(np.int32),
            column=rng.integers(0, 1 << 10, count, np.int32),
            dimm=(place % len(DIMMS)).astype(np.int16),
            rank=(place // 16 % 2).astype(np.int16),
            bank=np.where(self.names_banks, place // 32 % 16, UNKNOWN).astype(np.int16),
            kind=np.zeros(count, np.uint8),
            located=np.ones(count, np.bool_),
        )
