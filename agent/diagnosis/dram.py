"""Which rows and banks of a DIMM are going bad: N errors in T for each, as for pages.

A page is what can be taken out of use; a row, or a bank, is what fails. Its pages go one after the
other, and to take them one by one is a race that a bank wins. So a row or a bank that fails is
told, once, for people to act on: by itself it takes no page out of use.

A corrected error counts against the row that its ereport names, wherever its address is, and
against the bank too, *unless its row has failed*, on that error or before: what a row explains says
nothing of its bank. So one bad row, however loud, is not taken for a bad bank, nor is a record of a
thousand errors in one cell. An ereport of a place that has no number is *misplaced*: it counts
against none.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from agent.contract.columns import I64, UNKNOWN, Batch, Bools, Kind
from agent.contract.errors import AgentError
from agent.diagnosis.engines import Serd, SerdSettings, reason_of
from agent.diagnosis.place import (
    ROWS_MAX,
    Place,
    Places,
    banks_of_rows,
    dimms_of,
    is_bank_named,
    rows_of,
)

_PREFIX = struct.Struct("<QQQ")


@dataclass(frozen=True, slots=True)
class Failing:
    """The engine of `place` fired on an error at `time_ns`; `reason` is a sentence for people."""

    place: Place
    time_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class Hot:
    """A place with `errors` in its window; it has failed where they are `threshold`."""

    place: Place
    errors: int
    threshold: int


@dataclass(frozen=True, slots=True)
class Wear:
    """What a batch came to. `misplaced` counts ereports; evicted are places that made room."""

    rows: tuple[Failing, ...] = ()
    banks: tuple[Failing, ...] = ()
    misplaced: int = 0
    rows_evicted: int = 0
    banks_evicted: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What failed, how many places made room, and which records are of a place that has failed."""

    failing: tuple[Failing, ...]
    evicted: int
    explained: Bools


class Engine:
    """Of all rows, or of all banks; with no settings it counts nothing."""

    def __init__(self, settings: SerdSettings | None, place_of: Callable[[int], Place]) -> None:
        self._place_of = place_of
        self._serd = _serd(settings) if settings else None

    def __len__(self) -> int:
        return len(self._serd) if self._serd else 0

    def record(self, places: I64, time_ns: I64, errors: I64) -> Found:
        if self._serd is None:
            return Found((), 0, np.zeros(len(places), np.bool_))
        fired = self._serd.record(places, time_ns, errors)
        reason = reason_of(self._serd.settings)
        at = fired.index
        failing = tuple(
            Failing(self._place_of(place), when, reason)
            for place, when in zip(places[at].tolist(), time_ns[at].tolist(), strict=True)
        )
        return Found(failing, fired.evicted, fired.over)

    def let_go(self, chosen: Callable[[I64], Bools]) -> None:
        """Forget the places that are `chosen`."""
        if self._serd is not None:
            self._serd.let_go(chosen)

    def hottest(self, k: int) -> tuple[Hot, ...]:
        """`k` places: those that failed, the latest first, then those nearest to failing."""
        if self._serd is None:
            return ()
        n = self._serd.settings.n
        failed = [(place, n) for place in self._serd.fired(k)]
        near = [(place, errors) for place, errors in self._serd.hottest(k) if errors < n]
        return tuple(
            Hot(self._place_of(place), errors, n) for place, errors in (*failed, *near)[:k]
        )

    def frozen(self) -> Callable[[], bytes]:
        return self._serd.frozen() if self._serd else bytes

    def restore(self, snapshot: bytes) -> None:
        """Go on from `snapshot`; one that counted nothing is empty. `AgentError` if damaged."""
        if self._serd is not None and snapshot:
            self._serd.restore(snapshot)


def _serd(settings: SerdSettings) -> Serd:
    return Serd(settings.n, settings.window_ns, settings.pages_max, for_good=True)


class Dram:
    """The rows and banks of all DIMMs; those without settings are not judged.

    A snapshot is

        labels_bytes u64  rows_bytes u64  banks_bytes u64
        labels and modules (JSON)  rows (npz)  banks (npz)
    """

    def __init__(self, row: SerdSettings | None = None, bank: SerdSettings | None = None) -> None:
        self._places = Places()
        self._is_off = row is None and bank is None
        self.rows = Engine(row, self._places.row)
        self.banks = Engine(bank, self._places.bank)

    def judge(self, batch: Batch) -> Wear:
        """Count what names its place; a row or bank that fires is failing, once."""
        if self._is_off or not (is_named := is_bank_named(batch)).any():
            return Wear()
        named = np.flatnonzero(is_named & (batch.kind == Kind.CE))
        banks = self._places.banks_of(batch, named)
        row = batch.row[named]
        fits = (banks != UNKNOWN) & (row < ROWS_MAX)
        if not fits.all():
            named, banks, row = named[fits], banks[fits], row[fits]
        time_ns, errors = batch.time_ns[named], batch.errors[named]
        at = np.flatnonzero(row != UNKNOWN)
        of_rows = self.rows.record(rows_of(banks[at], row[at]), time_ns[at], errors[at])
        at = np.delete(np.arange(len(row)), at[of_rows.explained])
        of_banks = self.banks.record(banks[at], time_ns[at], errors[at])
        return Wear(
            rows=of_rows.failing,
            banks=of_banks.failing,
            misplaced=len(fits) - len(named),
            rows_evicted=of_rows.evicted,
            banks_evicted=of_banks.evicted,
        )

    def meet(self, modules: Mapping[str, str]) -> tuple[str, ...]:
        """The DIMMs that are there now, by slot: forget the rows and banks of those that are not
        there any more. The slots that have another.
        """
        replaced = self._places.meet(modules)
        gone = self._places.numbers_of(replaced)
        self.banks.let_go(lambda banks: np.isin(dimms_of(banks), gone))
        self.rows.let_go(lambda rows: np.isin(dimms_of(banks_of_rows(rows)), gone))
        return replaced

    def frozen(self) -> Callable[[], bytes]:
        """A copy of it as it is now; call it, in any thread, for the snapshot."""
        labels, rows, banks = self._places.snapshot(), self.rows.frozen(), self.banks.frozen()

        def snapshot() -> bytes:
            parts = (labels, rows(), banks())
            return _PREFIX.pack(*map(len, parts)) + b"".join(parts)

        return snapshot

    def restore(self, snapshot: bytes) -> None:
        """Go on from `snapshot`. `AgentError` if it is damaged."""
        labels, rows, banks = _taken_apart(snapshot)
        self._places.restore(labels)
        self.rows.restore(rows)
        self.banks.restore(banks)


def _taken_apart(snapshot: bytes) -> tuple[bytes, bytes, bytes]:
    """Labels, rows and banks."""
    if len(snapshot) < _PREFIX.size or len(snapshot) != _whole(snapshot):
        raise AgentError("snapshot of rows and banks: cut off; start without it")
    labels, rows, _ = _PREFIX.unpack_from(snapshot)
    rows_at = _PREFIX.size + labels
    banks_at = rows_at + rows
    return snapshot[_PREFIX.size : rows_at], snapshot[rows_at:banks_at], snapshot[banks_at:]


def _whole(snapshot: bytes) -> int:
    """How long it is if nothing is missing."""
    size: int = _PREFIX.size + sum(_PREFIX.unpack_from(snapshot))
    return size
