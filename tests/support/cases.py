"""Cases and fakes for the tests of retirement."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from agent.contract.errors import Unreachable
from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import HostReply, PageReply, PagesReply, PageStatus, PageUse
from agent.contract.toolstack import DomainsReply, ToolOutcome, ToolReply
from agent.retirement.case import Case, State

BOOT = UUID(int=1)


def a_case(state: State = State.OPEN, **changes: object) -> Case:
    """A case of page 0x1234, as it is in `state`."""
    case = Case("c1", Mfn(0x1234), 1, 1, state=state, verdict="2 errors in 24 h")
    return replace(case, **changes)  # type: ignore[arg-type] # names of fields, checked at run time


def page(
    mfn: Mfn, status: PageStatus, use: PageUse = PageUse.FREE, owner: int | None = None
) -> PageReply:
    return PageReply(mfn=mfn, status=status, use=use, owner=owner)


@dataclass(slots=True)
class FakeHost:
    """A hypervisor and a toolstack in one: one guest, one bad page, and a script of trouble.

    `trouble` maps a call to what it answers next, once each: an outcome, or "silence" for a call
    that is carried out but whose answer is lost. `when` is called, once, as a call is made.
    """

    use: PageUse = PageUse.PV
    status: PageStatus = PageStatus.ONLINE
    suspended: bool = False
    images: set[str] = field(default_factory=set[str])
    calls: list[str] = field(default_factory=list[str])
    trouble: dict[str, list[ToolOutcome | str]] = field(
        default_factory=dict[str, list["ToolOutcome | str"]]
    )
    under_way: int = 0
    most_at_once: int = 0
    when: dict[str, Callable[[], None]] = field(default_factory=dict[str, Callable[[], None]])

    async def host(self) -> HostReply:
        return HostReply(host="h", boot_id=BOOT, frames=1 << 20, personality="thread")

    async def offline(self, mfns: Sequence[Mfn]) -> PagesReply:
        self.calls.append("offline")
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        await asyncio.sleep(0.001)
        self.under_way -= 1
        if self.status is PageStatus.ONLINE:
            free = self.use is PageUse.FREE
            self.status = PageStatus.OFFLINED if free else PageStatus.OFFLINE_PENDING
        return self._answer("offline", mfns)

    async def query(self, mfns: Sequence[Mfn]) -> PagesReply:
        self.calls.append("query")
        return self._answer("query", mfns)

    async def online(self, mfns: Sequence[Mfn]) -> PagesReply:
        self.status = PageStatus.ONLINE
        return self._answer("online", mfns)

    async def swap(self, mfns: Sequence[Mfn]) -> PagesReply:
        self.calls.append("swap")
        if self._planned("swap") is not ToolOutcome.FAILED:
            self.status = PageStatus.OFFLINED
        return self._answer("swap", mfns)

    async def domains(self) -> DomainsReply:
        return DomainsReply(domains=())

    async def suspend(self, domid: DomId) -> ToolReply:
        return await self._command("suspend", suspended=True)

    async def exchange(self, domid: DomId, mfns: Sequence[Mfn]) -> ToolReply:
        reply = await self._command("exchange")
        if reply.outcome is ToolOutcome.DONE:
            self.status = PageStatus.OFFLINED
        return reply

    async def resume(self, domid: DomId) -> ToolReply:
        return await self._command("resume", suspended=False, pause_seconds=0.25)

    async def save(self, domid: DomId, image: str) -> ToolReply:
        reply = await self._command("save", suspended=True)
        if reply.outcome is ToolOutcome.DONE:
            self.images.add(image)
            self.status = PageStatus.OFFLINED
        return reply

    async def restore(self, image: str) -> ToolReply:
        if image not in self.images:
            self.calls.append("restore")
            return ToolReply(outcome=ToolOutcome.NO_SUCH_DOMAIN, reason=f"no image {image}")
        return await self._command("restore", suspended=False, pause_seconds=2.0)

    async def _command(
        self, call: str, *, suspended: bool | None = None, pause_seconds: float | None = None
    ) -> ToolReply:
        self.calls.append(call)
        self.when.pop(call, lambda: None)()
        await asyncio.sleep(0)  # others may come in between
        planned = self._planned(call)
        if planned is ToolOutcome.NO_SUCH_DOMAIN:
            self.suspended = False  # nobody stands still any more
        if isinstance(planned, ToolOutcome) and planned is not ToolOutcome.DONE:
            return ToolReply(outcome=planned, reason=f"{call} was told to")
        if suspended is not None:
            self.suspended = suspended
        if planned == "silence":
            raise Unreachable(f"{call}: no answer")
        return ToolReply(outcome=ToolOutcome.DONE, pause_seconds=pause_seconds)

    def _planned(self, call: str) -> ToolOutcome | str | None:
        plan = self.trouble.get(call)
        return plan.pop(0) if plan else None

    def _answer(self, call: str, mfns: Sequence[Mfn]) -> PagesReply:
        if self._planned(call) == "silence":
            raise Unreachable(f"{call}: no answer")
        answers = (page(Mfn(m), self.status, self.use, 7) for m in mfns)
        return PagesReply(changed=True, pages=tuple(answers))


@dataclass(slots=True)
class ListLog:
    """A log that remembers in memory what was written down, in order."""

    saved: list[Case] = field(default_factory=list[Case])

    async def save(self, case: Case) -> None:
        self.saved.append(case)

    @property
    def states(self) -> list[State]:
        return [case.state for case in self.saved]
