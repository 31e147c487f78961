"""The same as `reporting.py`, for millions of errors: columns in, one row a reading out.

A bank's errors are one line in the order of time; readings cut it into segments, and a segment is a
row: its first error gives the address, its length the count. Where the cuts fall follows from the
times alone, so it is found by searches over the column; only storms, their ends and uncorrected
errors are walked one by one.

What is latched and not read yet waits for the next call, so that a stream may come in parts of any
size, and the parts do not show.
"""

from dataclasses import dataclass, field, fields
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from agent.contract.columns import I16, I64, U64, Bools
from emulator.machine.banks import COUNT_MAX, LSB
from emulator.machine.reporting import SECOND_NS, How, Reporting

_CMCIS_AT_ONCE = 4096
_NO_TIMES: I64 = np.empty(0, np.int64)


class _Columns:
    """What columns side by side can do."""

    __slots__ = ()
    time_ns: I64

    def __len__(self) -> int:
        return len(self.time_ns)

    def at(self, places: I64) -> Self:
        """The rows at these places, in this order."""
        return type(self)(*(column[places] for column in self._all()))

    def followed_by(self, other: Self) -> Self:
        pairs = zip(self._all(), other._all(), strict=True)
        return type(self)(*(np.concatenate(pair) for pair in pairs))

    def _all(self) -> list[NDArray[Any]]:
        return [getattr(self, each.name) for each in fields(cast("Any", self))]


@dataclass(frozen=True, slots=True, eq=False)
class Logged(_Columns):
    """Errors as they happen, in the order of time. `source` is the number of their bank."""

    time_ns: I64
    address: U64
    source: I16
    uncorrected: Bools
    is_scrub: Bools


@dataclass(frozen=True, slots=True, eq=False)
class Harvests(_Columns):
    """Readings, in the order of time. `address` is that of the cache line, and counts for nothing
    unless it `is_located`; of all `errors`, `count` is what the bank's counter says.
    """

    time_ns: I64
    address: U64
    source: I16
    uncorrected: Bools
    is_scrub: Bools
    errors: I64
    is_over: Bools
    count: I64
    is_located: Bools


@dataclass(slots=True)
class _Cuts:
    """Where a line is cut: each segment's end (not included), and when it is read."""

    end: list[I64] = field(default_factory=list[I64])
    at: list[I64] = field(default_factory=list[I64])

    def add(self, end: I64, at: I64) -> None:
        self.end.append(end)
        self.at.append(at)


@dataclass(slots=True)
class _Bank:
    """What one bank's reader remembers from one part of the stream to the next."""

    reporting: Reporting
    pending: Logged
    is_storm: bool = False
    cmcis: I64 = field(default_factory=lambda: _NO_TIMES)
    last_ns: int | None = None


class Harvester:
    """All banks of a host. Feed it a stream part by part, and `finish` it."""

    def __init__(self, reporting: Reporting) -> None:
        self._reporting = reporting
        self._banks: dict[int, _Bank] = {}

    def harvest(self, logged: Logged) -> Harvests:
        """What is read up to the last of these errors."""
        if self._reporting.how is How.EACH or not len(logged):
            return _each(logged)
        until_ns = int(logged.time_ns[-1])
        for source in np.unique(logged.source).tolist():
            if source not in self._banks:
                nothing = logged.at(np.empty(0, np.int64))
                self._banks[source] = _Bank(self._reporting, nothing)
        return self._read(logged, until_ns)

    def finish(self, until_ns: int) -> Harvests | None:
        """What is read after the last error, up to `until_ns`; None where there was no bank."""
        pending = [bank.pending for bank in self._banks.values()]
        return self._read(pending[0].at(np.empty(0, np.int64)), until_ns) if pending else None

    def _read(self, logged: Logged, until_ns: int) -> Harvests:
        parts = [
            _of_bank(bank, logged.at(np.flatnonzero(logged.source == source)), until_ns)
            for source, bank in self._banks.items()
        ]
        found = parts[0]
        for part in parts[1:]:
            found = found.followed_by(part)
        return found.at(np.argsort(found.time_ns, kind="stable"))


def _each(logged: Logged) -> Harvests:
    return _harvests(logged, logged.time_ns, np.ones(len(logged), np.int64))


def _harvests(shown: Logged, at: I64, errors: I64, is_over: Bools | None = None) -> Harvests:
    """Readings `at` these times that show these errors, each the first of so many."""
    return Harvests(
        at,
        _line(shown.address),
        shown.source,
        shown.uncorrected,
        shown.is_scrub,
        errors,
        np.zeros(len(shown), np.bool_) if is_over is None else is_over,
        np.where(shown.uncorrected, 0, np.minimum(errors, COUNT_MAX)),
        np.ones(len(shown), np.bool_),
    )


def _line(address: U64) -> U64:
    lsb = np.uint64(LSB)
    line: U64 = address >> lsb << lsb
    return line


