"""Pages of a real Xen: where the rules' synchronous half meets the loop.

    xl vcpu-list ──► a vCPU that never runs on physical CPU 0 ──► the thread is bound to it
                                                                    └─► pages.query / offline / …
    xl list -l  ◄── a guest holds one: what kind is it? ◄── told, page by page

The proof is asked for anew before each call: whoever pins vCPUs otherwise meanwhile has the next
call refused, with the command that mends it.

Xen does not list what is marked, and swaps no frame under a guest, so those two calls are answered
by why not.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from agent.adapters.hypervisor.timing import timed
from agent.adapters.xen.cpus import safe_vcpus
from agent.adapters.xen.library import Library
from agent.adapters.xen.pages import Pages, Told
from agent.adapters.xen.pinned import PinnedThread
from agent.adapters.xen.releases import Release
from agent.adapters.xen.words import Holder
from agent.adapters.xen.xl import Xl
from agent.contract.errors import PeerError
from agent.contract.frames import DOM0, Mfn
from agent.contract.hypercall import (
    Call,
    HostReply,
    MarkedReply,
    PageReply,
    PagesReply,
    PageStatus,
    PageUse,
)
from agent.contract.toolstack import GuestKind
from agent.events import Observer

Kinds = Callable[[], Awaitable[Mapping[int, GuestKind]]]
Work = Callable[[Sequence[Mfn]], list[Told]]

ANYWHERE: frozenset[int] = frozenset()  # for calls that take no lock of a domain

USES: dict[Holder, PageUse] = {
    Holder.DOM0: PageUse.DOM0,
    Holder.XEN: PageUse.XEN_HEAP,
    Holder.XEN_IMAGE: PageUse.XEN_HEAP,
    Holder.SHARED: PageUse.SHARED,
}
USES_OF_GUESTS: dict[GuestKind, PageUse] = {
    GuestKind.PV: PageUse.PV,
    GuestKind.PVH: PageUse.HVM,
    GuestKind.HVM: PageUse.HVM,
}


@dataclass(frozen=True, slots=True)
class Identity:
    """`boot_id` is dom0's: it does not reboot without its Xen."""

    host: str
    boot_id: UUID
    release: Release


@dataclass(slots=True)
class XenHypervisor:
    """Fills `retirement.ports.Hypervisor`. `kinds` says what each guest is."""

    identity: Identity
    library: Library
    thread: PinnedThread
    xl: Xl
    kinds: Kinds
    observe: Observer

    async def close(self) -> None:
        self.thread.close()

    async def host(self) -> HostReply:
        """`frames` is how far their numbers go: there are fewer, by the holes between them."""
        return await timed(Call.HOST, self._host(), self.observe)

    async def offline(self, mfns: Sequence[Mfn]) -> PagesReply:
        return await self._pages(Call.OFFLINE, mfns, self._rules.offline)

    async def query(self, mfns: Sequence[Mfn]) -> PagesReply:
        return await self._pages(Call.QUERY, mfns, self._rules.query)

    async def online(self, mfns: Sequence[Mfn]) -> PagesReply:
        return await self._pages(Call.ONLINE, mfns, self._rules.online)

    async def swap(self, mfns: Sequence[Mfn]) -> PagesReply:
        """Real Xen has no such call: the pages stay as they are."""
        return await self.query(mfns)

    async def marked(self, first: Mfn) -> MarkedReply:
        raise PeerError(f"real Xen lists no marked pages, from {first:#x} on or at all")

    async def prove_cpu(self) -> frozenset[int]:
        """The vCPUs to call on.

        Raises:
            PeerError: if there are none that are safe.
        """
        return safe_vcpus(await self.xl.ask("vcpu-list", str(DOM0)))

    @property
    def _rules(self) -> Pages:
        return Pages(self.library, self.identity.release)

    async def _host(self) -> HostReply:
        frames = await self.thread.run(ANYWHERE, self.library.frames)
        name = f"xen-{self.identity.release.name}"
        return HostReply(
            host=self.identity.host,
            boot_id=self.identity.boot_id,
            frames=frames,
            personality=name,
        )

    async def _pages(self, call: Call, mfns: Sequence[Mfn], work: Work) -> PagesReply:
        return await timed(call, self._told(mfns, work), self.observe)

    async def _told(self, mfns: Sequence[Mfn], work: Work) -> PagesReply:
        vcpus = await self.prove_cpu()
        told = await self.thread.run(vcpus, lambda: work(mfns))
        kinds: Mapping[int, GuestKind] = {}
        if any(page.owner is not None for page in told):
            kinds = await self.kinds()
        pages = tuple(_reply(page, kinds) for page in told)
        owners = {page.owner for page in pages if page.owner is not None}
        changed = any(page.has_changed for page in told)
        return PagesReply(changed=changed, pages=pages, owners=tuple(sorted(owners)))


def _reply(told: Told, kinds: Mapping[int, GuestKind]) -> PageReply:
    return PageReply(
        mfn=told.mfn,
        status=told.status,
        use=_use(told, kinds),
        owner=DOM0 if told.holder is Holder.DOM0 else told.owner,
        refusal=told.refusal,
        is_broken=told.is_broken,
    )


def _use(told: Told, kinds: Mapping[int, GuestKind]) -> PageUse:
    """What a page that has left was used for is known in one case: it was free."""
    if told.owner is not None:
        kind = kinds.get(told.owner)
        return PageUse.UNKNOWN if kind is None else USES_OF_GUESTS[kind]
    if told.holder is Holder.NOBODY and told.status is PageStatus.OFFLINED and told.has_changed:
        return PageUse.FREE
    return USES.get(told.holder, PageUse.UNKNOWN)
