"""The command that each state names. Thin: ask, translate, return.

A peer that does not answer, or answers nonsense, is `NoAnswer`: what it did is not known, so the
state stays and the same command is given again. Every command may be given twice, so that is safe.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from agent.contract.errors import PeerError
from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PageReply, PagesReply
from agent.contract.toolstack import DomainInfo, DomainsReply
from agent.retirement import answers
from agent.retirement.case import Case
from agent.retirement.look import Sight, is_news, objections
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
from agent.retirement.owed import Command, Owed
from agent.retirement.ports import Hypervisor, Toolstack
from agent.retirement.reason import Reason
from agent.retirement.states import State

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

    async def see(self, case: Case) -> Outcome:
        """How the page is used, and nothing asked for."""
        try:
            page = await self._page(self.hypervisor.query, case)
            guests = await self._guests([page])
        except PeerError as error:
            return NoAnswer(str(error))
        return answers.to_seen(page, guests.get(page.owner, UNLISTED))

    async def seen(self, mfns: Sequence[Mfn]) -> Sequence[PageReply] | None:
        """How these pages are used, no more than one call may name; None if nobody says."""
        try:
            return await self._about(self.hypervisor.query, mfns)
        except PeerError:
            return None

    async def sight(self, mfn: Mfn) -> tuple[PageReply, Guest]:
        """How the page is used now and what the toolstack says of its owner; nothing is asked for.

        Raises:
            PeerError: if one of them does not answer.
        """
        (page,) = await self._about(self.hypervisor.query, [mfn])
        guests = await self._guests([page])
        return page, guests.get(page.owner, UNLISTED)

    async def boot(self) -> str | None:
        """Which boot the host is in now; None if it does not say."""
        try:
            return str((await self.hypervisor.host()).boot_id)
        except PeerError:
            return None

    async def look(
        self, cases: Sequence[Case], others: Sequence[Case]
    ) -> tuple[Outcome | None, ...]:
        """What speaks against touching the guest of these cases now, for each, if anything does.

        `others` are all cases that are not at their end.
        """
        try:
            pages, domains = await self._pages(cases), await self._domains()
            # The boot is asked for last of all: the other questions take their time.
            boot = str((await self.hypervisor.host()).boot_id)
        except PeerError as error:
            return (NoAnswer(str(error)),) * len(cases)
        if boot != cases[0].boot:  # the next life would not know that we touched that guest
            return (NoAnswer("the host has rebooted"),) * len(cases)
        return objections(cases, Sight(pages, domains, self.migrate_to), others)

    async def watch(self, cases: Sequence[Case]) -> tuple[tuple[Outcome | None, bool], ...]:
        """What became of these parked pages, no more than one call may name, and if that is news.

        None where it takes a request to know: the page is in use, and may be another's now.
        """
        if not cases:
            return ()
        try:
            pages = await self._pages(cases)
            held = any(map(answers.is_pending, pages))
            domains = await self._domains() if held else DomainsReply(domains=())
        except PeerError as error:
            return ((NoAnswer(str(error)), False),) * len(cases)
        return tuple(
            (answers.to_watch(page, domains, self.migrate_to), is_news(case, page))
            for case, page in zip(cases, pages, strict=True)
        )

    async def stopped(self) -> tuple[DomainInfo, ...]:
        """The domains that are known to stand still."""
        seen = await self.domains()
        return () if seen is None else answers.stopped(seen)

    async def domains(self) -> DomainsReply | None:
        """Who is there; None if the toolstack does not answer."""
        try:
            return await self._domains()
        except PeerError:
            return None

    async def give_back(self, owed: Owed) -> None:
        """Undo what `owed` did late, if it did anything, once, whatever comes of it."""
        seen = await self.domains()
        if seen is None or not owed.was_late(seen):
            return
        with suppress(PeerError):
            match owed.command:
                case Command.SUSPEND if owed.owner is not None:
                    await self.toolstack.resume(owed.owner)
                case Command.SAVE:
                    await self.toolstack.restore(owed.image)
                case _:
                    await self._attach_all(answers.domid_of(seen, owed.guest), owed.devices)

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
        }
        return commands[state]

    def _command_for_all(self, state: State) -> CommandForAll | None:
        """The command that has an answer for each page, if that is what the state names."""
        commands: dict[State, CommandForAll] = {
            State.OPEN: self._offline,
            State.PARKED: self._offline,
            State.CONFIRMING: self._query,
            State.POSTPONED: self._query,
            State.FOUND: self._query,
            State.EXCHANGING: self._exchange,
            State.RETURNING: self._online,
        }
        return commands.get(state)

    async def _offline(self, cases: Sequence[Case]) -> tuple[Outcome, ...]:
        pages = await self._pages(cases)
        # Xen crashes the owner of a broken page that is asked for again, or panics.
        outcomes = {page.mfn: answers.to_broken(page) for page in pages if page.is_broken}
        whole = [case for case in cases if case.mfn not in outcomes]
        if whole:
            pages = await self._about(self.hypervisor.offline, [case.mfn for case in whole])
            outcomes |= await self._told(pages, answers.to_offline)
        return tuple(outcomes[case.mfn] for case in cases)

    async def _query(self, cases: Sequence[Case]) -> tuple[Outcome, ...]:
        pages = await self._pages(cases)
        outcomes = {page.mfn: answers.to_broken(page) for page in pages if page.is_broken}
        outcomes |= await self._told(
            [page for page in pages if not page.is_broken], answers.to_query
        )
        return tuple(outcomes[case.mfn] for case in cases)

    async def _told(self, pages: Sequence[PageReply], tell: Tell) -> dict[int, Outcome]:
        """What these answers mean, with what the toolstack says of the guests in question."""
        guests = await self._guests([page for page in pages if answers.is_pending(page)])
        return {page.mfn: tell(page, guests.get(page.owner, UNLISTED)) for page in pages}

    async def _online(self, cases: Sequence[Case]) -> tuple[Outcome, ...]:
        seen = {page.mfn: answers.to_recall(page) for page in await self._pages(cases)}
        outcomes = {mfn: known for mfn, known in seen.items() if known is not None}
        # A broken page is never asked for: Xen may panic.
        marked = [case.mfn for case in cases if case.mfn not in outcomes]
        if marked:
            pages = await self._about(self.hypervisor.online, marked)
            outcomes |= {page.mfn: answers.to_online(page) for page in pages}
        return tuple(outcomes[case.mfn] for case in cases)

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
        (page,) = await self._about(call, [case.mfn])
        return page

    async def _pages(self, cases: Sequence[Case]) -> Sequence[PageReply]:
        """Where the pages of these cases stand, in one call."""
        return await self._about(self.hypervisor.query, [case.mfn for case in cases])

    async def _about(self, call: PageCall, mfns: Sequence[Mfn]) -> Sequence[PageReply]:
        async with self._page_calls:
            reply = await call(mfns)
        if [page.mfn for page in reply.pages] != list(mfns):
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
        return await self._attach_all(await self._home(case), case.detached)

    async def _attach_all(self, domid: DomId | None, devices: Sequence[str]) -> Outcome:
        if domid is None:
            return Gone()
        for device in devices:
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