def _of_bank(bank: _Bank, fresh: Logged, until_ns: int) -> Harvests:
    line = bank.pending.followed_by(fresh)
    cuts, start, known = _Cuts(), 0, len(bank.pending)
    for at in (np.flatnonzero(line.uncorrected[known:]) + known).tolist():
        time_ns = int(line.time_ns[at])
        _cut(bank, line.time_ns[start:at], start, time_ns, cuts)
        _heed_calm(bank, time_ns)
        cuts.add(np.array([at + 1]), np.array([time_ns]))
        start = at + 1
    _cut(bank, line.time_ns[start:], start, until_ns, cuts)
    end = np.concatenate([_NO_TIMES, *cuts.end])
    done = int(end[-1]) if len(end) else 0
    bank.pending = line.at(np.arange(done, len(line)))
    return _reduced(line, end, np.concatenate([_NO_TIMES, *cuts.at]))


def _cut(bank: _Bank, times: I64, offset: int, until_ns: int, cuts: _Cuts) -> None:
    """Cut a stretch of corrected errors; whatever is behind its last cut stays latched."""
    how = bank.reporting.how
    if how is How.POLL:
        _add_polls(times, offset, bank.reporting.poll_ns, until_ns, cuts)
    elif how is How.FIRMWARE_FIRST:
        step = bank.reporting.threshold
        end = np.arange(step, len(times) + 1, step)
        cuts.add(end + offset, times[end - 1])
    else:
        _cut_by_cmci(bank, times, offset, until_ns, cuts)


def _add_polls(times: I64, offset: int, poll_ns: int, until_ns: int, cuts: _Cuts) -> None:
    if not len(times):
        return
    read_ns = (times // poll_ns + 1) * poll_ns
    end = np.append(np.flatnonzero(np.diff(read_ns)) + 1, len(times))
    at = read_ns[end - 1]
    is_due = at <= until_ns
    cuts.add(end[is_due] + offset, at[is_due])


def _cut_by_cmci(bank: _Bank, times: I64, offset: int, until_ns: int, cuts: _Cuts) -> None:
    calms = _calms(bank.reporting, times)
    if len(times):
        _heed_calm(bank, int(times[0]))
    start = 0
    while start < len(times):
        if bank.is_storm:
            stop = int(next(iter(calms[np.searchsorted(calms, start) :]), len(times)))
            until = until_ns if stop == len(times) else int(times[stop])
            polls = bank.reporting.storm_poll_ns
            _add_polls(times[start:stop], start + offset, polls, until, cuts)
            if stop < len(times):
                bank.is_storm, bank.cmcis = False, _NO_TIMES
        else:
            stop = _add_cmcis(bank, times, start, offset, cuts)
        start = stop
    bank.last_ns = int(times[-1]) if len(times) else bank.last_ns


def _calms(reporting: Reporting, times: I64) -> I64:
    """The errors before which a storm would have ended."""
    poll_ns = reporting.storm_poll_ns
    over_ns = -(-(times[:-1] + reporting.calm_ns) // poll_ns) * poll_ns
    return np.flatnonzero(over_ns <= times[1:]) + 1


def _heed_calm(bank: _Bank, now_ns: int) -> None:
    last_ns = bank.last_ns
    if bank.is_storm and last_ns is not None and bank.reporting.is_calm_at(now_ns, last_ns):
        bank.is_storm, bank.cmcis = False, _NO_TIMES


def _add_cmcis(bank: _Bank, times: I64, start: int, offset: int, cuts: _Cuts) -> int:
    """Interrupts from `start` on, until they are a storm, or very many; how far that came."""
    step, within = bank.reporting.threshold, bank.reporting.storm_cmcis - 1
    end = np.arange(start + step, len(times) + 1, step)[:_CMCIS_AT_ONCE]
    if not len(end):
        return len(times)
    raised = times[end - 1]
    known = len(bank.cmcis)
    series = np.concatenate([bank.cmcis, raised])
    storms = np.flatnonzero(series[within:] - series[:-within] < SECOND_NS)
    bank.is_storm = len(storms) > 0
    if bank.is_storm:
        end = end[: int(storms[0]) + within - known + 1]
    cuts.add(end + offset, times[end - 1])
    bank.cmcis = series[: known + len(end)][-within:]
    return int(end[-1])


def _reduced(line: Logged, end: I64, at: I64) -> Harvests:
    """A row a segment; one that ends in an uncorrected error is that error's."""
    if not len(end):
        return _each(line.at(np.empty(0, np.int64)))
    start = np.concatenate([np.zeros(1, np.int64), end[:-1]])
    address, last = _line(line.address[: int(end[-1])]), end - 1
    uncorrected = line.uncorrected[last]
    is_over = np.minimum.reduceat(address, start) != np.maximum.reduceat(address, start)
    return _harvests(
        line.at(np.where(uncorrected, last, start)),
        at,
        np.where(uncorrected, 1, end - start),
        is_over & ~uncorrected,
    )
