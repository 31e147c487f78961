"""What taking pages out of use would have saved, and what it would have cost, mode by mode.

A policy retires a page, or all of a row, on the N-th corrected error in it within T. What errs
there later is avoided; so is an uncorrected error. This counts over errors that are all known, in
one go: it is a yardstick for policies, and shares nothing with the agent that follows them.
"""

from dataclasses import dataclass

import numpy as np

from agent.contract.columns import I64, U8, Bools, Kind
from agent.contract.frames import PAGE_SHIFT, PAGE_SIZE
from emulator.machine.faults import Mode
from emulator.machine.memory import Geometry
from emulator.machine.model import HOUR_NS
from emulator.machine.stream import Chunk

_NEVER_NS = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Policy:
    """Retire on `errors` within `hours`; `by_row`: the row with all its pages."""

    name: str
    errors: int
    hours: float
    by_row: bool = False


POLICIES = (
    Policy("1st", 1, 24),
    Policy("2 / 24 h", 2, 24),
    Policy("3 / 72 h", 3, 72),
    Policy("50 / 24 h", 50, 24),
    Policy("row 2 / 24 h", 2, 24, by_row=True),
)


@dataclass(frozen=True, slots=True)
class Saved:
    """What a policy does about the flaws of one mode."""

    policy: str
    mode: str
    errors: int
    errors_avoided: int
    uncorrected: int
    uncorrected_avoided: int
    bytes_lost: int


@dataclass(frozen=True, slots=True)
class Retired:
    """What is retired, rising, since when, and the mode of the flaw that made it so."""

    unit: I64
    since_ns: I64
    mode: U8

    def before(self, unit: I64, time_ns: I64) -> Bools:
        """For each of these: had it been retired when that happened?"""
        if not len(self.unit):
            return np.zeros(len(unit), np.bool_)
        at = np.minimum(np.searchsorted(self.unit, unit), len(self.unit) - 1)
        retired: Bools = (self.unit[at] == unit) & (self.since_ns[at] < time_ns)
        return retired


def saved(policy: Policy, errors: Chunk, host: I64, geometry: Geometry) -> list[Saved]:
    """One line a mode. `host` is that of each error; all hosts are of this geometry."""
    unit = _units(policy, errors, host, geometry)
    corrected = errors.kind == Kind.CE
    retired = retired_by(policy, unit[corrected], errors[corrected])
    avoided = retired.before(unit, errors.time_ns)
    unit_bytes = geometry.row_bytes if policy.by_row else PAGE_SIZE
    return [
        Saved(
            policy.name,
            mode.word,
            errors=_count(corrected & mine),
            errors_avoided=_count(corrected & mine & avoided),
            uncorrected=_count(~corrected & mine),
            uncorrected_avoided=_count(~corrected & mine & avoided),
            bytes_lost=_count(retired.mode == mode) * unit_bytes,
        )
        for mode in Mode
        for mine in [errors.mode == mode]
    ]


def retired_by(policy: Policy, unit: I64, errors: Chunk) -> Retired:
    """`errors` are the corrected ones, in the order of time, and `unit` where each of them is."""
    order = np.argsort(unit, kind="stable")
    unit, time_ns, mode = unit[order], errors.time_ns[order], errors.mode[order]
    last = np.arange(policy.errors - 1, len(unit))
    first = last - (policy.errors - 1)
    in_time = time_ns[last] - time_ns[first] < policy.hours * HOUR_NS
    fires = last[(unit[last] == unit[first]) & in_time]
    fired, soonest = np.unique(unit[fires], return_index=True)
    return Retired(fired, time_ns[fires][soonest], mode[fires][soonest])


def _units(policy: Policy, errors: Chunk, host: I64, geometry: Geometry) -> I64:
    """A number for each page, or row, of the fleet."""
    if not policy.by_row:
        return host * (geometry.capacity >> PAGE_SHIFT) + (errors.address >> PAGE_SHIFT)
    places = geometry.places(errors.address)
    rank = (host * geometry.dimms + geometry.dimm_of(places)) * geometry.ranks + places.rank
    return (rank * geometry.banks + geometry.bank_of(places)) * geometry.rows + places.row


def _count(chosen: Bools) -> int:
    return int(np.count_nonzero(chosen))
