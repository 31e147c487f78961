"""One step: a command, what it makes of the cases it was for, and all of that in one commit.

    members ──► acts.give ──► outcomes ──► advance ──► docket ──► log.save ──► told

There is one commit for a step, however many pages it was for: a guest that stands still does not
wait for a disk once for each of them. When a step takes a guest out of its domain, the other cases
of that domain move with it.

The docket holds each case as it is. An answer about a case that has moved on meanwhile is dropped.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from agent.clock import Clock
from agent.events import CaseMoved, GuestPaused, Observer
from agent.retirement import batch
from agent.retirement.acts import Acts
from agent.retirement.case import Case
from agent.retirement.docket import Docket
from agent.retirement.ladder import Terms
from agent.retirement.outcome import Done, Outcome
from agent.retirement.owed import Owed
from agent.retirement.ports import CaseLog
from agent.retirement.states import State


@dataclass(slots=True)
class Steps:
    """`rouse` is handed each case that a step moved though it was not for it.

    `all_asked` is set while there is no page whose owner is still to be learnt, or to be written
    down: who stops a guest then does not wait for the disk behind the others. `owing` is set while
    a command that nobody answered may be carried out late.
    """

    acts: Acts
    log: CaseLog
    docket: Docket
    observe: Observer
    clock: Clock
    terms: Terms
    rouse: Callable[[batch.Move], None]
    all_asked: asyncio.Event = field(default_factory=asyncio.Event)
    owing: asyncio.Event = field(default_factory=asyncio.Event)
    _unwritten: int = 0

    async def take(self, members: Sequence[Case]) -> None:
        """Give one command; return once what came of it would survive a power cut."""
        began = asyncio.get_running_loop().time()
        members = await self._begun(members)
        outcomes = await self.acts.give(members)
        await self._note(members, outcomes, began)

    async def see(self, case: Case) -> None:
        """Give no command: only see what would be done, and write that down."""
        began = asyncio.get_running_loop().time()
        await self._note((case,), (await self.acts.see(case),), began)

    async def skip(self, given: Sequence[batch.Given]) -> None:
        """Give no command, for a reason: what it comes to, for each."""
        if given:
            members, outcomes = zip(*given, strict=True)
            await self._note(members, outcomes, asyncio.get_running_loop().time())

    async def forget(self, owed: Owed) -> None:
        """Nothing more is owed for this command."""
        settled = [
            replace(case, owed=tuple(other for other in case.owed if other != owed))
            for case in self.docket.owing
            if owed in case.owed
        ]
        for case in settled:
            self.docket.put(case)
        self.look_what_is_owed()
        await self.log.save(*settled)

    def now(self, cases: Sequence[Case]) -> tuple[Case, ...]:
        """These cases as they are now."""
        return tuple(self.docket.at(case.mfn) for case in cases)

    def look_who_is_asked(self) -> None:
        """Set or clear `all_asked`."""
        if self.docket.is_asking or self._unwritten:
            self.all_asked.clear()
        else:
            self.all_asked.set()

    def look_what_is_owed(self) -> None:
        """Set or clear `owing`."""
        if self.docket.owing:
            self.owing.set()
        else:
            self.owing.clear()

    async def _begun(self, members: Sequence[Case]) -> Sequence[Case]:
        """Before a guest is touched, it is written down that it may have been, and as what it may
        have been saved: it is found by that.
        """
        begun = batch.begun(members)
        if begun == tuple(members):
            return members
        members = begun
        for case in members:
            self.docket.put(case)
        await self.log.save(*members)
        return members

    async def _note(
        self, members: Sequence[Case], outcomes: Sequence[Outcome], began: float
    ) -> None:
        pairs = zip(members, outcomes, strict=True)
        given = [(case, outcome) for case, outcome in pairs if self.docket.at(case.mfn) is case]
        now_ns = self.clock()
        others = self._overtaken(given, now_ns)
        moves = (*batch.moves(given, now_ns, self.terms), *others)
        for _, after in moves:
            self.docket.put(after)
        self.look_what_is_owed()
        moved = [move for move in moves if batch.has_moved(move)]
        await self._write(moved)
        self._tell(moved, outcomes, began)
        for move in others:
            self.rouse(move)

    async def _write(self, moved: Sequence[batch.Move]) -> None:
        learnt = sum(before.state is State.OPEN for before, _ in moved)
        self._unwritten += learnt
        self.look_who_is_asked()
        if moved:
            await self.log.save(*(after for _, after in moved))
        self._unwritten -= learnt
        self.look_who_is_asked()

    def _overtaken(self, given: Sequence[batch.Given], now_ns: int) -> tuple[batch.Move, ...]:
        if not batch.has_left(given):
            return ()
        return batch.overtaken(given, self.docket.held_by(given[0][0].owner), now_ns)

    def _tell(self, moved: Sequence[batch.Move], outcomes: Sequence[Outcome], began: float) -> None:
        """A pause is told once, however many pages it was for."""
        took = asyncio.get_running_loop().time() - began
        for outcome in outcomes[:1]:
            if isinstance(outcome, Done) and outcome.pause_seconds is not None:
                domid = moved[0][0].owner if moved else None
                self.observe(GuestPaused(outcome.pause_seconds, domid))
        for before, after in moved:
            self.observe(CaseMoved(after, before.state, took))
