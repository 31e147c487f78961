"""Batches for tests: say what matters, the rest is ordinary."""

from collections.abc import Iterable, Sequence
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from agent.contract.columns import UNKNOWN, Batch, Kind

HOST = "hv-1"
BOOT = UUID(int=1)


def numbers(values: Iterable[int]) -> NDArray[np.int64]:
    return np.array(list(values), np.int64)


def a_batch(
    seq: Sequence[int],
    *,
    host: str = HOST,
    boot_id: UUID = BOOT,
    mfns: Sequence[int | None] | None = None,
    times_ns: Sequence[int] | None = None,
    counts: Sequence[int] | None = None,
    kinds: Sequence[Kind] | None = None,
    dimms: Sequence[str | None] | None = None,
    ranks: Sequence[int] | None = None,
    banks: Sequence[tuple[int, int]] | None = None,
    rows: Sequence[int] | None = None,
) -> Batch:
    """Corrected errors, one each, on a page each, unless said otherwise; mfn None is unlocated.

    `banks` are a rank and a bank each, -1 where it is not known, as of `rows`.
    """
    places = range(0x100, 0x100 + len(seq)) if mfns is None else mfns
    labels = tuple(dict.fromkeys(label for label in dimms or () if label is not None))
    unknown = np.full(len(seq), UNKNOWN)
    ranks_banks = np.array(banks or [(UNKNOWN, UNKNOWN)] * len(seq), np.int16).reshape(-1, 2)
    return Batch(
        host=host,
        boot_id=boot_id,
        dimms=labels,
        seq=np.array(seq, np.uint64),
        time_ns=numbers(times_ns or (1_000 + at for at in range(len(seq)))),
        address=np.array([(mfn or 0) << 12 for mfn in places], np.uint64),
        count=np.array(counts or [1] * len(seq), np.uint32),
        row=np.array(rows or unknown, np.int32),
        column=unknown.astype(np.int32),
        dimm=np.array(
            [labels.index(label) if label else UNKNOWN for label in dimms or [None] * len(seq)],
            np.int16,
        ),
        rank=np.array(ranks, np.int16) if ranks else ranks_banks[:, 0],
        bank=ranks_banks[:, 1],
        kind=np.array(kinds or [Kind.CE] * len(seq), np.uint8),
        located=np.array([mfn is not None for mfn in places], np.bool_),
    )
