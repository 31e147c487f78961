"""Streams agree with the model that made them: over 10,000 DIMM-years, and over 30 times as many.

All is counted in the errors themselves, each flaw played to its end, and compared with what the
model says. How far apart the two may be follows from the size of the sample: 4 standard deviations
of what is counted, which are sqrt(n p (1 - p)) for n flaws with a chance of p, and sqrt(n) for the
number of flaws. By chance alone, one check in 16,000 would fail; the seed is fixed, so that none
does. For gaps, the first four moments of the model say what a standard deviation is. Their
variation may be 6 of them off: squares of long gaps are skewed to the right, and 4 are not so rare
(of 500 samples of a million DIMM-years, one was 4.3 off, and the mean of all 0.05).

10,000 DIMM-years have some 100 flaws, and tell a share of 10 % from one of 25 %. The larger sample
tells it from 12.2 %.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import exp, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from agent.contract.columns import I64, Bools, Kind
from emulator import presets
from emulator.machine.faults import Flaw, Mode, Persistence
from emulator.machine.model import DAY_NS, YEAR_NS, Model, Pareto, flaws_in
from emulator.machine.stream import Chunk, Transaction
from tests.support.flaws import a_flaw, all_of, without_scrubber

F64 = NDArray[np.float64]

DEVIATIONS = 4
DEVIATIONS_OF_SQUARES = 6
SEED = 8412
DEVICES_OF_A_DIMM = {"ddr3": 36, "ddr4": 36, "ddr5": 40}  # of 4 bits, in two ranks, with ECC
HOURS_OF_A_YEAR = 8760
SAMPLES = [(name, years) for name in presets.names() for years in (10_000, 300_000)]


@dataclass(frozen=True, slots=True)
class Sample:
    """Flaws and all their errors; `errors` are the corrected ones of each flaw."""

    model: Model
    flaws: list[Flaw]
    expected: float
    chunk: Chunk
    errors: I64
    uncorrected: I64
    lasting: Bools

    def of(self, mode: Mode) -> Bools:
        """Of each flaw: did its errors say that it is of this mode?"""
        return np.bincount(self.chunk.flaw[self.chunk.mode == mode], minlength=len(self.flaws)) > 0


@cache
def a_sample(name: str, dimm_years: int, *, scrubbed: bool = True) -> Sample:
    """Made once, in whatever order the tests come."""
    model, host = presets.load(name).model, presets.load(name).host
    if not scrubbed:
        model = without_scrubber(model)
    flaws = flaws_in(model, host, dimm_years // host.dimms, YEAR_NS, SEED)
    chunk = all_of(flaws, model, host)
    errors, uncorrected = (
        np.bincount(chunk.flaw[chunk.kind == kind], minlength=len(flaws)) for kind in Kind
    )
    lasting = np.array([flaw.persistence is not Persistence.TRANSIENT for flaw in flaws])
    expected = model.fit * 1e-9 * DEVICES_OF_A_DIMM[name] * dimm_years * HOURS_OF_A_YEAR
    return Sample(model, flaws, expected, chunk, errors, uncorrected, lasting)


@pytest.fixture(params=SAMPLES, ids=lambda each: f"{each[0]}-{each[1]}")
def sample(request: pytest.FixtureRequest) -> Sample:
    name, dimm_years = request.param
    return a_sample(name, dimm_years)


def assert_share(counted: Bools, share: float, what: object) -> None:
    """So many of these as the model says, give or take what chance does."""
    allowed = DEVIATIONS * sqrt(len(counted) * share * (1 - share))
    assert abs(np.count_nonzero(counted) - len(counted) * share) <= allowed, what


def test_there_are_as_many_flaws_as_their_fit_say(sample: Sample) -> None:
    assert abs(len(sample.flaws) - sample.expected) <= DEVIATIONS * sqrt(sample.expected)


def test_modes_have_their_shares(sample: Sample) -> None:
    for mode in Mode:
        assert_share(sample.of(mode), sample.model.share(mode), mode)


def test_as_many_pass_as_the_model_says_and_make_one_error(sample: Sample) -> None:
    assert_share(~sample.lasting, sample.model.transient_share, "transient")
    assert set(sample.errors[~sample.lasting].tolist()) == {1}


def test_of_each_mode_as_many_pass_as_the_model_says(sample: Sample) -> None:
    for mode in Mode:
        transient, permanent = sample.model.transient_fit[mode], sample.model.permanent_fit[mode]
        passes = ~sample.lasting[sample.of(mode)]
        assert_share(passes, transient / (transient + permanent), mode)


def test_of_those_that_stay_as_many_come_and_go_as_the_model_says(sample: Sample) -> None:
    lasting = [flaw for flaw in sample.flaws if flaw.persistence is not Persistence.TRANSIENT]
    comes_and_goes = np.array([flaw.persistence is Persistence.INTERMITTENT for flaw in lasting])
    assert_share(comes_and_goes, sample.model.intermittent_share, "intermittent")


@pytest.mark.parametrize("errors", [1, 2, 5, 10, 30, 100, 1000, 10_000, 100_000])
def test_errors_of_a_flaw_have_the_tail_of_the_model(sample: Sample, errors: int) -> None:
    """The share of flaws with more than so many: (errors + 1)^−alpha."""
    more = sample.errors[sample.lasting] > errors
    assert_share(more, (errors + 1) ** -sample.model.errors.alpha, errors)


def test_the_tail_is_cut_and_what_is_beyond_counts_as_the_most() -> None:
    errors = Pareto(alpha=0.8, most=100).drawn(10_000, np.random.default_rng(SEED))
    assert_share(errors == 100, 100**-0.8, "the most")
    assert (int(errors.min()), int(errors.max())) == (1, 100)


def test_of_each_mode_as_many_make_an_uncorrected_error_as_the_model_says(sample: Sample) -> None:
    for mode in Mode:
        fails = sample.uncorrected[sample.lasting & sample.of(mode)] > 0
        assert_share(fails, sample.model.uncorrected[mode], mode)


def test_most_uncorrected_errors_come_after_one_that_could_be_corrected(sample: Sample) -> None:
    chunk = sample.chunk
    first_of = np.unique(chunk.flaw, return_index=True)[1]
    fails_first = chunk.kind[first_of] == Kind.UE
    assert_share(
        fails_first[sample.uncorrected > 0], sample.model.uncorrected_first, "uncorrected first"
    )


def test_flaws_begin_evenly_over_the_year(sample: Sample) -> None:
    begins = np.array([flaw.begins_ns for flaw in sample.flaws])
    for quarter in range(4):
        assert_share(begins * 4 // YEAR_NS == quarter, 0.25, quarter)


def test_the_scrubber_ends_as_many_quiets_as_the_model_says(sample: Sample) -> None:
    """Of those modes that are quiet between any two errors, more or less: bursts of 1.5."""
    model, chunk = sample.model, sample.chunk
    for persistence, share in model.arrivals.scrub_share.items():
        chance = np.zeros(len(sample.flaws))
        for at, flaw in enumerate(sample.flaws):
            if flaw.persistence is persistence and flaw.mode in {Mode.CELL, Mode.WORD}:
                chance[at] = share / model.arrivals.burst_of(flaw.mode, flaw.errors)
        begun = np.zeros(len(chunk), np.bool_)
        begun[np.unique(chunk.flaw, return_index=True)[1]] = True
        odds = np.where(begun, 0.0, chance[chunk.flaw])
        found = np.count_nonzero((odds > 0) & (chunk.transaction == Transaction.SCRUB))
        allowed = DEVIATIONS * sqrt((odds * (1 - odds)).sum())
        assert abs(found - odds.sum()) <= allowed, persistence


@pytest.fixture(params=SAMPLES, ids=lambda each: f"{each[0]}-{each[1]}")
def unscrubbed(request: pytest.FixtureRequest) -> Sample:
    """The same without a scrubber, so that gaps are what they are drawn as."""
    name, dimm_years = request.param
    return a_sample(name, dimm_years, scrubbed=False)


def test_gaps_are_as_long_as_the_model_says(unscrubbed: Sample) -> None:
    for gaps, (m1, m2, *_) in of_each_kind(unscrubbed):
        assert abs(gaps.mean() - m1) <= DEVIATIONS * sqrt((m2 - m1**2) / len(gaps))


def test_gaps_vary_as_the_model_says(unscrubbed: Sample) -> None:
    """The coefficient of variation, of all flaws of a mode and a persistence together."""
    for gaps, moments in of_each_kind(unscrubbed):
        counted = gaps.std() / gaps.mean()
        expected = sqrt(moments[1] / moments[0] ** 2 - 1)
        allowed = DEVIATIONS_OF_SQUARES * deviation_of_variation(moments, len(gaps))
        assert abs(counted - expected) <= allowed


def of_each_kind(sample: Sample) -> Iterator[tuple[F64, F64]]:
    """Gaps in days, and the first four moments they should have. Fewer than 20 tell nothing."""
    chunk = sample.chunk
    order = np.argsort(chunk.flaw, kind="stable")
    flaw, gaps = chunk.flaw[order], np.diff(chunk.time_ns[order], prepend=0) / DAY_NS
    follows = np.diff(flaw, prepend=-1) == 0
    per_flaw = np.array([gap_moments(sample.model, each) for each in sample.flaws])
    for mode in Mode:
        for persistence in (Persistence.INTERMITTENT, Persistence.PERMANENT):
            mine = [f.mode is mode and f.persistence is persistence for f in sample.flaws]
            chosen = follows & np.array(mine)[flaw]
            if np.count_nonzero(chosen) >= 20:
                yield gaps[chosen], per_flaw[flaw[chosen]].mean(axis=0)


def gap_moments(model: Model, flaw: Flaw) -> list[float]:
    """E[gap], E[gap²] … E[gap⁴], in days: a mixture of two log-normal gaps."""
    arrivals = model.arrivals
    wakes = 1 / arrivals.burst_of(flaw.mode, flaw.errors)
    quiet = arrivals.quiet_gap_ns.get(flaw.persistence, 0.0) / DAY_NS
    burst = arrivals.burst_gap_ns / DAY_NS
    return [
        wakes * quiet**k * exp(k**2 * arrivals.quiet_gap_sigma**2 / 2)
        + (1 - wakes) * burst**k * exp(k**2 * arrivals.burst_gap_sigma**2 / 2)
        for k in (1, 2, 3, 4)
    ]


def deviation_of_variation(moments: F64, count: int) -> float:
    """By the delta method: v = sqrt(m2 / m1² − 1) as a function of the two means."""
    m1, m2, m3, m4 = moments
    variation = sqrt(m2 / m1**2 - 1)
    by_first, by_second = -m2 / m1**3 / variation, 1 / (2 * m1**2 * variation)
    variance = (
        by_first**2 * (m2 - m1**2)
        + by_second**2 * (m4 - m2**2)
        + 2 * by_first * by_second * (m3 - m1 * m2)
    )
    return sqrt(variance / count)


@pytest.mark.parametrize("name", presets.names())
@pytest.mark.parametrize("mode", Mode)
def test_gaps_vary_as_much_as_those_of_real_dimms(name: str, mode: Mode) -> None:
    """In the SmartMem histories, of up to 9,440 errors, by 0.9 to 30; without bursts it were 1."""
    for errors in (5, 50, 500, 9440):
        m1, m2, *_ = gap_moments(presets.load(name).model, a_flaw(mode, errors))
        assert 0.9 < sqrt(m2 / m1**2 - 1) < 30, errors
