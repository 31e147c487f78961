"""Errors side by side: what the memory's flaws do in the course of time, as numpy columns.

One row is one error, corrected or not, in the order of time. Counts, registers and lost addresses
are no business of the memory: whoever latches errors makes lumps of them.

    flaw ──blocks──► by time, of those that go on ──► merged up to where all are known ──► chunks

Each flaw draws from a seed of its own, a block at a time, so that neither its company nor how much
one takes at once changes an error. Between two errors lies a gap of the burst they belong to, or a
quiet one that begins another burst. A quiet may end with the patrol scrubber instead of a program:
it comes by each address once a round, in the order of addresses.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Self

import numpy as np

from agent.contract.columns import I64, U8, Bools, Kind
from emulator.machine.faults import Flaw, addresses_of
from emulator.machine.memory import Geometry
from emulator.machine.model import Model

CHUNK_MAX = 1 << 16
_BLOCK = 1 << 16
_GATHERED = 1 << 18
_FOR_EVER_NS = 1 << 62
_GAP_NS_MAX = 1e17  # three years: the sum of a block's gaps stays within 64 bits


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

    def __getitem__(self, chosen: slice | I64 | Bools) -> Self:
        return type(self)(*(getattr(self, f.name)[chosen] for f in fields(self)))


def stream(
    flaws: Sequence[Flaw], model: Model, geometry: Geometry, until_ns: int = _FOR_EVER_NS
) -> Iterator[Chunk]:
    """What they do before `until_ns`, at most `CHUNK_MAX` errors at a time."""
    for merged in _merged(_lives(flaws, model, geometry), until_ns):
        for at in range(0, len(merged), CHUNK_MAX):
            yield merged[at : at + CHUNK_MAX]


def joined(chunks: Sequence[Chunk]) -> Chunk:
    """All of them, one after the other; there must be at least one."""
    return Chunk(*(np.concatenate([getattr(c, f.name) for c in chunks]) for f in fields(Chunk)))


def _merged(lives: Sequence["_Life"], until_ns: int) -> Iterator[Chunk]:
    """Gather blocks of those that go on earliest; give what nobody can come before any more."""
    going_on = [(life.known_ns, life) for life in lives if life.known_ns < until_ns]
    heapq.heapify(going_on)
    left: list[Chunk] = []
    while going_on:
        merged = joined([*left, *_gathered(going_on, until_ns)])
        merged = merged[np.argsort(merged.time_ns, kind="stable")]
        known_ns = going_on[0][0] if going_on else until_ns
        end = int(np.searchsorted(merged.time_ns, known_ns))
        left = [merged[end:]]
        yield merged[:end]


def _gathered(going_on: list[tuple[int, "_Life"]], until_ns: int) -> Iterator[Chunk]:
    """Blocks of a fair number of errors, from the heap of those that go on."""
    count = 0
    while going_on and count < _GATHERED:
        _, life = heapq.heappop(going_on)
        block = life.block()
        count += len(block)
        if life.left and life.known_ns < until_ns:
            heapq.heappush(going_on, (life.known_ns, life))
        yield block


def _lives(flaws: Sequence[Flaw], model: Model, geometry: Geometry) -> list["_Life"]:
    return [_Life(at, flaw, model, geometry) for at, flaw in enumerate(flaws)]


class _Life:
    """What one flaw does, in its order. All that comes later comes after `known_ns`."""

    def __init__(self, index: int, flaw: Flaw, model: Model, geometry: Geometry) -> None:
        self.known_ns = flaw.begins_ns
        self.left = flaw.errors_of_all_kinds
        self._index = index
        self._flaw = flaw
        self._model = model
        self._geometry = geometry
        self._rng = np.random.default_rng(flaw.seed)

    def __lt__(self, other: "_Life") -> bool:
        return self._index < other._index

    def block(self) -> Chunk:
        """The next of its errors; there must be some left."""
        count = min(self.left, _BLOCK)
        given = self._flaw.errors_of_all_kinds - self.left
        address = self._addresses(count)
        wakes = self._wakes(count, is_first=given == 0)
        scrubbed = self._scrubbed(wakes)
        time_ns = self._times(wakes, scrubbed, address, is_first=given == 0)
        self.left -= count
        self.known_ns = int(time_ns[-1])
        transaction = np.full(count, Transaction.READ, np.uint8)
        transaction[scrubbed] = Transaction.SCRUB
        index = np.full(count, self._index, np.int64)
        mode = np.full(count, self._flaw.mode, np.uint8)
        return Chunk(time_ns, address, self._kinds(given, count), transaction, index, mode)

    def _kinds(self, given: int, count: int) -> U8:
        """All are corrected but one, if that is among these."""
        kinds = np.full(count, Kind.CE, np.uint8)
        at = self._flaw.uncorrected_at
        if at is not None and given <= at < given + count:
            kinds[at - given] = Kind.UE
        return kinds

    def _addresses(self, count: int) -> I64:
        rows = self._model.subarray_rows
        return addresses_of(self._flaw, count, self._geometry, rows, self._rng)

    def _wakes(self, count: int, *, is_first: bool) -> Bools:
        """Which errors come after a quiet. The very first comes when the flaw begins."""
        arrivals, flaw = self._model.arrivals, self._flaw
        wakes = self._rng.random(count) * arrivals.burst_of(flaw.mode, flaw.errors) < 1.0
        wakes[0] &= not is_first
        return wakes

    def _scrubbed(self, wakes: Bools) -> I64:
        """At which of these it is the scrubber that ends the quiet."""
        quiet = np.flatnonzero(wakes)
        share = self._model.arrivals.scrub_share.get(self._flaw.persistence, 0.0)
        return quiet[self._rng.random(len(quiet)) < share]

    def _times(self, wakes: Bools, scrubbed: I64, address: I64, *, is_first: bool) -> I64:
        """A find of the scrubber is put off until it comes by, and all that follows with it."""
        gaps = self._gaps(wakes)
        if is_first:
            gaps[0] = 0
        time_ns = self.known_ns + np.cumsum(gaps)
        round_ns = self._model.arrivals.scrub_period_ns
        put_off = (self._passes(address[scrubbed]) - time_ns[scrubbed]) % round_ns
        steps = np.zeros_like(time_ns)
        steps[scrubbed] = np.diff(put_off, prepend=0) % round_ns
        return time_ns + np.cumsum(steps)

    def _gaps(self, wakes: Bools) -> I64:
        """Nanoseconds before each error."""
        arrivals = self._model.arrivals
        quiet_ns = arrivals.quiet_gap_ns.get(self._flaw.persistence, arrivals.burst_gap_ns)
        medians = np.log([arrivals.burst_gap_ns, quiet_ns])
        sigmas = np.array([arrivals.burst_gap_sigma, arrivals.quiet_gap_sigma])
        state = wakes.astype(np.intp)
        gaps = np.exp(medians[state] + sigmas[state] * self._rng.standard_normal(len(wakes)))
        return np.clip(gaps, 1.0, _GAP_NS_MAX).astype(np.int64)

    def _passes(self, address: I64) -> I64:
        """When in its round the scrubber comes by, in nanoseconds."""
        way = address / self._geometry.capacity
        return (way * self._model.arrivals.scrub_period_ns).astype(np.int64)
