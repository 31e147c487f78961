"""Guests, by way of `xl`: what can be done with a stock Xen 4.17, and what cannot.

    save, restore   for every kind of guest: the one way that always works; it stands still for it
    migrate here    without a long stop, where there is room for a second copy. Debian's build
                    cannot do it for PV guests: it has no log-dirty mode
    detach, attach  `xl pci-detach`, `xl pci-attach`
    exchange        not here. `xc_exchange_page` and `xen-hptool mem-offline`, which rests on it,
                    never worked: it names dom0 as the owner of the guest's page tables and is
                    refused; with that mended it loses the writable bit; and with that mended it
                    writes garbage into the machine-to-physical table. All three were seen with
                    4.17.7. An exchange of our own would have its place in `exchange` and `suspend`

What a command did is read back and not taken from its exit code: how a guest is now, and where, is
what `xl list` says of its uuid. A guest is recognised by that and by nothing else.

How long a guest stood still is measured from before its save to after its restore, which is longer
than it was. A live migration does not tell how long its last stop was.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from agent.adapters.hypervisor.timing import Answered, timed
from agent.adapters.xen.images import SPARE_BYTES, Image, Images, settle
from agent.adapters.xen.listing import Guest, address_of, free_pages, guests
from agent.adapters.xen.xl import Ran, Xl
from agent.contract.frames import DOM0, FIRST_RESERVED_DOMID, DomId, Mfn
from agent.contract.toolstack import (
    HERE,
    DomainsReply,
    DomainState,
    GuestKind,
    ToolCall,
    ToolOutcome,
    ToolReply,
)
from agent.events import Observer
from agent.retirement.ladder import Rung

# What there is of the ladder, gentlest first: a live migration stops the guest for a moment.
RUNGS = (Rung.MIGRATE, Rung.SAVE_RESTORE)

NO_EXCHANGE = (
    "a stock Xen cannot exchange a page: xc_exchange_page names the wrong owner of the page "
    "tables, loses the writable bit, and garbles the machine-to-physical table"
)


@dataclass(slots=True)
class XenToolstack:
    """Fills `retirement.ports.Toolstack`. `resume_domain` is Xen's own; `xl` has no word for it."""

    xl: Xl
    images: Images
    resume_domain: Callable[[DomId], Awaitable[None]]
    observe: Observer
    clock_ns: Callable[[], int] = time.time_ns

    async def close(self) -> None:
        """A command that is under way goes on: cut off, it would leave its guest stopped."""

    async def domains(self) -> DomainsReply:
        return await self._timed(ToolCall.DOMAINS, self._domains())

    async def kinds(self) -> Mapping[int, GuestKind]:
        """What each guest is, for whoever knows only its domain."""
        return {guest.info.domid: guest.info.kind for guest in await self._guests()}

    async def suspend(self, domid: DomId) -> ToolReply:
        """Only an exchange would need it."""
        return await self._answered(ToolCall.SUSPEND, refused(f"domain {domid}: {NO_EXCHANGE}"))

    async def exchange(self, domid: DomId, mfns: Sequence[Mfn]) -> ToolReply:
        why = f"{len(mfns)} pages of domain {domid}: {NO_EXCHANGE}"
        return await self._answered(ToolCall.EXCHANGE, refused(why))

    async def drop_shadows(self, domid: DomId) -> ToolReply:
        why = f"domain {domid}: xl has no command that drops shadows"
        return await self._answered(ToolCall.DROP_SHADOWS, refused(why))

    async def resume(self, domid: DomId) -> ToolReply:
        """Have a guest go on that a save, cut off, left suspended: nothing of it has been moved."""
        return await self._timed(ToolCall.RESUME, self._about(domid, self._resume))

    async def save(self, domid: DomId, image: str) -> ToolReply:
        async def save(guest: Guest) -> ToolReply:
            return await self._save(guest, image)

        return await self._timed(ToolCall.SAVE, self._about(domid, save))

    async def restore(self, image: str) -> ToolReply:
        return await self._timed(ToolCall.RESTORE, self._restore(image))

    async def migrate(self, domid: DomId, to: str) -> ToolReply:
        async def migrate(guest: Guest) -> ToolReply:
            return await self._migrate(guest, to)

        return await self._timed(ToolCall.MIGRATE, self._about(domid, migrate))

    async def detach(self, domid: DomId, device: str) -> ToolReply:
        return await self._timed(ToolCall.DETACH, self._move(domid, device, has_it=False))

    async def attach(self, domid: DomId, device: str) -> ToolReply:
        return await self._timed(ToolCall.ATTACH, self._move(domid, device, has_it=True))

    async def _domains(self) -> DomainsReply:
        known = await self._guests()
        alive = [guest.uuid for guest in known if guest.is_alive]
        return DomainsReply(
            domains=tuple(guest.info for guest in known),
            images=self.images.waiting(alive),
            free_pages=free_pages(await self.xl.ask("info")),
        )

    async def _guests(self) -> tuple[Guest, ...]:
        return guests(await self.xl.ask("list"), await self.xl.ask("list", "-l"))

    async def _about(self, domid: DomId, act: Callable[[Guest], Awaitable[ToolReply]]) -> ToolReply:
        """`act` on the guest of that id, as it is now. What is no guest's id is refused first."""
        if domid == DOM0 or domid >= FIRST_RESERVED_DOMID:
            return refused(f"domain {domid:#x} is no guest")
        guest = next((one for one in await self._guests() if one.info.domid == domid), None)
        return no_domain(f"domain {domid}") if guest is None else await act(guest)

    async def _resume(self, guest: Guest) -> ToolReply:
        domid = DomId(guest.info.domid)
        if self.xl.is_busy(str(domid)):
            return not_now(f"an xl command about domain {domid} is still under way")
        if guest.info.state is not DomainState.SUSPENDED or guest.is_paused:
            return done(domid)  # paused is not suspended: somebody else did that
        await self.resume_domain(domid)
        return done(domid)

    async def _save(self, guest: Guest, name: str) -> ToolReply:
        domid = DomId(guest.info.domid)
        if not self.xl.is_busy(str(domid)):
            if self.images.free_bytes() < guest.bytes + SPARE_BYTES:
                return refused(f"{self.images.folder} has no room for {guest.info.name}")
            self.images.forget(name)  # an earlier try, that was not finished: its guest is here
        path = self.images.path(name, guest.uuid, self.clock_ns())
        ran = await self.xl.command(str(domid), "save", str(domid), str(path))
        after = await self._find(guest.uuid)
        if after is not None:
            self.images.forget(name)
            return failed(ran.why)
        if (image := self.images.named(name)) is None:
            return damaged(f"{guest.info.name} is gone, and there is no image of it: {ran.why}")
        await asyncio.to_thread(settle, image.path)
        return done(domid)

    async def _restore(self, name: str) -> ToolReply:
        image = self.images.named(name)
        if image is None:
            return no_domain(f"there is no image {name}")
        before = await self._find(image.uuid)
        if before is not None and before.info.state is not DomainState.SUSPENDED:
            self.images.forget(name)
            return done(before.info.domid)
        if before is not None and not self.xl.is_busy(str(image.path)):
            return _left_over(image, before)
        ran = await self.xl.command(str(image.path), "restore", str(image.path))
        return self._restored(image, ran, await self._find(image.uuid))

    def _restored(self, image: Image, ran: Ran, guest: Guest | None) -> ToolReply:
        if ran.code or guest is None:
            return failed(ran.why)
        self.images.forget(image.name)
        seconds = max(0, self.clock_ns() - image.stopped_ns) / 1e9
        return done(guest.info.domid, seconds)

    async def _migrate(self, guest: Guest, to: str) -> ToolReply:
        domid = DomId(guest.info.domid)
        if not self.xl.is_busy(str(domid)) and (why := await self._why_not_migrate(guest, to)):
            return refused(why)
        receive = "xl migrate-receive"  # without a shell of another host before it
        ran = await self.xl.command(str(domid), "migrate", "-s", "", str(domid), receive)
        return _migrated(guest, ran, await self._find(guest.uuid))

    async def _why_not_migrate(self, guest: Guest, to: str) -> str:
        if to != HERE:
            return f"{to}: only migrations to {HERE!r} are made here"
        if guest.info.devices:
            return f"{guest.info.name} has an assigned device"
        if free_pages(await self.xl.ask("info")) < guest.info.pages:
            return f"no room for a second {guest.info.name}"
        return ""

    async def _move(self, domid: DomId, device: str, *, has_it: bool) -> ToolReply:
        """Give the guest a device, or take it from it."""
        address = address_of(device)
        if address is None:
            return refused(f"{device} is no PCI device")

        async def move(guest: Guest) -> ToolReply:
            if (device in guest.info.devices) is has_it:
                return done(domid)
            word = "pci-attach" if has_it else "pci-detach"
            ran = await self.xl.command(str(domid), word, str(domid), address)
            after = await self._find(guest.uuid)
            if after is None:
                return no_domain(f"domain {domid}")
            return done(domid) if (device in after.info.devices) is has_it else failed(ran.why)

        return await self._about(domid, move)

    async def _find(self, uuid: UUID) -> Guest | None:
        """The guest as it is now, whatever its domain; a dying one is none."""
        there = (one for one in await self._guests() if one.info.state is not DomainState.DYING)
        return next((one for one in there if one.uuid == uuid), None)

    async def _answered(self, call: ToolCall, reply: ToolReply) -> ToolReply:
        async def answer() -> ToolReply:
            return reply

        return await self._timed(call, answer())

    async def _timed(self, call: ToolCall, asked: Awaitable[Answered]) -> Answered:
        return await timed(call, asked, self.observe)


