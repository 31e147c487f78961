"""One truthful host: memory, faults, the bank that reports them, the hypervisor and its guests.

    faults ──due──► bank.log ──harvest──► registers ──firmware──► ereports
      ▲ silent where nobody reads: the page is offlined
    an uncorrected error ──► bank ──► Xen's machine-check handler, and then as above

Pure: `step` and `work` are told the time (seconds since the world began) and draw from the seed, so
the same seed, steps and calls make the same world. What it counts is what really happened; whoever
wants to know how well an agent did asks here.

A host lives through many boots. The hardware stays (a DIMM, until it is replaced): what is faulty
stays faulty, and what it has spent is spent. So does the disk: a guest whose image was whole is
there, and waits to be restored. Everything else begins anew, under a new boot_id: frame table,
marks, content, guests and numbers.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import partial
from itertools import chain
from uuid import UUID

import numpy as np

from agent.contract.columns import I64, Batch, Bools, Kind
from agent.contract.frames import FIRST_RESERVED_DOMID, PAGE_SHIFT, PAGE_SIZE, DomId, Mfn, mfn_of
from emulator.chaos import draw
from emulator.config import EmulatorConfig, Personality
from emulator.firmware import Firmware
from emulator.hardware import ReportingSettings, by_the_clock
from emulator.machine.banks import Registers, Uncorrected
from emulator.machine.content import Content
from emulator.machine.faults import Flaw
from emulator.machine.memory import Places
from emulator.machine.model import Model
from emulator.machine.playing import Flaws
from emulator.machine.queue import Errors, Fault, Faults
from emulator.machine.reporting import Reporter
from emulator.machine.stream import Transaction
from emulator.plan import flaws_of, planned, when
from emulator.scenario import FaultSettings, On, Scenario
from emulator.visits import Visits
from emulator.xen.defects import MENDED, XEN_4_17, HostDown, switched
from emulator.xen.frametable import FrameState
from emulator.xen.guests import Guest
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.images import Images
from emulator.xen.layout import Layout
from emulator.xen.machinecheck import MachineCheck
from emulator.xen.peers import Peer
from emulator.xen.sysctl import PageOfflineOp
from emulator.xen.toolstack import Toolstack

_LINE_BYTES = 64
_NS = 1_000_000_000
_CATCH_UP_SECONDS = 5.0  # after a stall, a guest works off this much and no more
_DEFECTS = {Personality.THREAD: MENDED, Personality.XEN_4_17: XEN_4_17}
_SEVERITY = {Transaction.READ: Uncorrected.SRAR, Transaction.SCRUB: Uncorrected.SRAO}
_SCRUBBED_PER_SECOND = 1 << 18  # pages an idle CPU wipes: 1 GiB


class World:
    """A host since `started_ns` (nanoseconds since 1970 UTC); `boot_id` names this boot of it.

    `ereports` and `errors` are those of this boot.
    """

    def __init__(
        self,
        config: EmulatorConfig,
        scenario: Scenario,
        layout: Layout,
        boot_id: UUID,
        started_ns: int,
    ) -> None:
        self._defects = switched(_DEFECTS[config.host.personality], config.host.defects)
        self._peers = {p.name: Peer(p.name, p.memory >> PAGE_SHIFT) for p in scenario.peers}
        self.is_quiet = False
        self._layout = layout
        self._started_ns = started_ns
        self._accesses_per_second = config.workload.accesses_per_second
        self._reporting = scenario.reporting or ReportingSettings(how=config.host.reporting)
        self._reporters: dict[int, Reporter] = {}
        self._faults = Faults()
        self._geometry = config.memory.geometry(layout.frames * PAGE_SIZE)
        self._flaws = Flaws(self._geometry)
        for flaw, model in chain.from_iterable(flaws_of(scenario, self._geometry, config.seed)):
            self.add_flaw(flaw, model)
        self._faulty: set[Mfn] = set()
        self._visits = Visits(list(scenario.mappings))
        self._clock_steps = scenario.clock_steps
        self._plan = planned(*scenario.faults, *config.faults)
        chances = np.random.default_rng(config.seed).spawn(3)
        self._chance, self._workload_chance, self._lying_chance = chances
        self._disk = Images()
        self._modules = partial(self._geometry.modules, config.seed)
        self._replaced: Counter[str] = Counter()
        self._to_replace: set[str] = set()
        modules = self._modules(self._replaced)
        self._boot(Firmware(config.host.name, boot_id, self._geometry, modules), layout, 0.0)
        for _, fault in self._plan:
            if fault.on is On.BROKEN:
                self._break_early()

    def _boot(self, firmware: Firmware, layout: Layout, now: float) -> None:
        self.firmware = firmware
        self.hypervisor = Hypervisor(layout, Content(layout.frames), self._defects)
        self.toolstack = Toolstack(self.hypervisor, peers=self._peers, images=self._disk)
        self.xen = PageOfflineOp(self.hypervisor)
        self.checks = MachineCheck(self.hypervisor, self.xen)
        self._struck: list[Registers] = []
        self._reporters.clear()
        self.ereports = 0
        self.errors = 0
        self._booted_at = now
        self._worked_until = now

    @property
    def is_done(self) -> bool:
        """True while no fault has more to say: all are spent, or nobody reads their pages.

        A flaw has more to say until it is spent, whoever reads its pages: it reaches many.
        """
        to_come = self._plan or self._faults.next_due() is not None
        to_come = to_come or self._flaws.next_due_ns is not None
        unread = any(reporter.is_to_be_read for reporter in self._reporters.values())
        return self.is_quiet or not (to_come or unread)

    @property
    def guests(self) -> list[Guest]:
        return list(self.hypervisor.guests.values())

    @property
    def down(self) -> HostDown | None:
        """How this boot has ended, if a call or an error was the end of it."""
        return self.xen.down

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
        batch = self.firmware.report(harvests, self.ereports, self._clock_ns(now))
        self.count(batch)
        return batch

    def _clock_ns(self, now: float) -> int:
        """What the host's clock shows."""
        time_ns = np.array([self._started_ns + round(now * _NS)])
        return int(by_the_clock(time_ns, self._started_ns, self._clock_steps)[0])

    def work(self, now: float) -> None:
        """Let every running guest do what it would have done by `now`, and idle CPUs scrub."""
        seconds = min(max(now - self._worked_until, 0.0), _CATCH_UP_SECONDS)
        self._worked_until = now
        if self.is_quiet:
            return
        self.hypervisor.table.scrubber.idle(round(_SCRUBBED_PER_SECOND * seconds))
        self._heed_machine_checks()
        for guest in self.guests:
            guest.run(round(self._accesses_per_second * seconds), self._workload_chance)
        self.hypervisor.work(self._workload_chance)

    def stand_still(self) -> None:
        """The host hangs, or is down: nobody reads its memory, so that no fault can show."""
        for mfn in self._faulty:
            self._faults.silence(mfn)

    def reboot(self, boot_id: UUID, now: float, unwritten: AbstractSet[str] = frozenset()) -> None:
        """Begin another boot at `now`. The images that are `unwritten` were not whole yet.

        The guest of one that was whole is not started anew: it is on the disk, as it was saved.
        Nor is one that has left for a peer.
        """
        self._disk = _whole(self._disk, unwritten)
        elsewhere = self._disk.guests() | _names_at(self._peers.values())
        there = [guest for guest in self._layout.guests if guest.name not in elsewhere]
        away = [guest for guest in self._layout.guests if guest.name in elsewhere]
        self._visits.forget()
        self.stand_still()
        self._flaws.pass_over(round(now * _NS))
        self._put_in_new_dimms()
        firmware = replace(self.firmware, boot_id=boot_id, modules=self._modules(self._replaced))
        layout = replace(self._layout, guests=tuple(there), away=tuple(away))
        self._boot(firmware, layout, now)
        self._heed_readers(now)

    def replace_dimm(self, label: str) -> None:
        """Have another DIMM in that slot from the next boot on: a sound one."""
        self._to_replace.add(label)

    def _put_in_new_dimms(self) -> None:
        self._replaced.update(self._to_replace)
        slots = [self._geometry.labels.index(label) for label in self._to_replace]
        self._to_replace.clear()
        self._flaws.remove(slots)
        mfns = sorted(self._faulty)
        dimms = self._geometry.dimm_of(self._places([mfn << PAGE_SHIFT for mfn in mfns])).tolist()
        for mfn, dimm in zip(mfns, dimms, strict=True):
            if dimm in slots:
                self._faults.remove(mfn)
                self._faulty.discard(mfn)

    def add_fault(self, fault: FaultSettings, now: float) -> None:
        """Put a fault on pages of a kind; `at_seconds` counts from `now`."""
        later = fault.model_copy(update={"at_seconds": fault.at_seconds + now})
        self._plan = sorted([*self._plan, *planned(later)], key=when)

    def add_fault_at(self, fault: Fault, now: float) -> None:
        """Put a fault on one address."""
        self._faults.add(fault, now)
        self._faulty.add(mfn_of(fault.address))

    def add_flaw(self, flaw: Flaw, model: Model) -> None:
        """Let the hardware be bad as real hardware is; its times count from the world's begin."""
        self._flaws.add(flaw, model)

    def count(self, batch: Batch) -> None:
        """Ereports leave this host, its own or a recording's, and with them what they count."""
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
            del self._plan[0]
            if fault.uncorrected:
                self._strike(address, fault.severity, now)
                continue
            began_at = max(at, self._booted_at)
            self.add_fault_at(Fault(address, fault.errors_per_second, fault.errors_max), began_at)

    def _strike(self, address: int, severity: Uncorrected, now: float) -> None:
        """An uncorrected error: Xen has seen to it before anybody is told."""
        self._faulty.add(mfn_of(address))
        (reporter,) = self._reporters_of([address])
        for harvest in reporter.log_uncorrected(address, round(now * _NS), severity):
            self._struck.append(harvest.registers)
            if harvest.registers.uncorrected:
                self.checks.handle(harvest.registers)

    def _break_early(self) -> None:
        """An uncorrected error of before: Xen has marked the page, and its guest knows of it."""
        broken = set(self.hypervisor.table.broken)
        plain = (draw(self.hypervisor, on, broken, self._chance) for on in (On.HVM, On.PV))
        for mfn in [each for each in plain if each is not None][:1]:
            gfn = self.hypervisor.table.gfn_of(mfn)
            owner = self.hypervisor.table.owner_of(mfn)
            self.hypervisor.table.mark_broken(mfn)
            self.hypervisor.table.offline(mfn)
            if gfn is not None and owner is not None:
                self.hypervisor.guests[owner].abandon(gfn)

    def _heed_machine_checks(self) -> None:
        """Whoever was told of a broken page touches it no more."""
        vmces = self.checks.vmces
        for domid, gfn in vmces.unhandled():
            guest = self.hypervisor.guests.get(domid)
            if guest is None or gfn is None or guest.abandon(gfn):
                vmces.seen_to(domid)

    def _heed_readers(self, now: float) -> None:
        """Nobody reads an offlined page. (A free one is read by the patrol scrubber.)"""
        for mfn in self._faulty:
            if self.hypervisor.table.state_of(mfn) is FrameState.OFFLINED:
                self._faults.silence(mfn)
            else:
                self._faults.wake(mfn, now)

    def _reported(self, now: float) -> Iterator[Registers]:
        """What the banks say of the errors up to `now`, to whom this host lets read them."""
        due = [*self._shown(now), *self._faults.due(now, self._chance)]
        struck, self._struck = self._struck, []
        now_ns = round(now * _NS)
        read = [reporter.read(now_ns) for reporter in self._reporters.values()]
        reporters = self._reporters_of([errors.address for errors in due])
        for errors, reporter in zip(due, reporters, strict=True):
            read.append(reporter.log(errors.address, now_ns, errors.count))
        found = (harvest.registers for harvest in chain.from_iterable(read))
        for registers in chain(struck, found):
            yield self._reporting.told(registers, self._lying_chance)

    def _shown(self, now: float) -> list[Errors]:
        """What the flaws made where somebody reads; what is uncorrected has struck then."""
        due = self._flaws.due(round(now * _NS))
        if due is None:
            return []
        read = due[self._is_read(due.address >> PAGE_SHIFT)]
        corrected = read.kind == Kind.CE
        fatal = read[~corrected]
        for address, by in zip(fatal.address.tolist(), fatal.transaction.tolist(), strict=True):
            self._strike(address, _SEVERITY[Transaction(by)], now)
        addresses, counts = np.unique(read.address[corrected], return_counts=True)
        return [*map(Errors, addresses.tolist(), counts.tolist())]

    def _is_read(self, mfns: I64) -> Bools:
        """The host knows these frames, and none of them is offlined."""
        known = mfns < self.hypervisor.layout.frames
        offlined = self.hypervisor.table.offlined_among(mfns[known])
        return known & ~np.isin(mfns, offlined)

    def _reporters_of(self, addresses: list[int]) -> list[Reporter]:
        """Of each address, that of its channel's bank."""
        places = self._places(addresses)
        sources = places.socket * self._geometry.channels + places.channel
        return [self._reporter(source) for source in sources.tolist()]

    def _reporter(self, source: int) -> Reporter:
        if source not in self._reporters:
            channel = source % self._geometry.channels
            self._reporters[source] = Reporter(self._reporting.reporting, channel)
        return self._reporters[source]

    def _places(self, addresses: list[int]) -> Places:
        return self._geometry.places(np.array(addresses, np.int64))


def _whole(disk: Images, unwritten: AbstractSet[str]) -> Images:
    """The images that a reboot leaves. None of them is of a domain that has its id now."""
    left = Images()
    for name in disk.waiting():
        image = disk.get(name)
        if image is not None and name not in unwritten:
            left.put(name, replace(image, saved_from=DomId(FIRST_RESERVED_DOMID)))
    return left


def _names_at(peers: Iterable[Peer]) -> set[str]:
    return {being.spec.name for peer in peers for being in peer.guests}
