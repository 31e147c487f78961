"""The door of whoever runs the world: tells the truth, and breaks things on request."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from aiohttp import web

from agent.contract.frames import Mfn, mfn_of
from agent.contract.hypercall import PagesRequest, PageUse
from emulator.edges.boot import Life
from emulator.edges.door import do, tell
from emulator.edges.truth import (
    AwayTruth,
    ClearRequest,
    ControlCall,
    CountsTruth,
    DomainBreakRequest,
    FaultRequest,
    FramesTruth,
    FrameTruth,
    GuestTruth,
    HostDo,
    HostRequest,
    HostState,
    Nothing,
    RulesTruth,
    RuleTruth,
    Truth,
)
from emulator.machine.queue import Fault
from emulator.mischief import Rule
from emulator.scenario import Scenario
from emulator.world import World
from emulator.xen.defects import Down, HostDown
from emulator.xen.guests import Guest

HOST_ENDS = {
    HostDo.CRASH: HostDown(Down.CRASHED, "a crash was asked for"),
    HostDo.HANG: HostDown(Down.HUNG, "to hang was asked for"),
    HostDo.REBOOT: HostDown(Down.CRASHED, "a reboot was asked for"),
}


@dataclass(slots=True)
class Control:
    """It answers whatever the host does."""

    life: Life
    scenario: Scenario

    @property
    def world(self) -> World:
        return self.life.world

    def routes(self) -> list[web.RouteDef]:
        return [
            tell(ControlCall.TRUTH, self.truth),
            do(ControlCall.PAGES, PagesRequest, self.pages),
            do(ControlCall.FAULTS, FaultRequest, self.fault),
            tell(ControlCall.MISCHIEF, self.rules),
            do(ControlCall.MISCHIEF, Rule, self.add_rule),
            do(ControlCall.MISCHIEF_CLEAR, ClearRequest, self.clear_rules),
            do(ControlCall.HOST, HostRequest, self.host),
            do(ControlCall.DOMAIN, DomainBreakRequest, self.domain),
            do(ControlCall.QUIESCE, Nothing, self.quiesce),
        ]

    async def truth(self) -> Truth:
        life, world, hypervisor = self.life, self.world, self.world.hypervisor
        telemetry, state = life.boot.telemetry, life.boot.fate.state
        domains = await life.boot.toolstack.domains()
        to_come = life.is_replaying or life.events_left > 0
        is_over = world.is_done and not to_come and state is HostState.UP
        return Truth(
            host=world.firmware.host,
            boot_id=world.firmware.boot_id,
            state=state,
            past=life.past,
            mischief=self._rules(),
            title=self.scenario.title,
            expect=self.scenario.expect,
            seconds=life.now,
            ereports=world.ereports,
            errors=world.errors,
            next_seq=world.ereports,
            frames=CountsTruth(**asdict(hypervisor.host)),
            marked=tuple(map(self._frame, hypervisor.offlined())),
            broken=tuple(hypervisor.table.broken),
            unscrubbed=hypervisor.table.scrubber.unscrubbed,
            domains=domains.domains,
            images=domains.images,
            guests=tuple(self._guests()),
            away=tuple(self._away()),
            source_done=is_over,
            is_quiet=world.is_quiet,
            broker_connected=telemetry.connected,
            outbox=len(telemetry.despatch.outbox),
            unpublished=telemetry.despatch.unpublished,
        )

    async def pages(self, ask: PagesRequest) -> FramesTruth:
        return FramesTruth(pages=tuple(self._frame(Mfn(mfn)) for mfn in ask.pages))

    async def fault(self, ask: FaultRequest) -> Truth:
        if ask.on is not None:
            self.world.add_fault(ask.settings(ask.on), self.life.now)
        elif ask.address is not None:
            self._fault_at(Fault(ask.address, ask.errors_per_second, ask.errors_max))
        return await self.truth()

    async def rules(self) -> RulesTruth:
        return RulesTruth(rules=self._rules())

    async def add_rule(self, rule: Rule) -> RulesTruth:
        try:
            self.life.mischief.add(rule)
        except ValueError as error:
            raise web.HTTPBadRequest(text=f"{error}\n") from None
        return await self.rules()

    async def clear_rules(self, ask: ClearRequest) -> RulesTruth:
        self.life.mischief.clear(ask.number)
        return await self.rules()

    async def host(self, ask: HostRequest) -> Truth:
        if ask.replace_dimm is not None:
            self._replace(ask.replace_dimm)
        self.life.boot.fate.end(HOST_ENDS[ask.do])
        return await self.truth()

    def _replace(self, label: str) -> None:
        labels = self.world.firmware.geometry.labels
        if label not in labels:
            there = ", ".join(labels)
            raise web.HTTPBadRequest(text=f"replace_dimm: no {label!r}; there are: {there}\n")
        self.world.replace_dimm(label)

    async def domain(self, ask: DomainBreakRequest) -> Truth:
        domains = self.world.hypervisor.domains.values()
        named = next((domain for domain in domains if domain.name == ask.name), None)
        if named is None:
            there = ", ".join(sorted(domain.name for domain in domains))
            raise web.HTTPBadRequest(text=f"name: there is no {ask.name!r}; there are: {there}\n")
        self.world.hypervisor.crash(named.domid)
        return await self.truth()

    async def quiesce(self, _: Nothing) -> Truth:
        self.world.quiesce()
        return await self.truth()

    def _rules(self) -> tuple[RuleTruth, ...]:
        return tuple(
            RuleTruth(number=armed.number, rule=armed.rule, happened=armed.happened)
            for armed in self.life.mischief
        )

    def _fault_at(self, fault: Fault) -> None:
        frames = self.world.hypervisor.layout.frames
        if mfn_of(fault.address) >= frames:
            raise web.HTTPBadRequest(text=f"address: this host has {frames} pages of 4 KiB\n")
        self.world.add_fault_at(fault, self.life.now)

    def _frame(self, mfn: Mfn) -> FrameTruth:
        table = self.world.hypervisor.table
        if mfn >= table.frames:
            return FrameTruth(mfn=mfn, state="absent", use=PageUse.UNKNOWN)
        return FrameTruth(
            mfn=mfn,
            state=table.state_of(mfn).name.lower(),
            use=table.use_of(mfn),
            owner=table.owner_of(mfn),
            is_broken=table.is_broken(mfn),
            is_wiped=not self.world.hypervisor.memory.read(np.array([mfn]))[0],
        )

    def _guests(self) -> Iterator[GuestTruth]:
        return (self._guest(guest) for guest in self.world.guests)

    def _away(self) -> Iterator[AwayTruth]:
        for peer in self.world.toolstack.peers.values():
            for being in peer.guests:
                yield AwayTruth(name=being.spec.name, peer=peer.name, harm=being.workload.harm)

    def _guest(self, guest: Guest) -> GuestTruth:
        return GuestTruth(
            name=guest.domain.name,
            kind=guest.domain.kind,
            domid=guest.domain.domid,
            state=guest.domain.state,
            reads=guest.workload.reads,
            writes=guest.workload.writes,
            corruptions=guest.workload.corruptions,
            faults=guest.workload.faults,
            wrong_pages=guest.verify() if self.world.is_quiet else None,
        )
