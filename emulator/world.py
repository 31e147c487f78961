"""One truthful host: memory, faults, the bank that reports them, the hypervisor and its guests.

    faults ──due──► bank.log ──harvest──► registers ──firmware──► ereports
      ▲ silent where nobody reads: the page is offlined

Pure: `step` and `work` are told the time (seconds since the world began) and draw from the seed, so
the same seed, steps and calls make the same world. What it counts is what really happened; whoever
wants to know how well an agent did asks here.
"""

from collections.abc import Iterator
from uuid import UUID

import numpy as np

from agent.contract.columns import Batch
from agent.contract.frames import PAGE_SHIFT, PAGE_SIZE, Mfn, mfn_of
from emulator.chaos import draw
from emulator.config import EmulatorConfig
from emulator.dimms import place_of
from emulator.firmware import Firmware
from emulator.machine.banks import COUNT_MAX, Bank, Registers
from emulator.machine.faults import Fault, Faults
from emulator.machine.memory import Memory
from emulator.plan import planned, when
from emulator.scenario import FaultSettings, Scenario, TroubleSettings
from emulator.visits import Visits
from emulator.xen.frametable import FrameState
from emulator.xen.guests import Guest
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import Layout
from emulator.xen.peers import Peer
from emulator.xen.toolstack import Toolstack
from emulator.xen.trouble import Trouble

_LINE_BYTES = 64
_NS = 1_000_000_000
_CATCH_UP_SECONDS = 5.0  # after a stall, a guest works off this much and no more


class World:
    """A host since `started_ns` (nanoseconds since 1970 UTC); `boot_id` names this life of it."""

    def __init__(
        self,
        config: EmulatorConfig,
        scenario: Scenario,
        layout: Layout,
        boot_id: UUID,
        started_ns: int,
    ) -> None:
        self.hypervisor = Hypervisor(layout, Memory(layout.frames))
        self.toolstack = Toolstack(self.hypervisor)
        for peer in scenario.peers:
            self.toolstack.peers[peer.name] = Peer(peer.name, peer.memory >> PAGE_SHIFT)
        self.firmware = Firmware(config.host.name, boot_id, config.host.dimms)
        self.ereports = 0
        self.errors = 0
        self.is_quiet = False
        self._started_ns = started_ns
        self._accesses_per_second = config.workload.accesses_per_second
        self._worked_until = 0.0
        self._bank = Bank()
        self._faults = Faults()
        self._faulty: set[Mfn] = set()
        self._visits = Visits(list(scenario.mappings))
        self._plan = planned(*scenario.faults, *config.faults)
        self._chance, self._workload_chance = np.random.default_rng(config.seed).spawn(2)
        self.trouble(scenario.trouble)

    @property
    def is_done(self) -> bool:
        """True while no fault has more to say: all are spent, or nobody reads their pages."""
        return self.is_quiet or (not self._plan and self._faults.next_due() is None)

    @property
    def guests(self) -> list[Guest]:
        return list(self.hypervisor.guests.values())

    def step(self, now: float) -> Batch | None:
        """The errors up to `now`, as ereports; None if there were none."""
        if self.is_quiet:
            return None
        self._visits.step(self.hypervisor, now, self._chance)
        self._begin_faults(now)
        self._heed_readers(now)
        harvests = list(self._reported(now))
        if not harvests:
            return None
        time_ns = self._started_ns + round(now * _NS)
        batch = self.firmware.report(harvests, self.ereports, time_ns)
        self.ereports += len(batch)
        return batch

    def work(self, now: float) -> None:
        """Let every running guest do what it would have done by `now`."""
        seconds = min(max(now - self._worked_until, 0.0), _CATCH_UP_SECONDS)
        self._worked_until = now
        if self.is_quiet:
            return
        for guest in self.guests:
            guest.run(round(self._accesses_per_second * seconds), self._workload_chance)
        self.hypervisor.work(self._workload_chance)

    def trouble(self, settings: TroubleSettings) -> None:
        """Make the toolstack misbehave like this, and no more like before."""
        self.toolstack.trouble = Trouble(
            suspend=settings.suspend,
            exchange=settings.exchange,
            force_resume_path=settings.resume_path,
        )

    def add_fault(self, fault: FaultSettings, now: float) -> None:
        """Put a fault on pages of a kind; `at_seconds` counts from `now`."""
        later = fault.model_copy(update={"at_seconds": fault.at_seconds + now})
        self._plan = sorted([*self._plan, *planned(later)], key=when)

    def add_fault_at(self, fault: Fault, now: float) -> None:
        """Put a fault on one address."""
        self._faults.add(fault, now)
        self._faulty.add(mfn_of(fault.address))

    def count_replayed(self, batch: Batch) -> None:
        """A recording's ereports leave this host as its own."""
        self.ereports += len(batch)
        self.errors += int(batch.errors.sum())

    def quiesce(self) -> None:
        """No more errors and no more work: what is now stays, and can be verified."""
        self.is_quiet = True

    def _begin_faults(self, now: float) -> None:
        while self._plan and when(self._plan[0]) <= now:
            at, fault = self._plan[0]
            mfn = draw(self.hypervisor, fault.on, self._faulty, self._chance)
            if mfn is None:
                return  # nobody of that kind is there; the next step looks again
            line = int(self._chance.integers(PAGE_SIZE // _LINE_BYTES)) * _LINE_BYTES
            address = (mfn << PAGE_SHIFT) + line
            self.add_fault_at(Fault(address, fault.errors_per_second, fault.errors_max), at)
            del self._plan[0]

    def _heed_readers(self, now: float) -> None:
        """Nobody reads an offlined page. (A free one is read by the patrol scrubber.)"""
        for mfn in self._faulty:
            if self.hypervisor.table.state_of(mfn) is FrameState.OFFLINED:
                self._faults.silence(mfn)
            else:
                self._faults.wake(mfn, now)

    def _reported(self, now: float) -> Iterator[Registers]:
        """What the bank says of each error; it is harvested before it could lose an address."""
        for errors in self._faults.due(now, self._chance):
            channel = place_of(errors.address, self.firmware.dimms).dimm
            for count in _portions(errors.count):
                self._bank.log(errors.address, channel, count)
                self.errors += count
                registers = self._bank.harvest()
                if registers is not None:
                    yield registers


def _portions(errors: int) -> Iterator[int]:
    """So many at a time as the bank's counter holds."""
    while errors > 0:
        yield min(errors, COUNT_MAX)
        errors -= COUNT_MAX
