"""What a scenario says of its hardware: how banks are read, what is wrong with the memory.

    [reporting]                 [[memory_faults]]
    how = "cmci"                mode = "row"
    threshold = 10              errors = 400
                                every = "20 s"

A fault that says `every` makes an error about so often, from its beginning to its last; without it,
it comes in the bursts and quiets of its preset. Where on the memory it is, is drawn from the seed
as far as the scenario does not say it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Literal, Self

import numpy as np
from numpy.random import Generator
from pydantic import Field, model_validator

from agent.contract.columns import I64
from emulator.errors import EmulatorError
from emulator.machine.banks import COUNT_MAX, COUNT_SHIFT, Registers
from emulator.machine.faults import Flaw, Mode, ModeName, Persistence, Site
from emulator.machine.lies import Lies
from emulator.machine.memory import Geometry
from emulator.machine.model import Arrivals, Model
from emulator.machine.reporting import SECOND_NS, How, Reporting
from emulator.spans import Span
from emulator.toml import Settings

FLAWS_PER_FAULT_MAX = 100_000
_FOR_EVER = 1e18
_STEADY_SIGMA = 0.3

PlannedFlaw = tuple[Flaw, Model]


class ReportingSettings(Settings):
    """With `yellow_from`, banks show by a light of their own that they have had so many errors.

    `without_address` is the share of reports whose address is not valid; with `wrong_counts`
    what they count means nothing.
    """

    how: How = How.EACH
    threshold: Annotated[int, Field(ge=1, le=COUNT_MAX)] = 1
    poll: Span = 8.0
    yellow_from: Annotated[int, Field(ge=1, le=COUNT_MAX)] | None = None
    without_address: Annotated[float, Field(ge=0, le=1)] = 0.0
    wrong_counts: bool = False

    @model_validator(mode="after")
    def _says_what_counts(self) -> Self:
        if self.poll <= 0:
            raise ValueError("poll must be above 0 s")
        foreign = {How.EACH: {"threshold", "poll"}, How.POLL: {"threshold"}}.get(self.how, {"poll"})
        if wrong := sorted(foreign & self.model_fields_set):
            raise ValueError(
                f"{', '.join(wrong)}: counts for nothing with {self.how}; leave it out"
            )
        return self

    @property
    def reporting(self) -> Reporting:
        return Reporting(
            self.how,
            self.threshold,
            round(self.poll * SECOND_NS),
            yellow_from=self.yellow_from,
        )

    @property
    def lies(self) -> Lies:
        return Lies(self.without_address, self.wrong_counts)

    def told(self, registers: Registers, rng: Generator) -> Registers:
        """One reading as the host hands it on: GHES has no count, so that it is 1 there."""
        told = self.lies.told_of_one(registers, rng)
        if self.how is How.FIRMWARE_FIRST and not told.uncorrected:
            told = replace(
                told, status=told.status & ~(COUNT_MAX << COUNT_SHIFT) | 1 << COUNT_SHIFT
            )
        return told


class ClockStep(Settings):
    """The host's clock is put forward, or back, by so many seconds at that time."""

    at: Span
    seconds: Annotated[float, Field(ge=-1e9, le=1e9)]


def by_the_clock(time_ns: I64, started_ns: int, steps: Sequence[ClockStep]) -> I64:
    """What the host's clock shows at these times; steps count from `started_ns`."""
    shown = time_ns
    for step in steps:
        is_later = time_ns >= started_ns + round(step.at * SECOND_NS)
        shown = shown + np.where(is_later, round(step.seconds * SECOND_NS), 0)
    return shown


