"""A host small enough to read: a hypervisor and its toolstack in one, and the truth about both.

It keeps what there is (pages, domains, devices, images) and does what the contract says. Trouble is
scripted by the name of the call; lines are counted, so that the power can go off at any of them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from agent.contract.errors import PeerError, Unreachable
from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import (
    HostReply,
    MarkedReply,
    PageReply,
    PagesReply,
    PageStatus,
    PageUse,
    Refusal,
)
from agent.contract.toolstack import (
    HERE,
    DomainInfo,
    DomainsReply,
    DomainState,
    GuestKind,
    PeerInfo,
    ToolOutcome,
    ToolReply,
)
from tests.support.cases import BOOT

FIRST = 0x1234

LOST = "carried out, but nobody hears the answer"
UNHEARD = "not carried out, and nobody hears an answer"
LATE = "nobody hears an answer, and it is carried out a while later"
LATE_SECONDS = 0.01
UNLISTED = "there is no such call"
Trouble = ToolOutcome | str

HELD = (PageStatus.ONLINE, PageStatus.OFFLINE_PENDING)
SWAPPED = frozenset({PageUse.HVM})
EXCHANGED = frozenset({PageUse.HVM, PageUse.PV, PageUse.PAGE_TABLE})


class PowerCut(Exception):  # noqa: N818 - it is no error of anybody's
    """Everything that is not durable is gone."""


@dataclass(slots=True)
class Power:
    """Counts lines, and goes off at one of them."""

    lines: int = 0
    off_at: int | None = None

    def line(self) -> None:
        self.lines += 1
        if self.lines - 1 == self.off_at:
            raise PowerCut


@dataclass(slots=True)
class Page:
    use: PageUse = PageUse.PV
    owner: int | None = 7
    status: PageStatus = PageStatus.ONLINE
    mappers: tuple[int, ...] = ()
    is_broken: bool = False


@dataclass(slots=True)
class Domain:
    """`devices` are attached now; `owned` are those that it should have; it has `size` pages."""

    name: str
    state: DomainState = DomainState.RUNNING
    devices: set[str] = field(default_factory=set[str])
    owned: frozenset[str] = frozenset()
    size: int = 64


@dataclass(slots=True)
class Host:
    """Fills both ports of retirement.

    `trouble` maps a call to what it comes to next, once each. `when` is called, once, as a call is
    made. `still_to_come` counts what will be carried out late. An exchange is refused for the sake
    of `pages_to_blame`; those of `never_back` are not brought back. No more than `listed_max`
    marked pages are listed in one answer.
    """

    pages: dict[int, Page] = field(default_factory=dict[int, Page])
    guests: dict[int, Domain] = field(default_factory=dict[int, Domain])
    images: dict[str, Domain] = field(default_factory=dict[str, Domain])
    peers: dict[str, int] = field(default_factory=dict[str, int])
    free_pages: int = 1000
    power: Power = field(default_factory=Power)
    trouble: dict[str, list[Trouble]] = field(default_factory=dict[str, list["Trouble"]])
    calls: list[str] = field(default_factory=list[str])
    harm: list[str] = field(default_factory=list[str])
    when: dict[str, Callable[[], None]] = field(default_factory=dict[str, Callable[[], None]])
    boot: UUID = BOOT
    under_way: int = 0
    most_at_once: int = 0
    exchanged: list[tuple[int, ...]] = field(default_factory=list[tuple[int, ...]])
    pages_to_blame: set[int] = field(default_factory=set[int])
    never_back: set[int] = field(default_factory=set[int])
    still_to_come: int = 0
    listed_max: int = 1024
    _origins: dict[str, int] = field(default_factory=dict[str, int])
    _places: dict[str, int] = field(default_factory=dict[str, int])
    _next_domid: int = 100

    # The truth, for whoever judges

    @property
    def commands(self) -> list[str]:
        """The calls that could change something."""
        return [call for call in self.calls if call not in {"query", "domains"}]

    @property
    def stopped(self) -> list[str]:
        """The guests that do not run: suspended, or on disk."""
        still = [d.name for d in self.guests.values() if d.state is DomainState.SUSPENDED]
        return still + [domain.name for domain in self.images.values()]

    @property
    def without_device(self) -> list[str]:
        return [
            d.name
            for d in self.guests.values()
            if d.state is not DomainState.DYING and d.devices != d.owned
        ]

    def is_offlined(self, mfn: int) -> bool:
        return self.pages[mfn].status is PageStatus.OFFLINED

    def mark(self, mfn: int) -> None:
        """Somebody takes this free page out of use."""
        self.pages[mfn].status = PageStatus.OFFLINED

    def come_late(self, carry_out: Callable[[], object]) -> None:
        """Something is done a while from now."""

        def come() -> None:
            self.still_to_come -= 1
            carry_out()

        self.still_to_come += 1
        asyncio.get_running_loop().call_later(LATE_SECONDS, come)

    def destroy(self, domid: int) -> None:
        """Somebody ends the guest."""
        guest = self.guests.pop(domid)
        self.free_pages += guest.size - self._marked(domid)
        self._free_all(domid, set(PageUse))

    def let_go(self, mfn: int) -> None:
        """Nobody else maps this page any more."""
        page = self.pages[mfn]
        page.mappers = ()
        owner = self.guests.get(page.owner if page.owner is not None else -1)
        if owner is not None and owner.state is DomainState.DYING:
            self._free(mfn)

    # The hypervisor

    async def host(self) -> HostReply:
        return HostReply(host="h", boot_id=self.boot, frames=1 << 20, personality="thread")

    async def offline(self, mfns: Sequence[Mfn]) -> PagesReply:
        return await self._about_pages("offline", mfns, self._offline)

    async def query(self, mfns: Sequence[Mfn]) -> PagesReply:
        return await self._about_pages("query", mfns, lambda _: None)

    async def online(self, mfns: Sequence[Mfn]) -> PagesReply:
        return await self._about_pages("online", mfns, self._online)

    async def swap(self, mfns: Sequence[Mfn]) -> PagesReply:
        return await self._about_pages("swap", mfns, self._swap)

    async def marked(self, first: Mfn) -> MarkedReply:
        trouble = await self._called("marked")
        if trouble == UNLISTED:
            raise PeerError("marked: this host keeps no list of that")
        held = (PageStatus.OFFLINE_PENDING, PageStatus.OFFLINED)
        mfns = [mfn for mfn in sorted(self.pages) if self.pages[mfn].status in held]
        found = [mfn for mfn in mfns if mfn >= first]
        listed = tuple(self._page(mfn) for mfn in found[: self.listed_max])
        more_from = next(iter(found[self.listed_max :]), None)
        return MarkedReply(pages=listed, more_from=more_from)

    def _offline(self, mfn: Mfn) -> Refusal | None:
        page = self.pages[mfn]
        if page.is_broken:
            self.harm.append(f"broken page {mfn:#x} was asked for again")
        if page.use in (PageUse.DOM0, PageUse.XEN_HEAP):
            return Refusal(page.use)
        if page.status is PageStatus.ONLINE:
            free = page.owner is None
            page.status = PageStatus.OFFLINED if free else PageStatus.OFFLINE_PENDING
        return None

    def _online(self, mfn: Mfn) -> Refusal | None:
        if mfn in self.never_back:
            return Refusal.CANNOT_RETURN
        self.pages[mfn].status = PageStatus.ONLINE
        return None

    def _swap(self, mfn: Mfn) -> Refusal | None:
        page = self.pages[mfn]
        if page.status is PageStatus.OFFLINED:
            return None
        if page.use not in SWAPPED:
            return Refusal.NOT_OWNED_BY_HVM
        if page.mappers:
            return Refusal.MAPPED_ELSEWHERE
        if page.owner in self.guests and self.guests[page.owner].devices:
            return Refusal.DEVICE_ASSIGNED
        if not self._takes(1):
            return Refusal.NO_FREE_MEMORY
        self._free(mfn)
        return None

    async def _about_pages(
        self, call: str, mfns: Sequence[Mfn], do: Callable[[Mfn], Refusal | None]
    ) -> PagesReply:
        trouble = await self._called(call)
        if isinstance(trouble, ToolOutcome) and trouble is not ToolOutcome.DONE:
            failed = {"status": PageStatus.FAILED, "refusal": Refusal.NO_FREE_MEMORY}
            pages = tuple(self._page(mfn).model_copy(update=failed) for mfn in mfns)
            return PagesReply(changed=False, pages=pages)
        if trouble is LATE:
            self.come_late(lambda: self._refusals(mfns, do))
            raise Unreachable(f"{call}: no answer")
        refusals = self._refusals(mfns, do)
        self.power.line()
        if trouble is LOST:
            raise Unreachable(f"{call}: no answer")
        pages = tuple(self._answer(mfn, refusal) for mfn, refusal in refusals.items())
        return PagesReply(changed=not any(refusals.values()), pages=pages)

    def _refusals(
        self, mfns: Sequence[Mfn], do: Callable[[Mfn], Refusal | None]
    ) -> dict[Mfn, Refusal | None]:
        """Why each page was refused, if it was: if one is, then so are all, and nothing is done."""
        before = {int(mfn): replace(self.pages[mfn]) for mfn in mfns}
        refusals = {mfn: do(mfn) for mfn in mfns}
        if any(refusals.values()):
            self.pages.update(before)
            return {mfn: refusal or Refusal.PEER_FAILED for mfn, refusal in refusals.items()}
        return refusals

    def _answer(self, mfn: Mfn, refusal: Refusal | None) -> PageReply:
        status = {"status": PageStatus.FAILED, "refusal": refusal} if refusal else {}
        return self._page(mfn).model_copy(update=status)

    def _page(self, mfn: int) -> PageReply:
        page = self.pages[mfn]
        return PageReply(
            mfn=mfn,
            status=page.status,
            use=page.use,
            owner=page.owner,
            mappers=page.mappers,
            is_broken=page.is_broken,
        )

    # The toolstack

    async def domains(self) -> DomainsReply:
        await self._called("domains")
        return DomainsReply(
            domains=tuple(self._info(domid, guest) for domid, guest in self.guests.items()),
            images=tuple(self.images),
            free_pages=self.free_pages,
            peers=tuple(PeerInfo(name=n, free_pages=free) for n, free in self.peers.items()),
        )

    def _info(self, domid: int, guest: Domain) -> DomainInfo:
        return DomainInfo(
            domid=domid,
            name=guest.name,
            kind=GuestKind.PV,
            state=guest.state,
            pages=guest.size,
            devices=tuple(guest.devices),
        )

    async def suspend(self, domid: DomId) -> ToolReply:
        return await self._command("suspend", domid, self._suspend)

    async def exchange(self, domid: DomId, mfns: Sequence[Mfn]) -> ToolReply:
        return await self._command("exchange", domid, lambda guest: self._exchange(guest, mfns))

    async def resume(self, domid: DomId) -> ToolReply:
        return await self._command("resume", domid, self._resume)

    async def save(self, domid: DomId, image: str) -> ToolReply:
        if self._origins.get(image) == domid:
            return await self._command("save", None, lambda _: _done())
        return await self._command("save", domid, lambda _: self._save(domid, image))

    async def restore(self, image: str) -> ToolReply:
        if image not in self._origins:
            return await self._command("restore", -1, lambda _: _done())
        return await self._command("restore", None, lambda _: self._restore(image))

    async def migrate(self, domid: DomId, to: str) -> ToolReply:
        return await self._command("migrate", domid, lambda guest: self._migrate(guest, domid, to))

    async def detach(self, domid: DomId, device: str) -> ToolReply:
        return await self._command("detach", domid, lambda guest: self._detach(guest, device))

    async def attach(self, domid: DomId, device: str) -> ToolReply:
        return await self._command("attach", domid, lambda guest: self._attach(guest, device))

    async def drop_shadows(self, domid: DomId) -> ToolReply:
        return await self._command("drop_shadows", domid, lambda _: self._drop_shadows(domid))

    def _suspend(self, guest: Domain) -> ToolReply:
        guest.state = DomainState.SUSPENDED
        return _done()

    def _exchange(self, guest: Domain, mfns: Sequence[Mfn]) -> ToolReply:
        if guest.state is not DomainState.SUSPENDED or guest.devices:
            return _no(ToolOutcome.REFUSED, "it runs, or has a device")
        pending = [m for m in mfns if not self.is_offlined(m)]
        mapped = [m for m in pending if self.pages[m].mappers]
        unfit = [m for m in pending if m in self.pages_to_blame or not self._fits(guest, m)]
        if mapped or unfit:
            word = ToolOutcome.REFUSED if unfit else ToolOutcome.TRY_AGAIN
            return ToolReply(outcome=word, reason="in the way", blamed=tuple(unfit or mapped))
        if not self._takes(len(pending)):
            return _no(ToolOutcome.FAILED, "no room")
        for mfn in pending:
            self._free(mfn)
        self.exchanged.append(tuple(mfns))
        return _done()

    def _fits(self, guest: Domain, mfn: int) -> bool:
        """True if the page can be exchanged, and is this guest's."""
        page = self.pages[mfn]
        return page.use in EXCHANGED and self.guests.get(page.owner or 0) is guest

    def _resume(self, guest: Domain) -> ToolReply:
        pause = 0.25 if guest.state is DomainState.SUSPENDED else None
        guest.state = DomainState.RUNNING
        return ToolReply(outcome=ToolOutcome.DONE, pause_seconds=pause)

    def _save(self, domid: int, image: str) -> ToolReply:
        if self.guests[domid].devices:
            return _no(ToolOutcome.REFUSED, "it has a device")
        self.images[image] = self._take_out(domid)
        self._origins[image] = domid
        return _done()

    def _restore(self, image: str) -> ToolReply:
        if image in self.images:
            if not self._takes(self.images[image].size):
                return _no(ToolOutcome.FAILED, "no room")
            self._places[image] = self._put_in(self.images.pop(image))
        return ToolReply(outcome=ToolOutcome.DONE, domid=self._places[image], pause_seconds=2.0)

    def _migrate(self, guest: Domain, domid: int, to: str) -> ToolReply:
        if guest.devices:
            return _no(ToolOutcome.REFUSED, "it has a device")
        if not (self._takes(guest.size) if to == HERE else self.peers.get(to, 0) >= guest.size):
            return _no(ToolOutcome.TRY_AGAIN, "no room")
        moved = self._take_out(domid)
        new = self._put_in(moved) if to == HERE else None
        return ToolReply(outcome=ToolOutcome.DONE, domid=new, pause_seconds=0.1)

    def _detach(self, guest: Domain, device: str) -> ToolReply:
        guest.devices.discard(device)
        return _done()

    def _attach(self, guest: Domain, device: str) -> ToolReply:
        guest.devices.add(device)
        return _done()

    def _drop_shadows(self, domid: int) -> ToolReply:
        self._free_all(domid, {PageUse.SHADOW})
        return _done()

    def _take_out(self, domid: int) -> Domain:
        """The guest of a domain that ends; others' mappings keep it dying."""
        guest = self.guests.pop(domid)
        self.free_pages += guest.size - self._marked(domid)
        self._free_all(domid, set(PageUse))
        if any(page.owner == domid for page in self.pages.values()):
            self.guests[domid] = replace(guest, state=DomainState.DYING)
        return replace(guest, state=DomainState.RUNNING)

    def _put_in(self, guest: Domain) -> int:
        self._next_domid += 1
        self.guests[self._next_domid] = guest
        return self._next_domid

    def _takes(self, pages: int) -> bool:
        """Take so many free pages, if there are."""
        if self.free_pages < pages:
            return False
        self.free_pages -= pages
        return True

    def _marked(self, domid: int) -> int:
        """How many pages of this domain never become free memory again."""
        pending = PageStatus.OFFLINE_PENDING
        return sum(page.owner == domid and page.status is pending for page in self.pages.values())

    def _free_all(self, domid: int, uses: set[PageUse]) -> None:
        for mfn, page in self.pages.items():
            if page.owner == domid and page.use in uses and not page.mappers:
                self._free(mfn)

    def _free(self, mfn: int) -> None:
        page = self.pages[mfn]
        pending = page.status is PageStatus.OFFLINE_PENDING
        page.status = PageStatus.OFFLINED if pending else page.status
        page.owner, page.use = None, PageUse.FREE

    # How calls go

    async def _command(
        self, call: str, domid: int | None, do: Callable[[Domain], ToolReply]
    ) -> ToolReply:
        """Carry out a command about a guest; without a domid, one that needs none."""
        trouble = await self._called(call)
        guest = Domain("") if domid is None else self.guests.get(domid)
        if trouble is ToolOutcome.NO_SUCH_DOMAIN and domid is not None and guest is not None:
            self.destroy(domid)
            guest = None
        if guest is None or guest.state is DomainState.DYING:
            return _no(ToolOutcome.NO_SUCH_DOMAIN, "no such domain")
        if isinstance(trouble, ToolOutcome) and trouble not in {
            ToolOutcome.DONE,
            ToolOutcome.NO_SUCH_DOMAIN,
        }:
            return _no(trouble, f"{call} was told to")
        if trouble is LATE:
            self._later(domid, do)
            raise Unreachable(f"{call}: no answer")
        reply = do(guest)
        self.power.line()
        if trouble is LOST:
            raise Unreachable(f"{call}: no answer")
        return reply

    def _later(self, domid: int | None, do: Callable[[Domain], ToolReply]) -> None:
        def carry_out() -> None:
            guest = Domain("") if domid is None else self.guests.get(domid)
            if guest is not None and guest.state is not DomainState.DYING:
                do(guest)

        self.come_late(carry_out)

    async def _called(self, call: str) -> Trouble | None:
        self.power.line()
        self.calls.append(call)
        self.when.pop(call, lambda: None)()
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        await asyncio.sleep(0)  # others may come in between
        self.under_way -= 1
        plan = self.trouble.get(call)
        trouble = plan.pop(0) if plan else None
        if trouble is UNHEARD:
            raise Unreachable(f"{call}: no answer")
        return trouble


def a_host(*pages: Page, devices: tuple[str, ...] = ()) -> Host:
    """One guest, domain 7, and these pages from `FIRST` on: its own, unless they say otherwise."""
    guest = Domain("db", devices=set(devices), owned=frozenset(devices))
    return Host({FIRST + n: page for n, page in enumerate(pages)}, {7: guest})


class Twice:
    """A host's ports, with every call made two times; the second answer counts."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def __getattr__(self, call: str) -> Callable[..., Awaitable[object]]:
        method = getattr(self._host, call)

        async def twice(*arguments: object) -> object:
            await method(*arguments)
            return await method(*arguments)

        return twice


def _done() -> ToolReply:
    return ToolReply(outcome=ToolOutcome.DONE)


def _no(outcome: ToolOutcome, reason: str) -> ToolReply:
    return ToolReply(outcome=outcome, reason=reason)
