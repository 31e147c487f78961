"""A row or a bank of a DIMM, as a name and as a number.

All of it is one number that an engine can count by, exactly:

    DIMM 12 bits │ rank 8 │ bank 15            a bank
    DIMM 12 bits │ rank 8 │ bank 15 │ row 28   a row

Ranks and rows beyond these no memory has: DDR5 ends at 2^18 rows. A DIMM is known by its label, and
each batch lists its labels in its own way, so they are numbered in the order in which they first
occurred. Anybody may send any label, and there is room for `DIMMS_MAX` of them.

A label is a slot. Which DIMM is in it is known where the host says so, and remembered, so that what
one had is not told of another that takes its place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import TypeAdapter, ValidationError

from agent.contract.codec import one_line
from agent.contract.columns import I32, I64, UNKNOWN, Batch, Bools
from agent.contract.ereport import Wire
from agent.contract.errors import AgentError

_RANK_BITS, _BANK_BITS, _ROW_BITS = 8, 15, 28
DIMMS_MAX = 1 << (63 - _RANK_BITS - _BANK_BITS - _ROW_BITS)
RANKS_MAX, ROWS_MAX = 1 << _RANK_BITS, 1 << _ROW_BITS


class _Kept(Wire):
    labels: tuple[str, ...]
    modules: dict[str, str]


# A tuple of labels is a snapshot of before modules were remembered.
_SNAPSHOT = TypeAdapter[_Kept | tuple[str, ...]](_Kept | tuple[str, ...])


@dataclass(frozen=True, slots=True)
class Place:
    """A row of a bank, or without `row` all of the bank. `dimm` is the label of the ereports."""

    dimm: str
    rank: int
    bank: int
    row: int | None = None


def is_bank_named(batch: Batch) -> Bools:
    """Which ereports name a DIMM, a rank and a bank."""
    # Where one of them is -1 its sign bit is set, and so it is in all of them together.
    named: Bools = (batch.dimm | batch.rank | batch.bank) > UNKNOWN
    return named


class Places:
    """From places to numbers and back, for as long as the host is known."""

    def __init__(self) -> None:
        self._labels: list[str] = []
        self._numbers: dict[str, int] = {}
        self._modules: dict[str, str] = {}

    def meet(self, modules: Mapping[str, str]) -> tuple[str, ...]:
        """The DIMMs that are there now, by slot; the slots that are known to have had another."""
        known = self._modules
        replaced = [slot for slot, module in modules.items() if known.get(slot, module) != module]
        self._modules = {**known, **modules}
        return tuple(replaced)

    def numbers_of(self, slots: Sequence[str]) -> I64:
        """Of those that have one."""
        return np.array([self._numbers[slot] for slot in slots if slot in self._numbers], np.int64)

    def banks_of(self, batch: Batch, named: I64) -> I64:
        """The bank of each of the `named` ereports; `UNKNOWN` if it has no number."""
        at, rank = batch.dimm[named], batch.rank[named].astype(np.int64)
        numbers = np.full(len(batch.dimms), UNKNOWN, np.int64)
        for label in np.flatnonzero(np.bincount(at)).tolist():
            numbers[label] = self._number_of(batch.dimms[label])
        dimm = numbers[at]
        banks: I64 = (dimm << _RANK_BITS | rank) << _BANK_BITS | batch.bank[named]
        banks[(dimm == UNKNOWN) | (rank >= RANKS_MAX)] = UNKNOWN
        return banks

    def _number_of(self, label: str) -> int:
        number = self._numbers.get(label, UNKNOWN)
        if number == UNKNOWN and len(self._labels) < DIMMS_MAX:
            number = self._numbers[label] = len(self._labels)
            self._labels.append(label)
        return number

    def bank(self, number: int) -> Place:
        bank, rank = number % (1 << _BANK_BITS), (number >> _BANK_BITS) % RANKS_MAX
        return Place(self._labels[number >> (_BANK_BITS + _RANK_BITS)], rank, bank)

    def row(self, number: int) -> Place:
        of = self.bank(number >> _ROW_BITS)
        return Place(of.dimm, of.rank, of.bank, number % ROWS_MAX)

    def snapshot(self) -> bytes:
        kept = _Kept(labels=tuple(self._labels), modules=self._modules)
        return kept.model_dump_json().encode()

    def restore(self, snapshot: bytes) -> None:
        """Go on from `snapshot`. `AgentError` if it is damaged."""
        try:
            kept = _SNAPSHOT.validate_json(snapshot)
        except ValidationError as error:
            why = one_line(error)
            raise AgentError(f"labels of DIMMs: damaged ({why}); start without them") from None
        kept = _Kept(labels=kept, modules={}) if isinstance(kept, tuple) else kept
        self._labels, self._modules = list(kept.labels), kept.modules
        self._numbers = {label: number for number, label in enumerate(kept.labels)}


def dimms_of(banks: I64) -> I64:
    """The number of the DIMM of each bank."""
    dimms: I64 = banks >> (_RANK_BITS + _BANK_BITS)
    return dimms


def banks_of_rows(rows: I64) -> I64:
    """The bank that each row is of."""
    banks: I64 = rows >> _ROW_BITS
    return banks


def rows_of(banks: I64, row: I32) -> I64:
    """The number of each `row`, from 0 to below `ROWS_MAX`, of the bank beside it."""
    rows: I64 = banks << _ROW_BITS | row
    return rows
