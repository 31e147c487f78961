"""Mischief at the doors: every call is held against the rules before it is let in.

The one place where rules become deeds. Each door has its own words for an answer without an act;
what happens in the middle of an act is passed down to the toolstack as its trouble.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from aiohttp import web

from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import (
    Call,
    Errno,
    PageReply,
    PagesReply,
    PagesRequest,
    PageStatus,
    Refusal,
    SysctlReply,
    SysctlRequest,
)
from agent.contract.toolstack import (
    BalloonRequest,
    ExchangeRequest,
    ResumePath,
    ToolCall,
    ToolOutcome,
    ToolReply,
)
from emulator.edges.door import answer, hang_up, reader_of, say_nothing, waits
from emulator.edges.fate import Handler, HostDownError, wrapped
from emulator.edges.toolstack import TROUBLE
from emulator.handover import change_owner
from emulator.mischief import ABOUT_PAGES, Do, Mischief, Name, Rule
from emulator.world import World
from emulator.xen.defects import Down, HostDown
from emulator.xen.moving import Step, Trip
from emulator.xen.trouble import Trouble
from emulator.xen.words import Offline

NAMES: dict[str, Name] = {
    Call.OFFLINE: Name.OFFLINE,
    Call.QUERY: Name.QUERY,
    Call.ONLINE: Name.ONLINE,
    Call.SWAP: Name.SWAP,
    Call.SYSCTL: Name.SYSCTL,
    **{call: Name(call.rpartition("/")[2]) for call in ToolCall if call is not ToolCall.DOMAINS},
}

TOOL_ANSWERS = {
    Do.REFUSE: ToolOutcome.REFUSED,
    Do.FAIL: ToolOutcome.FAILED,
    Do.TRY_AGAIN: ToolOutcome.TRY_AGAIN,
    Do.DAMAGE: ToolOutcome.GUEST_MAY_BE_DAMAGED,
}

# The design's own reasons: what is refused for good, and what may be asked again.
PAGE_ANSWERS = {Do.REFUSE: Refusal.XEN_HEAP, Do.FAIL: None, Do.TRY_AGAIN: Refusal.NO_FREE_MEMORY}

SYSCTL_ANSWERS = {
    Do.REFUSE: SysctlReply(ret=-1, errno=Errno.EPERM),
    Do.FAIL: SysctlReply(ret=-1, errno=Errno.EINVAL),
    Do.TRY_AGAIN: SysctlReply(ret=0, words=(int(Offline.AGAIN),), buffer_touched=True),
}

TORN = Trouble(exchange=ToolOutcome.GUEST_MAY_BE_DAMAGED)

HALF_WAY = {
    Name.EXCHANGE: Trouble(trip=Trip(Step.REMAP)),
    Name.SAVE: Trouble(half_way=frozenset({ToolCall.SAVE})),
    Name.MIGRATE: Trouble(half_way=frozenset({ToolCall.MIGRATE})),
    Name.RESTORE: Trouble(restore=ToolOutcome.FAILED),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a call is about."""

    domid: DomId | None
    pages: Sequence[int]


