"""The door of whoever runs the world: tells the truth, and breaks things on request."""

import asyncio
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from aiohttp import web

from agent.contract.frames import Mfn, mfn_of
from agent.contract.hypercall import PagesRequest, PageUse
from emulator.edges.door import do, tell
from emulator.edges.telemetry import Telemetry
from emulator.edges.truth import (
    ControlCall,
    CountsTruth,
    FaultRequest,
    FramesTruth,
    FrameTruth,
    GuestTruth,
    Nothing,
    Truth,
)
from emulator.machine.faults import Fault
from emulator.scenario import Scenario, TroubleSettings
from emulator.world import World
from emulator.xen.guests import Guest


@dataclass(slots=True)
class Control:
    """`started_at` is the loop's time at which the world began."""

    world: World
    telemetry: Telemetry
    scenario: Scenario
    started_at: float
    is_replaying: bool = False

    @property
    def now(self) -> float:
        """Seconds since the world began."""
        return asyncio.get_running_loop().time() - self.started_at

    def routes(self) -> list[web.RouteDef]:
        return [
            tell(ControlCall.TRUTH, self.truth),
            do(ControlCall.PAGES, PagesRequest, self.pages),
            do(ControlCall.FAULTS, FaultRequest, self.fault),
            do(ControlCall.TROUBLE, TroubleSettings, self.trouble),
            do(ControlCall.QUIESCE, Nothing, self.quiesce),
        ]

    async def truth(self) -> Truth:
        world, hypervisor, despatch = self.world, self.world.hypervisor, self.telemetry.despatch
        domains = world.toolstack.domains()
        return Truth(
            host=world.firmware.host,
            boot_id=world.firmware.boot_id,
            title=self.scenario.title,
            expect=self.scenario.expect,
            seconds=self.now,
            ereports=world.ereports,
            errors=world.errors,
            next_seq=world.ereports,
            frames=CountsTruth(**asdict(hypervisor.host)),
            marked=tuple(map(self._frame, hypervisor.offlined())),
            domains=domains.domains,
            images=domains.images,
            guests=tuple(self._guests()),
            source_done=world.is_done and not self.is_replaying,
            is_quiet=world.is_quiet,
            broker_connected=self.telemetry.connected,
            outbox=len(despatch.outbox),
            unpublished=despatch.unpublished,
        )

    async def pages(self, ask: PagesRequest) -> FramesTruth:
        return FramesTruth(pages=tuple(self._frame(Mfn(mfn)) for mfn in ask.pages))

    async def fault(self, ask: FaultRequest) -> Truth:
        if ask.on is not None:
            self.world.add_fault(ask.settings(ask.on), self.now)
        elif ask.address is not None:
            self._fault_at(Fault(ask.address, ask.errors_per_second, ask.errors_max))
        return await self.truth()

    async def trouble(self, ask: TroubleSettings) -> Truth:
        self.world.trouble(ask)
        return await self.truth()

    async def quiesce(self, _: Nothing) -> Truth:
        self.world.quiesce()
        return await self.truth()

    def _fault_at(self, fault: Fault) -> None:
        frames = self.world.hypervisor.layout.frames
        if mfn_of(fault.address) >= frames:
            raise web.HTTPBadRequest(text=f"address: this host has {frames} pages of 4 KiB\n")
        self.world.add_fault_at(fault, self.now)

    def _frame(self, mfn: Mfn) -> FrameTruth:
        table = self.world.hypervisor.table
        if mfn >= table.frames:
            return FrameTruth(mfn=mfn, state="absent", use=PageUse.UNKNOWN)
        return FrameTruth(
            mfn=mfn,
            state=table.state_of(mfn).name.lower(),
            use=table.use_of(mfn),
            owner=table.owner_of(mfn),
        )

    def _guests(self) -> Iterator[GuestTruth]:
        return (self._guest(guest) for guest in self.world.guests)

    def _guest(self, guest: Guest) -> GuestTruth:
        return GuestTruth(
            name=guest.domain.name,
            kind=guest.domain.kind,
            domid=guest.domain.domid,
            state=guest.domain.state,
            reads=guest.workload.reads,
            writes=guest.workload.writes,
            corruptions=guest.workload.corruptions,
            wrong_pages=guest.verify() if self.world.is_quiet else None,
        )