def _left_over(image: Image, guest: Guest) -> ToolReply:
    """By a restore that was cut off; or somebody paused it, and only he can tell."""
    domid = guest.info.domid
    return damaged(
        f"domain {domid} stands still, and {image.path} may hold all of it: if a restore was cut "
        f"off, `xl destroy {domid}`, and it is restored; else have it go on"
    )


def _migrated(before: Guest, ran: Ran, after: Guest | None) -> ToolReply:
    """Where it is now says what was done, whatever was said."""
    if after is None:
        return damaged(f"{before.info.name} is gone: {ran.why}")
    if after.info.domid == before.info.domid:
        return failed(ran.why)
    if ran.code:
        return damaged(f"{before.info.name} is domain {after.info.domid} now: {ran.why}")
    return done(after.info.domid)


def done(domid: int, pause_seconds: float | None = None) -> ToolReply:
    return ToolReply(outcome=ToolOutcome.DONE, domid=domid, pause_seconds=pause_seconds)


def refused(why: str) -> ToolReply:
    return ToolReply(outcome=ToolOutcome.REFUSED, reason=why)


def failed(why: str) -> ToolReply:
    return ToolReply(outcome=ToolOutcome.FAILED, reason=why)


def not_now(why: str) -> ToolReply:
    return ToolReply(outcome=ToolOutcome.TRY_AGAIN, reason=why)


def damaged(why: str) -> ToolReply:
    return ToolReply(outcome=ToolOutcome.GUEST_MAY_BE_DAMAGED, reason=why)


def no_domain(what: str) -> ToolReply:
    return ToolReply(outcome=ToolOutcome.NO_SUCH_DOMAIN, reason=f"{what} is not there")
