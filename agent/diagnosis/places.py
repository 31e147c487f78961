"""Where on a DIMM the errors of a batch lie: sums for whoever looks, no part of any decision."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from agent.contract.columns import UNKNOWN, Batch, Kind

BankErrors = tuple[tuple[tuple[str, int, int], int], ...]
Numbers = NDArray[np.int64]

PLACES_MAX = 1 << 16  # that are counted in a table; a sender may claim 2^45 of them


def bank_errors(*batches: Batch) -> BankErrors:
    """Errors of each (DIMM, rank, bank) that is named in full and had any, in that order."""
    labels = tuple(dict.fromkeys(label for batch in batches for label in batch.dimms))
    numbers = {label: at for at, label in enumerate(labels)}
    dimm, rank, bank, errors = np.hstack([_named(batch, numbers) for batch in batches])
    ranks, banks = int(rank.max(initial=0)) + 1, int(bank.max(initial=0)) + 1
    found, sums = _summed((dimm * ranks + rank) * banks + bank, errors)
    on_dimm = found // banks
    dimms: list[int] = (on_dimm // ranks).tolist()
    names = [labels[at] for at in dimms]
    where = zip(names, (on_dimm % ranks).tolist(), (found % banks).tolist(), strict=True)
    return tuple(zip(where, sums.tolist(), strict=True))


def _named(batch: Batch, numbers: Mapping[str, int]) -> Numbers:
    """DIMM, rank, bank and errors of what names all three, a row each; `numbers` are of labels."""
    named = np.flatnonzero(
        (batch.dimm != UNKNOWN) & (batch.rank != UNKNOWN) & (batch.bank != UNKNOWN)
    )
    number = np.array([numbers[label] for label in batch.dimms], np.int64)
    dimm = number[batch.dimm[named]]
    rank, bank = batch.rank[named].astype(np.int64), batch.bank[named].astype(np.int64)
    return np.stack((dimm, rank, bank, batch.errors[named]))


def _summed(places: Numbers, errors: Numbers) -> tuple[Numbers, Numbers]:
    """Each place that occurs, in order, and its errors."""
    if places.max(initial=0) < PLACES_MAX:
        sums = np.bincount(places, weights=errors)
        found = np.flatnonzero(sums)
        return found, sums[found].astype(np.int64)
    found, which = np.unique(places, return_inverse=True)
    return found, np.bincount(which, weights=errors).astype(np.int64)


def dimm_uncorrected(batch: Batch, unknown: str) -> tuple[tuple[str, int], ...]:
    """Ereports of uncorrected errors of each DIMM that had any; `unknown` where none is named."""
    uncorrected = batch.kind == Kind.UE
    if not uncorrected.any():
        return ()
    labels = (*batch.dimms, unknown)
    of = batch.dimm[uncorrected].astype(np.int64) % len(labels)  # -1: the last one
    sums = np.bincount(of, minlength=len(labels))
    return tuple((labels[at], int(sums[at])) for at in np.flatnonzero(sums).tolist())
