"""What guests, and people who look after guests, do while an agent is at work.

Nobody tells the agent. Guests crash and are rebooted, get another domain, are mapped by others and
let go again, and will not part with a device for a time. `repair` is what these people do once all
trouble is to end.
"""

from collections.abc import Callable
from random import Random

from agent.contract.frames import DOM0, DomId, Gfn, Mfn
from agent.contract.toolstack import HERE, DomainState
from emulator.world import World
from emulator.xen.domains import NO_FRAME, Domain
from emulator.xen.frametable import FrameState
from emulator.xen.hypervisor import Hypervisor
from tests.simulation.trace import Trace
from tests.simulation.trouble import Kind

MAPPINGS_MAX = 4


class Guests:
    """All that live on the host, by name."""

    def __init__(self, world: World, rng: Random, trace: Trace, now: Callable[[], float]) -> None:
        self.world = world
        self.names = [spec.name for spec in world.hypervisor.specs.values()]
        self._rng = rng
        self._trace = trace
        self._now = now
        self._mapped: list[tuple[Hypervisor, Mfn]] = []
        self._gone_corruptions = 0
        self.marked: dict[Mfn, float] = {}  # by somebody else than the agent, in this boot: when

    @property
    def deeds(self) -> dict[Kind, Callable[[str], None]]:
        return {
            Kind.GUEST_CRASHES: self.crash,
            Kind.GUEST_REBOOTS: self.reboot,
            Kind.GUEST_LEAVES: self.leave,
            Kind.MAPPER: self.come_or_go,
            Kind.KEEPS_DEVICE: self.keep_device,
            Kind.MARKS: self.mark,
        }

    @property
    def _hypervisor(self) -> Hypervisor:
        return self.world.hypervisor

    def domain(self, name: str) -> Domain | None:
        return next((d for d in self._hypervisor.domains.values() if d.name == name), None)

    def crash(self, name: str) -> None:
        domain = self.domain(name)
        if domain is not None:
            self._tell(name, "crashes")
            self._hypervisor.crash(domain.domid)

    def reboot(self, name: str) -> None:
        """In another domain, from the beginning."""
        domain = self.domain(name)
        if domain is not None and self._hypervisor.domids_left:
            self._tell(name, "is rebooted")
            self._remember(domain.domid)
            born = self.world.toolstack.reboot(domain.domid)
            self._give_devices(name, born.domid)

    def _give_devices(self, name: str, domid: int | None) -> None:
        """A guest that is started has its devices, whoever had taken them from the one before."""
        for device in self._hypervisor.devices.values():
            if device.home == name and domid is not None:
                self.world.toolstack.attach(domid, device.name)

    def leave(self, name: str) -> None:
        """Its administrator moves it: the same guest, in another domain."""
        domain = self.domain(name)
        if domain is not None and domain.is_running:
            reply = self.world.toolstack.migrate(domain.domid, HERE)
            self._tell(name, f"is moved: {reply.outcome} {reply.domid}")

    def come_or_go(self, name: str) -> None:
        """Dom0 maps a page of it, or whoever mapped one first lets go of it."""
        domain = self.domain(name)
        if len(self._mapped) >= MAPPINGS_MAX or self._rng.random() < 0.3:
            self._let_go()
        elif domain is not None and domain.is_running:
            self._map(domain)

    def _map(self, domain: Domain) -> None:
        """A page that is marked, if there is one: that is where it hurts."""
        frames = domain.p2m[: self._hypervisor.guests[domain.domid].workload.working_set_pages]
        there = [
            mfn for mfn in frames.tolist() if mfn != NO_FRAME and self._is_private(domain, mfn)
        ]
        marked = [mfn for mfn in there if self._is_marked(mfn)]
        if not there:
            return
        mfn = Mfn(self._rng.choice(marked or there))
        gfn = self._hypervisor.table.gfn_of(mfn)
        if gfn is not None:
            self._tell(domain.name, f"page {mfn:#x} is mapped by dom0")
            self._hypervisor.map_page(DOM0, domain, Gfn(gfn), stays=self._rng.random() < 0.3)
            self._mapped.append((self._hypervisor, mfn))

    def _is_private(self, domain: Domain, mfn: int) -> bool:
        gfn = self._hypervisor.table.gfn_of(Mfn(mfn))
        return gfn is not None and not domain.is_shared[gfn]

    def _is_marked(self, mfn: int) -> bool:
        return self._hypervisor.table.state_of(Mfn(mfn)) is FrameState.OFFLINING

    def _let_go(self) -> None:
        if not self._mapped:
            return
        hypervisor, mfn = self._mapped.pop(0)
        if hypervisor is self._hypervisor and DOM0 in hypervisor.table.references.mappers(mfn):
            self._trace("guests", f"dom0 lets go of page {mfn:#x}")
            hypervisor.unmap_page(DOM0, mfn)

    def keep_device(self, name: str) -> None:
        """It does not let go of its devices, or does again."""
        for device in self._hypervisor.devices.values():
            if device.home == name:
                device.may_leave = not device.may_leave
                self._tell(name, f"lets go of {device.name}: {device.may_leave}")

    def mark(self, name: str) -> None:
        """By hand: a page of that guest, or one that is free."""
        table, domain = self._hypervisor.table, self.domain(name)
        free = table.free_within(0, table.frames).tolist()
        held = [] if domain is None else domain.frames.tolist()
        mfn = Mfn(self._rng.choice(self._rng.choice([held or free, free])))
        if mfn not in table.marked() and self._hypervisor.page_offline_pending([mfn]).changed:
            self._trace("guests", f"somebody marks page {mfn:#x}")
            self.marked[mfn] = self._now()

    def bring_online(self, mfn: Mfn) -> None:
        """Somebody takes back what was asked for, as long as it has not happened."""
        if self._is_marked(mfn):
            self._trace("guests", f"somebody brings page {mfn:#x} back online")
            self._hypervisor.page_online([mfn])

    def repair(self) -> None:
        while self._mapped:
            self._let_go()
        keepers = {s.name for s in self._hypervisor.specs.values() if s.keeps_devices}
        for device in self._hypervisor.devices.values():
            device.may_leave = device.home not in keepers
        for domain in list(self._hypervisor.domains.values()):
            if domain.state is DomainState.CRASHED:
                self.reboot(domain.name)

    def elsewhere(self) -> set[str]:
        """Those that a boot of the host does not start: they are on disk, or on another host."""
        images = self.world.toolstack.images
        saved = (images.get(name) for name in images.waiting())
        on_disk = {image.being.spec.name for image in saved if image and image.being}
        peers = self.world.toolstack.peers.values()
        return on_disk | {being.spec.name for peer in peers for being in peer.guests}

    def _remember(self, domid: DomId) -> None:
        """What happened to a workload that ends counts too."""
        workload = self._hypervisor.guests[domid].workload
        self._gone_corruptions += workload.corruptions + workload.faults

    def remember_all(self) -> None:
        """The host goes down, and all who live on it."""
        for domid in self._hypervisor.domains:
            self._remember(domid)

    def corruptions(self) -> int:
        """How often a guest read what it had not written, or could not write."""
        living = (guest.workload for guest in self.world.guests)
        return self._gone_corruptions + sum(w.corruptions + w.faults for w in living)

    def _tell(self, name: str, what: str) -> None:
        self._trace("guests", f"{name} {what}")
