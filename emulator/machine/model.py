"""How often memory goes wrong, how many errors come of it, and when they come.

How often is counted in FIT: one flaw in 10⁹ hours of one DRAM device. Most flaws make a handful of
errors and some make millions: how many is a Pareto variable. A few make an error that cannot be
corrected too, mostly after some that could. Numbers come in from outside; `config/faults.toml` has
them, with their sources.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from agent.contract.columns import I64
from emulator.machine.faults import Flaw, Mode, Persistence, Site
from emulator.machine.memory import Geometry

SECOND_NS = 1_000_000_000
HOUR_NS = 3_600 * SECOND_NS
DAY_NS = 24 * HOUR_NS
YEAR_NS = 365 * DAY_NS
FLAWS_MAX = 1_000_000
_DEVICE_HOURS_OF_A_FIT = 1e9


@dataclass(frozen=True, slots=True)
class Pareto:
    """How many errors a flaw that stays makes: 1 and more, with index `alpha`; cut at `most`."""

    alpha: float
    most: int

    def drawn(self, count: int, rng: Generator) -> I64:
        heights = np.floor((1.0 - rng.random(count)) ** (-1.0 / self.alpha))
        return np.minimum(heights, self.most).astype(np.int64)

    @property
    def mean(self) -> float:
        """Of an unbounded number of flaws."""
        return float(np.sum(np.arange(1, self.most + 1, dtype=np.float64) ** -self.alpha))

    def above(self, errors: float) -> float:
        """The chance of more than so many."""
        return 0.0 if errors >= self.most else (np.floor(errors) + 1.0) ** -self.alpha


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When errors come: in bursts and, between them, after quiet. Both gaps are log-normal.

    A burst of a mode has `burst_errors` on average; one flaw has no more than about `bursts_max`
    of them, so that one with millions of errors makes storms. A quiet that the patrol scrubber ends
    lasts until its round, which takes `scrub_period_ns`, comes by.
    """

    burst_gap_ns: float
    burst_gap_sigma: float
    quiet_gap_ns: Mapping[Persistence, float]
    quiet_gap_sigma: float
    burst_errors: Mapping[Mode, float]
    bursts_max: float
    scrub_period_ns: int
    scrub_share: Mapping[Persistence, float]

    def burst_of(self, mode: Mode, errors: int) -> float:
        """How many errors a burst of such a flaw has on average."""
        return max(self.burst_errors[mode], errors / self.bursts_max)


@dataclass(frozen=True, slots=True)
class Model:
    """One kind of memory. FIT are of one device; `uncorrected` is how many of the flaws that stay
    make an error that cannot be corrected, `uncorrected_first` how many of these make it first.
    """

    name: str
    devices_per_rank: int
    transient_fit: Mapping[Mode, float]
    permanent_fit: Mapping[Mode, float]
    intermittent_share: float
    subarray_rows: int
    errors: Pareto
    arrivals: Arrivals
    uncorrected: Mapping[Mode, float]
    uncorrected_first: float

    @property
    def fit(self) -> float:
        return sum(self.transient_fit.values()) + sum(self.permanent_fit.values())

    def share(self, mode: Mode) -> float:
        """Of all flaws."""
        return (self.transient_fit[mode] + self.permanent_fit[mode]) / self.fit

    @property
    def transient_share(self) -> float:
        return sum(self.transient_fit.values()) / self.fit

    def flaws_expected(self, geometry: Geometry, dimm_years: float) -> float:
        devices = self.devices_per_rank * geometry.ranks
        hours = dimm_years * YEAR_NS / HOUR_NS
        return self.fit * devices * hours / _DEVICE_HOURS_OF_A_FIT


def flaws_in(
    model: Model, geometry: Geometry, hosts: int, span_ns: int, seed: int, scale: float = 1.0
) -> list[Flaw]:
    """The flaws that begin on so many equal hosts within `span_ns`, in the order of time.

    `scale` is how much worse than the model's this memory is.

    Raises:
        ValueError: if there would be more than `FLAWS_MAX`.
    """
    expected = scale * model.flaws_expected(geometry, hosts * geometry.dimms * span_ns / YEAR_NS)
    if expected > FLAWS_MAX / 2:
        raise ValueError(f"{expected:,.0f} flaws are more than a run can hold; ask for less")
    rng = np.random.default_rng(seed)
    count = int(rng.poisson(expected))
    begins: list[int] = np.sort(rng.integers(0, span_ns, count)).tolist()
    return [_flaw(at, model, _site(geometry, hosts, rng), rng) for at in begins]


def _site(geometry: Geometry, hosts: int, rng: Generator) -> Site:
    rank, group, bank, row, column = (
        int(rng.integers(geometry.extents[name]))
        for name in ("rank", "bank_group", "bank", "row", "column")
    )
    dimm, host = int(rng.integers(geometry.dimms)), int(rng.integers(hosts))
    return Site(dimm, rank, group, bank, row, column, host)


def _flaw(begins_ns: int, model: Model, site: Site, rng: Generator) -> Flaw:
    mode, is_transient = _kind(model, rng)
    seed = int(rng.integers(1 << 62))
    if is_transient:
        return Flaw(mode, Persistence.TRANSIENT, site, begins_ns, 1, seed=seed)
    comes_back, fails, first, later = rng.random(4).tolist()
    stays = comes_back >= model.intermittent_share
    persistence = Persistence.PERMANENT if stays else Persistence.INTERMITTENT
    errors = int(model.errors.drawn(1, rng)[0])
    at = None
    if fails < model.uncorrected[mode]:
        at = 0 if first < model.uncorrected_first else 1 + int(later * errors)
    return Flaw(mode, persistence, site, begins_ns, errors, at, seed)


def _kind(model: Model, rng: Generator) -> tuple[Mode, bool]:
    """A mode, and whether it is transient, by their FIT."""
    transient = [model.transient_fit[mode] for mode in Mode]
    permanent = [model.permanent_fit[mode] for mode in Mode]
    kind = int(np.searchsorted(np.cumsum(transient + permanent), rng.random() * model.fit, "right"))
    return Mode(kind % len(Mode)), kind < len(Mode)