@dataclass(frozen=True, slots=True)
class Met:
    """A call that meets a rule."""

    name: Name
    rule: Rule
    request: web.Request
    subject: Subject
    let_in: Callable[[], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Troublemaker:
    """Does to the calls of one boot what the rules say."""

    world: World
    mischief: Mischief

    def bound(self, routes: Sequence[web.RouteDef]) -> list[web.RouteDef]:
        """`routes` whose calls meet the rules first."""
        return wrapped(routes, self._wrap)

    def _wrap(self, route: web.RouteDef, handler: Handler) -> Handler:
        name = NAMES.get(route.path)
        if name is None:
            return handler

        async def meet(request: web.Request) -> web.StreamResponse:
            subject = await _subject(handler, request)
            rule = self.mischief.meet(name)
            if rule is None:
                return await handler(request)
            met = Met(name, rule, request, subject, lambda: handler(request))
            return await self._deeds[rule.do](met)

        return meet

    @property
    def _deeds(self) -> dict[Do, Callable[[Met], Awaitable[web.StreamResponse]]]:
        return {
            Do.REFUSE: self._answer,
            Do.FAIL: self._answer,
            Do.TRY_AGAIN: self._answer,
            Do.DAMAGE: self._damage,
            Do.HANG: _hang,
            Do.LOSE_ANSWER: _lose_answer,
            Do.SLOW: _slow,
            Do.LATE: _late,
            Do.HALF_WAY: _half_way,
            Do.FAST_PATH: _fast_path,
            Do.CRASH_DOMAIN: self._crash_domain,
            Do.CRASH_HOST: _crash_host,
            Do.REBOOT_HOST: _reboot_host,
            Do.CHANGE_OWNER: self._change_owner,
        }

    async def _answer(self, met: Met) -> web.StreamResponse:
        """In the words of that door, and nothing is done."""
        do = met.rule.do
        if met.name not in ABOUT_PAGES:
            outcome = TOOL_ANSWERS[do]
            return answer(ToolReply(outcome=outcome, reason=f"{met.name}: {_asked_for(do)}"))
        if met.name is Name.SYSCTL:
            return answer(SYSCTL_ANSWERS[do])
        pages = tuple(self._refused(Mfn(mfn), PAGE_ANSWERS[do]) for mfn in met.subject.pages)
        return answer(PagesReply(changed=False, pages=pages))

    async def _damage(self, met: Met) -> web.StreamResponse:
        """An exchange really tears the guest; of the other calls it is only said."""
        return await (_in_trouble(met, TORN) if met.name is Name.EXCHANGE else self._answer(met))

    def _refused(self, mfn: Mfn, refusal: Refusal | None) -> PageReply:
        table = self.world.hypervisor.table
        use = table.use_of(mfn)
        return PageReply(mfn=mfn, status=PageStatus.FAILED, use=use, refusal=refusal)

    async def _crash_domain(self, met: Met) -> web.StreamResponse:
        """The domain that is named, or the first one that has a page that is."""
        domains = self.world.hypervisor.domains
        victims = [domid for domid in self._named(met.subject) if domid in domains]
        for domid in victims[:1]:
            self.world.hypervisor.crash(domid)
        return await met.let_in()

    async def _change_owner(self, met: Met) -> web.StreamResponse:
        """After the answer was found, and before the caller has it."""
        answered = await met.let_in()
        for mfn in met.subject.pages[:1]:
            if mfn < self.world.hypervisor.table.frames:
                change_owner(self.world.hypervisor, Mfn(mfn))
        return answered

    def _named(self, subject: Subject) -> Iterator[DomId]:
        """The domains that a call is about."""
        if subject.domid is not None:
            yield subject.domid
        table = self.world.hypervisor.table
        for mfn in subject.pages:
            owner = table.owner_of(Mfn(mfn)) if mfn < table.frames else None
            if owner is not None:
                yield owner


async def _hang(met: Met) -> web.StreamResponse:
    await say_nothing(met.request)
    return hang_up(met.request)


async def _lose_answer(met: Met) -> web.StreamResponse:
    await met.let_in()
    return hang_up(met.request)


async def _slow(met: Met) -> web.StreamResponse:
    await asyncio.sleep(met.rule.seconds or 0.0)
    return await met.let_in()


async def _late(met: Met) -> web.StreamResponse:
    """Nobody hears of it. What ends it before its time is the end of the host."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if waits(met.request):
            raise
    await asyncio.sleep(met.rule.seconds or 0.0)
    return await met.let_in()


async def _half_way(met: Met) -> web.StreamResponse:
    return await _in_trouble(met, HALF_WAY[met.name])


async def _fast_path(met: Met) -> web.StreamResponse:
    return await _in_trouble(met, Trouble(force_resume_path=ResumePath.FAST))


async def _in_trouble(met: Met, trouble: Trouble) -> web.StreamResponse:
    token = TROUBLE.set(trouble)
    try:
        return await met.let_in()
    finally:
        TROUBLE.reset(token)


async def _crash_host(met: Met) -> web.StreamResponse:
    raise HostDownError(HostDown(Down.CRASHED, f"a crash at {met.name} was asked for"))


async def _reboot_host(met: Met) -> web.StreamResponse:
    raise HostDownError(HostDown(Down.CRASHED, f"a reboot at {met.name} was asked for"))


def _asked_for(do: Do) -> str:
    return f"{do.replace('_', ' ')} was asked for"


async def _subject(handler: Handler, request: web.Request) -> Subject:
    """As the door itself reads the call: what it cannot read is refused before any rule is met."""
    reads = reader_of(handler)
    ask = None if reads is None else await reads(request)
    return Subject(getattr(ask, "domid", None), _pages_of(ask))


def _pages_of(ask: object) -> Sequence[int]:
    match ask:
        case PagesRequest():
            return ask.pages
        case SysctlRequest():
            return (ask.start,)
        case ExchangeRequest() | BalloonRequest():
            return ask.mfns
        case _:
            return ()