class MemoryFault(Settings):
    """Flaws of one mode, `count` of them; the first is there `at`, the others within `spread` from
    then on. Each makes `errors` in all, and after `uncorrected_after` of them one that cannot be
    corrected.

    `found_by` the scrubber: once a round of it, which takes `every`.
    """

    mode: ModeName
    persistence: Literal["transient", "intermittent", "permanent"] = "permanent"
    at: Span = 0.0
    errors: Annotated[int, Field(ge=1, le=100_000_000)] = 1
    every: Span | None = None
    found_by: Literal["read", "scrub"] = "read"
    uncorrected_after: Annotated[int, Field(ge=0)] | None = None
    count: Annotated[int, Field(ge=1, le=FLAWS_PER_FAULT_MAX)] = 1
    spread: Span = 0.0
    dimm: str | None = None
    rank: Annotated[int, Field(ge=0)] | None = None
    bank_group: Annotated[int, Field(ge=0)] | None = None
    bank: Annotated[int, Field(ge=0)] | None = None
    row: Annotated[int, Field(ge=0)] | None = None
    column: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _is_one_that_can_be(self) -> Self:
        if self.persistence == "transient" and self.errors != 1:
            raise ValueError("errors: a transient fault makes 1; leave it out")
        if self.uncorrected_after is not None and self.uncorrected_after > self.errors:
            raise ValueError(f"uncorrected_after must be at most errors ({self.errors})")
        if self.every == 0 or (self.found_by == "scrub" and self.every is None):
            raise ValueError("every must be above 0 s, and found_by = `scrub` needs it")
        return self

    def flaws(self, geometry: Geometry, rng: Generator) -> Iterator[Flaw]:
        """All of them, in the order of time.

        Raises:
            EmulatorError: if the memory has no such place.
        """
        begins = np.sort(rng.random(self.count)) * self.spread
        for begun in begins.tolist():
            yield Flaw(
                Mode[self.mode.upper()],
                Persistence(self.persistence),
                self._site(geometry, rng),
                round((self.at + begun) * SECOND_NS),
                self.errors,
                self.uncorrected_after,
                int(rng.integers(1 << 62)),
            )

    def model(self, preset: Model) -> Model:
        """The preset, unless the fault has a pace of its own."""
        if self.every is None:
            return preset
        pace_ns = self.every * SECOND_NS
        steady = _steady(pace_ns) if self.found_by == "read" else _scrubbed(pace_ns)
        return replace(preset, arrivals=steady)

    def _site(self, geometry: Geometry, rng: Generator) -> Site:
        return Site(
            self._dimm(geometry, rng),
            *(
                self._coordinate(name, geometry.extents[name], rng)
                for name in ("rank", "bank_group", "bank", "row", "column")
            ),
        )

    def _dimm(self, geometry: Geometry, rng: Generator) -> int:
        if self.dimm is None:
            return int(rng.integers(geometry.dimms))
        if self.dimm not in geometry.labels:
            there = ", ".join(geometry.labels)
            raise EmulatorError(f"memory_faults.dimm: no {self.dimm!r}; there are: {there}")
        return geometry.labels.index(self.dimm)

    def _coordinate(self, name: str, extent: int, rng: Generator) -> int:
        drawn = int(rng.integers(extent))  # drawn in any case: what is said moves nothing else
        said: int | None = getattr(self, name)
        if said is not None and said >= extent:
            raise EmulatorError(f"memory_faults.{name}: must be below {extent} (got {said})")
        return drawn if said is None else said


def planned_flaws(
    faults: Sequence[MemoryFault], geometry: Geometry, preset: Model, seed: int
) -> list[list[PlannedFlaw]]:
    """The flaws of each fault with the model that they follow. Each fault draws for itself."""
    chances = np.random.default_rng(seed).spawn(len(faults))
    return [
        [(flaw, model) for flaw in fault.flaws(geometry, rng)]
        for fault, rng, model in zip(
            faults, chances, (fault.model(preset) for fault in faults), strict=True
        )
    ]


def _steady(gap_ns: float) -> Arrivals:
    """One error after the other, and no quiet."""
    return Arrivals(
        burst_gap_ns=gap_ns,
        burst_gap_sigma=_STEADY_SIGMA,
        quiet_gap_ns=dict.fromkeys(Persistence, gap_ns),
        quiet_gap_sigma=0.0,
        burst_errors=dict.fromkeys(Mode, _FOR_EVER),
        bursts_max=1.0,
        scrub_period_ns=round(gap_ns),
        scrub_share=dict.fromkeys(Persistence, 0.0),
    )


def _scrubbed(round_ns: float) -> Arrivals:
    """Nobody reads there but the scrubber: quiet, from one round of it to the next."""
    return replace(
        _steady(round_ns),
        quiet_gap_ns=dict.fromkeys(Persistence, round_ns / 2),
        burst_errors=dict.fromkeys(Mode, 1.0),
        bursts_max=_FOR_EVER,
        scrub_share=dict.fromkeys(Persistence, 1.0),
    )
