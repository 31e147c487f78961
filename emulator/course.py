"""A scenario's errors as a whole, with nobody in between: for recording them, and for feeding them.

    flaws ─► stream ─► harvests ─► lies ─► the host's clock ─► records, or batches of ereports

Nothing is taken out of use here, so that every fault goes on to its end. The same scenario, host
and seed make the same course, byte for byte, whenever and wherever it is run.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from uuid import UUID

import numpy as np

from agent.contract.columns import Batch, Kind
from agent.contract.ereport import BATCH_MAX, Inventory
from emulator import presets, scenario
from emulator.config import EmulatorConfig
from emulator.errors import EmulatorError
from emulator.firmware import Firmware
from emulator.hardware import ReportingSettings, by_the_clock
from emulator.machine.faults import Flaw
from emulator.machine.harvests import Harvester, Harvests, Logged
from emulator.machine.memory import Geometry
from emulator.machine.merge import merged
from emulator.machine.model import Model, flaws_in
from emulator.machine.reporting import SECOND_NS, How
from emulator.machine.stream import Chunk, Transaction, stream
from emulator.plan import flaws_of
from emulator.recording.record import Layout
from emulator.scenario import Scenario

# 2026-01-01T00:00:00Z: a course is the same whenever it is run, so it begins at a fixed time.
STARTED_NS = 1_767_225_600 * SECOND_NS
_AFTERWARDS_NS = 3600 * SECOND_NS  # long enough for the last poll
_FOR_EVER_NS = 1 << 62


@dataclass(frozen=True, slots=True)
class Course:
    """What `scenario` does to a host with this memory. `is_amd` is about registers alone."""

    scenario: Scenario
    geometry: Geometry
    seed: int
    reporting: ReportingSettings
    started_ns: int = STARTED_NS
    is_amd: bool = False

    def check(self) -> None:
        """Complain before anything is made.

        Raises:
            EmulatorError: if the memory has no such place, or wears out too fast, or if all
                faults are on pages of a kind: these need a host with guests.
        """
        self._streams()
        if self.scenario.faults and not (self.scenario.memory_faults or self.scenario.wear):
            raise EmulatorError(
                "scenario: it puts faults on pages of guests, and those live in `pagewarden demo` "
                "and `pagewarden emulator` alone; there are: "
                f"{', '.join(_of_hardware())}"
            )

    @property
    def layout(self) -> Layout:
        if self.reporting.how is How.FIRMWARE_FIRST:
            return Layout.FIRMWARE
        return Layout.AMD if self.is_amd else Layout.INTEL

    def harvests(self) -> Iterator[Harvests]:
        """All readings, in the order in which they were taken, by the host's own clock."""
        lying = np.random.default_rng([self.seed, 1])
        for found in self._read():
            told = self.reporting.lies.told(found, lying)
            steps = self.scenario.clock_steps
            yield replace(told, time_ns=by_the_clock(told.time_ns, self.started_ns, steps))

    def batches(self, host: str, boot_id: UUID, at_most: int = BATCH_MAX) -> Iterator[Batch]:
        """All ereports, numbered from 0, at most so many in one batch."""
        firmware = self._firmware(host, boot_id)
        made = 0
        for found in map(self._as_drivers_count, self.harvests()):
            for at in range(0, len(found), at_most):
                part = found.at(np.arange(at, min(at + at_most, len(found))))
                yield firmware.report_all(part, made)
                made += len(part)

    def _as_drivers_count(self, found: Harvests) -> Harvests:
        """Behind firmware, and behind AMD's driver, a count is not known, and taken for 1."""
        if self.layout is Layout.INTEL:
            return found
        return replace(found, count=np.ones_like(found.count))

    def inventory(self, host: str, boot_id: UUID) -> Inventory:
        """What the host says of its memory."""
        return Inventory(
            host=host,
            boot_id=boot_id,
            memory_bytes=self.geometry.memory,
            dimms=self.geometry.labels,
            modules=self.geometry.modules(self.seed, {}),
        )

    def _firmware(self, host: str, boot_id: UUID) -> Firmware:
        return Firmware(host, boot_id, self.geometry, self.geometry.modules(self.seed, {}))

    def _read(self) -> Iterator[Harvests]:
        harvester, last_ns = Harvester(self.reporting.reporting), self.started_ns
        for chunk in self._errors():
            if len(chunk):
                logged = self._logged(chunk)
                last_ns = int(logged.time_ns[-1])
                yield harvester.harvest(logged)
        rest = harvester.finish(last_ns + _AFTERWARDS_NS + self.reporting.reporting.poll_ns)
        if rest is not None:
            yield rest

    def _logged(self, chunk: Chunk) -> Logged:
        places = self.geometry.places(chunk.address)
        source = places.socket * self.geometry.channels + places.channel
        return Logged(
            chunk.time_ns + self.started_ns,
            chunk.address.astype(np.uint64),
            source.astype(np.int16),
            chunk.kind == Kind.UE,
            chunk.transaction == Transaction.SCRUB,
        )

    def _errors(self) -> Iterator[Chunk]:
        """What falls on the host's own memory; a DIMM holds a little more than it makes use of."""
        for chunk in merged(self._streams()):
            yield chunk[chunk.address < self.geometry.memory]

    def _streams(self) -> list[Iterator[Chunk]]:
        until_ns = self._until_ns
        faults = flaws_of(self.scenario, self.geometry, self.seed)
        streams = [
            stream([flaw for flaw, _ in each], each[0][1], self.geometry, until_ns)
            for each in faults
        ]
        if self.scenario.wear:
            model = presets.load(self.scenario.preset).model
            flaws = self._worn_out(model, until_ns)
            streams.append(stream(flaws, model, self.geometry, until_ns))
        return streams

    def _worn_out(self, model: Model, until_ns: int) -> list[Flaw]:
        try:
            return flaws_in(model, self.geometry, 1, until_ns, self.seed, scale=self.scenario.wear)
        except ValueError as error:
            raise EmulatorError(f"wear: {error}") from None

    @property
    def _until_ns(self) -> int:
        span = self.scenario.span
        return _FOR_EVER_NS if span is None else round(span * SECOND_NS)


def course_of(scenario: Scenario, config: EmulatorConfig, *, is_amd: bool = False) -> Course:
    """The course of `scenario` on the configured host."""
    reporting = scenario.reporting or ReportingSettings(how=config.host.reporting)
    return Course(
        scenario,
        config.memory.geometry(config.host.memory),
        config.seed,
        reporting,
        is_amd=is_amd,
    )


def _of_hardware() -> list[str]:
    loaded = {name: scenario.load(name) for name in scenario.names()}
    return [name for name, each in loaded.items() if each.memory_faults or each.wear]
