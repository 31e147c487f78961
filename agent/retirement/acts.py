"""The command that each state names. Thin: ask, translate, return.

A peer that does not answer, or answers nonsense, is `NoAnswer`: what it did is not known, so the
state stays and the same command is given again. Every command may be given twice, so that is safe.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from agent.contract.errors import PeerError
from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PageReply, PagesReply
from agent.contract.toolstack import DomainInfo, DomainsReply
from agent.retirement import answers
from agent.retirement.case import Case, State
from agent.retirement.outcome import (
    UNLISTED,
    Done,
    Failed,
    Gone,
    Guest,
    NoAnswer,
    Outcome,
    TryAgain,
)
from agent.retirement.ports import Hypervisor, Toolstack
from agent.retirement.reason import Reason

PageCall = Callable[[Sequence[Mfn]], Awaitable[PagesReply]]
CommandForAll = Callable[[Sequence[Case]], Awaitable[tuple[Outcome, ...]]]
Tell = Callable[[PageReply, Guest], Outcome]


@dataclass(slots=True)
class Acts:
    """Gives commands to one hypervisor and its toolstack.

    A guest is given `detach_seconds` to let go of a device. Calls about pages, and questions about
    domains, have a bound each (`calls_at_once`), so that a silent toolstack never keeps a free page
    waiting; commands about guests are bounded by who gives them.
    """

    hypervisor: Hypervisor
    toolstack: Toolstack
    migrate_to: str = ""
    detach_seconds: float = 30.0
    calls_at_once: int = 8
    _page_calls: asyncio.Semaphore = field(init=False)
    _domain_calls: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._page_calls = asyncio.Semaphore(self.calls_at_once)
        self._domain_calls = asyncio.Semaphore(self.calls_at_once)

    async def give(self, cases: Sequence[Case]) -> tuple[Outcome, ...]:
        """Give, once, the command that the state of all these cases names; what came of it for
        each. It is for one case, or about one guest, or has an answer for each page.
        """
        state = cases[0].state
        for_all = self._command_for_all(state)
        try:
            if for_all is not None:
                return await for_all(cases)
            outcome = await self._command(state)(cases[0])
        except PeerError as error:
            outcome = NoAnswer(str(error))
        return (outcome,) * len(cases)

    async def look(self, case: Case) -> Outcome:
        """How the page is used, and nothing asked for."""
        try:
            page = await self._page(self.hypervisor.query, case)
            guests = await self._guests([page])
        except PeerError as error:
            return NoAnswer(str(error))
        return answers.to_look(page, guests.get(page.owner, UNLISTED))

    async def is_of(self, boot: str) -> bool:
        """True if the host is known to be in this boot still."""
        try:
            return str((await self.hypervisor.host()).boot_id) == boot
        except PeerError:
            return False

    async def is_stopped(self, owner: DomId) -> bool:
        """True if that domain is known to stand still."""
        try:
            return answers.is_stopped(await self._domains(), owner)
        except PeerError:
            return False

    async def stopped(self) -> tuple[DomainInfo, ...]:
        """The domains that are known to stand still."""
        try:
            return answers.stopped(await self._domains())
        except PeerError:
            return ()

    async def lost_by(self, cases: Sequence[Case]) -> tuple[Case, ...]:
        """Those of these cases whose page is known not to be their owner's any more."""
        if not cases:
            return ()
        try:
            async with self._page_calls:
                reply = await self.hypervisor.query([case.mfn for case in cases])
        except PeerError:
            return ()
        owners = {page.mfn: page.owner for page in reply.pages}
        return tuple(case for case in cases if owners.get(case.mfn, case.owner) != case.owner)

    async def leave_running(self, case: Case) -> None:
        """Give the guest of `case` what it may lack because of us, each once, whatever comes of it:
        whichever command fits how it is stopped, and its devices.
        """
        lacking = {
            State.RESUMING: case.state.stops_guest and case.state is not State.RESTORING,
            State.RESTORING: bool(case.image),
            State.ATTACHING: bool(case.detached),
        }
        for state, is_lacking in lacking.items():
            if is_lacking:
                await self.give([replace(case, state=state)])

    def _command(self, state: State) -> Callable[[Case], Awaitable[Outcome]]:
        commands: dict[State, Callable[[Case], Awaitable[Outcome]]] = {
            State.WAITING: self._wait,
            State.SWAPPING: self._swap,
            State.DETACHING: self._detach,
            State.DROPPING_SHADOWS: self._drop_shadows,
            State.SUSPENDING: self._suspend,
            State.RESUMING: self._resume,
            State.BACKING_OUT: self._resume,
            State.SAVING: self._save,
            State.RESTORING: self._restore,
            State.MIGRATING: self._migrate,
            State.ATTACHING: self._attach,
            State.RETURNING: self._online,
        }
        return commands[state]

    def _command_for_all(self, state: State) -> CommandForAll | None:
        """The command that has an answer for each page, if that is what the state names."""
        commands: dict[State, CommandForAll] = {
            State.OPEN: self._offline,
            State.PARKED: self._offline,
            State.CONFIRMING: self._query,
            State.POSTPONED: self._query,
            State.EXCHANGING: self._exchange,
        }
        return commands.get(state)

    async def _offline(self, cases: Sequence[Case]) -> tuple[Outcome, ...]:
        pages = await self._pages(self.hypervisor.query, cases)
        # Xen crashes the owner of a broken page that is asked for again, or panics.
        outcomes = {page.mfn: answers.to_broken(page) for page in pages if page.is_broken}
        whole = [case for case in cases if case.mfn not in outcomes]
        if whole:
            pages = await self._pages(self.hypervisor.offline, whole)
            outcomes |= await self._told(pages, answers.to_offline)
        return tuple(outcomes[case.mfn] for case in cases)

    async def _query(self, cases: Sequence[Case]) -> tuple[Outcome, ...]:
        pages = await self._pages(self.hypervisor.query, cases)
        outcomes = {page.mfn: answers.to_broken(page) for page in pages if page.is_broken}
        outcomes |= await self._told(
            [page for page in pages if not page.is_broken], answers.to_query
        )
        return tuple(outcomes[case.mfn] for case in cases)

    async def _told(self, pages: Sequence[PageReply], tell: Tell) -> dict[int, Outcome]:
        """What these answers mean, with what the toolstack says of the guests in question."""
        guests = await self._guests([page for page in pages if answers.is_pending(page)])
        return {page.mfn: tell(page, guests.get(page.owner, UNLISTED)) for page in pages}

    async def _online(self, case: Case) -> Outcome:
        page = await self._page(self.hypervisor.query, case)
        known = answers.to_recall(page)
        if known is not None:  # a broken page is never asked for: Xen may panic
            return known
        return answers.to_online(await self._page(self.hypervisor.online, case))

    async def _wait(self, case: Case) -> Outcome:
        page = await self._page(self.hypervisor.query, case)
        if page.is_broken:
            return answers.to_broken(page)
        guests = await self._guests([page])
        return answers.to_wait(page, guests.get(page.owner, UNLISTED))

    async def _swap(self, case: Case) -> Outcome:
        return answers.to_swap(await self._page(self.hypervisor.swap, case))

    async def _page(self, call: PageCall, case: Case) -> PageReply:
        """The one answer to a call about one page."""
        (page,) = await self._pages(call, [case])
        return page

    async def _pages(self, call: PageCall, cases: Sequence[Case]) -> Sequence[PageReply]:
        """An answer for each page."""
        mfns = [case.mfn for case in cases]
        async with self._page_calls:
            reply = await call(mfns)
        if [page.mfn for page in reply.pages] != mfns:
            raise PeerError(f"asked about page {mfns[0]:#x}, the hypervisor answered about others")
        return reply.pages

    async def _domains(self) -> DomainsReply:
        async with self._domain_calls:
            return await self.toolstack.domains()

    async def _guests(self, pages: Sequence[PageReply]) -> dict[int | None, Guest]:
        """What the toolstack says of the domains that hold these pages; it is asked once."""
        owners = {page.owner for page in pages if page.owner is not None}
        if not owners:
            return {}
        reply = await self._domains()
        return {owner: answers.to_guest(reply, DomId(owner), self.migrate_to) for owner in owners}

    async def _detach(self, case: Case) -> Outcome:
        """Take all of its devices from the guest, within the time that it is given."""
        try:
            async with asyncio.timeout(self.detach_seconds):
                for device in case.detached:
                    reply = await self.toolstack.detach(_owner(case), device)
                    outcome = answers.to_detach(reply)
                    if not isinstance(outcome, Done):
                        return outcome
        except TimeoutError:
            return Failed(Reason.DETACH_UNANSWERED)
        return Done()

    async def _attach(self, case: Case) -> Outcome:
        """Give them all back, to the domain that the guest lives in now."""
        domid = await self._home(case)
        if domid is None:
            return Gone()
        for device in case.detached:
            outcome = answers.to_command(await self.toolstack.attach(domid, device))
            if isinstance(outcome, Gone):
                # Moved by others since we looked; its device is with nobody, so look again.
                return TryAgain(Reason.GUEST_LEFT, outcome.detail)
            if not isinstance(outcome, Done):
                return outcome
        return Done()

    async def _home(self, case: Case) -> DomId | None:
        return answers.domid_of(await self._domains(), case.guest)

    async def _drop_shadows(self, case: Case) -> Outcome:
        return answers.to_command(await self.toolstack.drop_shadows(_owner(case)))

    async def _suspend(self, case: Case) -> Outcome:
        return answers.to_command(await self.toolstack.suspend(_owner(case)))

    async def _exchange(self, cases: Sequence[Case]) -> tuple[Outcome, ...]:
        mfns = [case.mfn for case in cases]
        return answers.to_exchange(await self.toolstack.exchange(_owner(cases[0]), mfns), mfns)

    async def _resume(self, case: Case) -> Outcome:
        return answers.to_command(await self.toolstack.resume(_owner(case)))

    async def _save(self, case: Case) -> Outcome:
        return answers.to_command(await self.toolstack.save(_owner(case), case.image))

    async def _restore(self, case: Case) -> Outcome:
        if not case.image:
            return Gone()  # it was never to be saved
        return answers.to_command(await self.toolstack.restore(case.image))

    async def _migrate(self, case: Case) -> Outcome:
        return answers.to_command(await self.toolstack.migrate(_owner(case), self.migrate_to))


def _owner(case: Case) -> DomId:
    if case.owner is None:
        raise PeerError(f"case {case.id} is {case.state} and names no owner")
    return case.owner
