"""Faults for trying things out, and when they show.

A fault is a place that yields corrected errors at some rate, with exponential gaps between them:
easy to order and to reckon with, which real ones (`faults.py`) are not.
All faults share one queue in the order of time, and a gap is drawn at the moment its predecessor
falls due. So the same seed gives the same errors, no matter how often one asks.

A fault that nobody reads is silent: it waits without cost until its page is in use again.
"""

import heapq
import math
from dataclasses import dataclass, field

from numpy.random import Generator

from agent.contract.frames import Mfn, mfn_of

FAULTS_MAX = 1 << 16
DUE_MAX = 1 << 16  # errors that one call hands out; the rest stays due


@dataclass(frozen=True, slots=True)
class Fault:
    """Errors at one address, `errors_max` of them in all, or without end."""

    address: int
    errors_per_second: float
    errors_max: int | None = None

    def __post_init__(self) -> None:
        if self.address < 0:
            raise ValueError(f"a fault's address must be at least 0 (got {self.address})")
        if not 0 < self.errors_per_second < math.inf:
            raise ValueError(f"errors_per_second must be above 0 (got {self.errors_per_second})")
        if self.errors_max is not None and self.errors_max < 1:
            raise ValueError(f"errors_max must be at least 1 (got {self.errors_max})")


@dataclass(frozen=True, slots=True)
class Errors:
    """`count` errors at one address."""

    address: int
    count: int


@dataclass(slots=True, order=True)
class _Turn:
    """When a fault is next looked at. It is `armed` once its gap is drawn: then an error is due."""

    at: float
    order: int
    fault: Fault = field(compare=False)
    errors_left: float = field(compare=False)
    armed: bool = field(compare=False, default=False)

    @property
    def mfn(self) -> Mfn:
        return mfn_of(self.fault.address)

    @property
    def is_spent(self) -> bool:
        return self.errors_left < 1


class Faults:
    """All faults of one machine, at most `FAULTS_MAX`."""

    def __init__(self) -> None:
        self._turns: list[_Turn] = []
        self._silent: dict[Mfn, list[_Turn]] = {}
        self._added = 0
        self._spent = 0

    def __len__(self) -> int:
        """How many faults still have errors to give."""
        return self._added - self._spent

    def add(self, fault: Fault, now: float) -> None:
        """Let `fault` begin at `now`."""
        if len(self) >= FAULTS_MAX:
            raise ValueError(f"a machine has at most {FAULTS_MAX} faults")
        left = math.inf if fault.errors_max is None else fault.errors_max
        turn = _Turn(now, self._added, fault, left)
        self._added += 1
        self._enqueue(turn)

    def due(self, now: float, rng: Generator) -> list[Errors]:
        """The errors up to `now`, one entry an address, in the order of their first error."""
        counts: dict[int, int] = {}
        left = DUE_MAX
        while left and self._turns and self._turns[0].at <= now:
            turn = heapq.heappop(self._turns)
            if turn.armed:
                counts[turn.fault.address] = counts.get(turn.fault.address, 0) + 1
                turn.errors_left -= 1
                left -= 1
            self._arm(turn, rng)
        return [Errors(address, count) for address, count in counts.items()]

    def next_due(self) -> float | None:
        """When it is worth asking again; None if no fault has anything left to say.

        A fault just added is due at once: its first gap is drawn then.
        """
        return self._turns[0].at if self._turns else None

    def silence(self, mfn: Mfn) -> None:
        """Nobody reads `mfn` any more: its faults make no errors until `wake`."""
        if mfn in self._silent:
            return
        self._silent[mfn] = [turn for turn in self._turns if turn.mfn == mfn]
        self._turns = [turn for turn in self._turns if turn.mfn != mfn]
        heapq.heapify(self._turns)

    def wake(self, mfn: Mfn, now: float) -> None:
        """`mfn` is read again from `now` on."""
        for turn in self._silent.pop(mfn, []):
            turn.at, turn.armed = now, False
            self._enqueue(turn)

    def remove(self, mfn: Mfn) -> None:
        """`mfn` is whole again: its faults are gone for good."""
        self.silence(mfn)
        self._spent += len(self._silent.pop(mfn))

    def _arm(self, turn: _Turn, rng: Generator) -> None:
        if turn.is_spent:
            self._spent += 1
            return
        turn.at += float(rng.exponential(1 / turn.fault.errors_per_second))
        turn.armed = True
        heapq.heappush(self._turns, turn)

    def _enqueue(self, turn: _Turn) -> None:
        silent = self._silent.get(turn.mfn)
        if silent is None:
            heapq.heappush(self._turns, turn)
        else:
            silent.append(turn)
