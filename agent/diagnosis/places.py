"""Where on a DIMM the errors of a batch lie: sums for whoever looks, no part of any decision."""

import numpy as np
from numpy.typing import NDArray

from agent.contract.columns import UNKNOWN, Batch, Kind

BankErrors = tuple[tuple[tuple[str, int, int], int], ...]

_COORDINATE_BITS = 15  # a rank or a bank is below 2^15


def bank_errors(batch: Batch) -> BankErrors:
    """Errors of each (DIMM, rank, bank) that is named in full and had any, in that order."""
    named = np.flatnonzero(
        (batch.dimm != UNKNOWN) & (batch.rank != UNKNOWN) & (batch.bank != UNKNOWN)
    )
    columns = (column[named].astype(np.int64) for column in (batch.dimm, batch.rank, batch.bank))
    keys = _packed(*columns)
    banks, which = np.unique(keys, return_inverse=True)
    sums = np.bincount(which, weights=batch.errors[named], minlength=len(banks))
    return tuple(
        (_unpacked(batch, bank), int(errors))
        for bank, errors in zip(banks.tolist(), sums.tolist(), strict=True)
    )


def _packed(
    dimm: NDArray[np.int64], rank: NDArray[np.int64], bank: NDArray[np.int64]
) -> NDArray[np.int64]:
    return (dimm << 2 * _COORDINATE_BITS) | (rank << _COORDINATE_BITS) | bank


def _unpacked(batch: Batch, key: int) -> tuple[str, int, int]:
    mask = (1 << _COORDINATE_BITS) - 1
    dimm = batch.dimms[key >> 2 * _COORDINATE_BITS]
    return dimm, key >> _COORDINATE_BITS & mask, key & mask


def dimm_uncorrected(batch: Batch, unknown: str) -> tuple[tuple[str, int], ...]:
    """Ereports of uncorrected errors of each DIMM that had any; `unknown` where none is named."""
    labels = (*batch.dimms, unknown)
    of = batch.dimm[batch.kind == Kind.UE].astype(np.int64) % len(labels)  # -1: the last one
    sums = np.bincount(of, minlength=len(labels))
    return tuple((labels[at], int(sums[at])) for at in np.flatnonzero(sums).tolist())
