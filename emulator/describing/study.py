"""A fleet's year in numbers: what its flaws and errors were, and what the model says of them."""

from dataclasses import dataclass
from math import ceil, log10

import numpy as np
from numpy.typing import NDArray

from agent.contract.columns import I64, Kind
from emulator.describing.policies import POLICIES, Saved, saved
from emulator.errors import EmulatorError
from emulator.machine.faults import Flaw, Mode, Persistence
from emulator.machine.model import SECOND_NS, YEAR_NS, flaws_in
from emulator.machine.stream import Chunk, joined, stream
from emulator.presets import Preset

DIMM_YEARS_MAX = 1_000_000
_BINS_A_DECADE = 4
_DECADES = 9
_POINTS_A_DECADE = 6

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ModeShare:
    """Shares of all flaws: `expected` as configured, `found` as drawn."""

    mode: str
    flaws: int
    expected: float
    found: float


@dataclass(frozen=True, slots=True)
class TailPoint:
    """The share of lasting flaws that make more than so many corrected errors."""

    errors: int
    expected: float
    found: float


@dataclass(frozen=True, slots=True)
class Bin:
    """How many gaps between two errors of a flaw are of this length."""

    from_seconds: float
    to_seconds: float
    gaps: int


@dataclass(frozen=True, slots=True)
class Study:
    """All of it, ready to be drawn or printed.

    Flaws begin within the year. `tail` is of all errors they ever make, the rest of those in the
    year. `per_dimm` are the errors of each DIMM that has any, the worst first.
    """

    preset: str
    seed: int
    dimm_years: int
    flaws: int
    flaws_expected: float
    transient_share: float
    transient_expected: float
    errors: int
    uncorrected: int
    uncorrected_after_corrected: int
    scrub_period_seconds: float
    modes: list[ModeShare]
    tail: list[TailPoint]
    gaps: list[Bin]
    gaps_variation: float
    per_dimm: list[int]
    policies: list[Saved]


def study(preset: Preset, dimm_years: int, seed: int) -> Study:
    """A year of so many DIMMs, rounded up to whole hosts.

    Raises:
        EmulatorError: if that is too many, or so few that none of them had an error.
    """
    if not 0 < dimm_years <= DIMM_YEARS_MAX:
        raise EmulatorError(f"dimm-years: must be 1 to {DIMM_YEARS_MAX:,} (got {dimm_years:,})")
    model, host = preset.model, preset.host
    hosts = -(-dimm_years // host.dimms)
    flaws = flaws_in(model, host, hosts, YEAR_NS, seed)
    if not flaws:
        raise EmulatorError(
            f"dimm-years: {dimm_years:,} of {model.name} had no flaw at all; ask for more"
        )
    ever = joined(list(stream(flaws, model, host)))
    year = ever[: int(np.searchsorted(ever.time_ns, YEAR_NS))]
    where = np.array([flaw.site.host for flaw in flaws], np.int64)[year.flaw]
    gaps = _gaps(year)
    passing = sum(flaw.persistence is Persistence.TRANSIENT for flaw in flaws)
    return Study(
        preset=model.name,
        seed=seed,
        dimm_years=hosts * host.dimms,
        flaws=len(flaws),
        flaws_expected=model.flaws_expected(host, hosts * host.dimms),
        transient_share=passing / len(flaws),
        transient_expected=model.transient_share,
        errors=int(np.count_nonzero(year.kind == Kind.CE)),
        uncorrected=int(np.count_nonzero(year.kind == Kind.UE)),
        uncorrected_after_corrected=_after_corrected(year),
        scrub_period_seconds=model.arrivals.scrub_period_ns / SECOND_NS,
        modes=_modes(preset, flaws),
        tail=_tail(preset, flaws, ever),
        gaps=_binned(gaps),
        gaps_variation=float(gaps.std() / gaps.mean()) if len(gaps) else 0.0,
        per_dimm=_per_dimm(flaws, year),
        policies=[line for each in POLICIES for line in saved(each, year, where, host)],
    )


def _modes(preset: Preset, flaws: list[Flaw]) -> list[ModeShare]:
    counts = np.bincount([flaw.mode for flaw in flaws], minlength=len(Mode)).tolist()
    return [
        ModeShare(mode.word, counts[mode], preset.model.share(mode), counts[mode] / len(flaws))
        for mode in Mode
    ]


def _tail(preset: Preset, flaws: list[Flaw], ever: Chunk) -> list[TailPoint]:
    """At whole numbers, about evenly on a scale of logarithms, as far as there are any."""
    lasting = np.array([flaw.persistence is not Persistence.TRANSIENT for flaw in flaws])
    errors = np.bincount(ever.flaw[ever.kind == Kind.CE], minlength=len(flaws))[lasting]
    if not len(errors):
        return []
    decades = log10(max(int(errors.max()), 10))
    spread = np.logspace(0, decades, _POINTS_A_DECADE * ceil(decades))
    at: list[int] = np.unique(np.rint(spread)).astype(np.int64).tolist()
    return [TailPoint(k, preset.model.errors.above(k), float((errors > k).mean())) for k in at]


def _gaps(year: Chunk) -> F64:
    """Seconds between the errors of a flaw."""
    order = np.argsort(year.flaw, kind="stable")
    follows = np.diff(year.flaw[order]) == 0
    gaps: F64 = np.diff(year.time_ns[order])[follows] / SECOND_NS
    return gaps


def _binned(gaps: F64) -> list[Bin]:
    """From a tenth of a second to three years."""
    edges = np.logspace(-1, _DECADES - 1, _DECADES * _BINS_A_DECADE + 1)
    counts, _ = np.histogram(np.clip(gaps, edges[0], edges[-1]), edges)
    return [
        Bin(float(low), float(high), int(count))
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    ]


def _per_dimm(flaws: list[Flaw], year: Chunk) -> list[int]:
    errors = np.bincount(year.flaw[year.kind == Kind.CE], minlength=len(flaws))
    dimms: dict[tuple[int, int], int] = {}
    for flaw, count in zip(flaws, errors.tolist(), strict=True):
        key = (flaw.site.host, flaw.site.dimm)
        dimms[key] = dimms.get(key, 0) + count
    return sorted((count for count in dimms.values() if count), reverse=True)


def _after_corrected(year: Chunk) -> int:
    """Of the uncorrected errors, those whose flaw had shown before."""
    first_of: I64 = np.unique(year.flaw, return_index=True)[1]
    shown_by_it = np.count_nonzero(year.kind[first_of] == Kind.UE)
    return int(np.count_nonzero(year.kind == Kind.UE) - shown_by_it)
