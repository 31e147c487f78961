"""A guest is touched for one stop at a time, and a stop is for all of its pages that wait by then.

    in line ──► its turn ──► others still being asked? a moment ──► a look ──► anything against it?
                                │                                      │            └─► left alone
    postponed ◄── not now, or not so often                             │
    in line anew ◄── would begin another rung ◄── commands, until all have left the stop ──► done

Answers grow old, so there is a look (`look.py`) immediately before a guest is touched, also when
it has waited long for its device to be detached.

Whoever comes first in a guest's line takes along everybody in it; the rest, when their turn comes,
find that they have moved. A guest that may stand still, or lack its device, is never abandoned:
told to stop, the agent first brings it back. Deciding is in `batch.py`.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from agent.events import CapReached
from agent.retirement import batch
from agent.retirement.advance import owing
from agent.retirement.case import Case
from agent.retirement.manners import Manners
from agent.retirement.outcome import NotNow, Postponed, Recalled
from agent.retirement.owed import Owed
from agent.retirement.reason import Reason
from agent.retirement.states import State
from agent.retirement.steps import Steps
from agent.waiting import set_within


@dataclass(slots=True)
class Turns:
    """`stopping` is set when nothing new is to be begun. `is_past` once the host is known to have
    rebooted: no guest of this boot is there any more.
    """

    steps: Steps
    manners: Manners
    stopping: asyncio.Event
    is_past: bool = False
    _locks: WeakValueDictionary[str, asyncio.Lock] = field(
        default_factory=WeakValueDictionary[str, asyncio.Lock]
    )
    _stops: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._stops = asyncio.Semaphore(self.manners.cases_in_flight_max)

    async def share(self, case: Case) -> None:
        """Return when the stop that `case` is part of is over, or it is taken along by another."""
        async with self._turn(case), AsyncExitStack() as slot:
            if self._has_moved(case):
                return
            if not case.is_in_hand:
                await slot.enter_async_context(self._stops)
                await set_within(self.steps.all_asked, self.manners.gather_seconds)
                if self.stopping.is_set() or self._has_moved(case):
                    return  # nothing has been done to the guest yet
            held = self.steps.docket.held_by(case.owner)
            await self._serve(batch.sharing(case, held), slot)

    async def recover(self) -> None:
        """Go on with the stops of an earlier life, each until a command comes to nothing.

        What is not good again by then is a case like any other that has its guest in hand: whoever
        drives it goes on, and keeps nobody else waiting.
        """
        async with asyncio.TaskGroup() as group:
            for cases in batch.stops(self._in_hand()):
                group.create_task(self._finish(cases), name=f"recover {cases[0].id}")

    async def release(self) -> None:
        """Give each guest that may lack something because of us one more start, and its devices.

        Nothing is written down; the next life reads where the case was, and gives it again.
        """
        acts = self.steps.acts
        leads = [batch.due(cases)[0] for cases in batch.stops(self._in_hand())]
        await asyncio.gather(*(acts.leave_running(case) for case in leads))
        await asyncio.gather(*map(acts.give_back, self._owed()))

    async def settle(self) -> None:
        """Look whether what was not answered was carried out late; give the guests back what they
        lack by that, each once.

        Guests whose turn it is are passed over: whatever comes late, their stop makes it good.
        """
        owed = [owed for owed in self._owed() if not self._turn_of(_whom(owed)).locked()]
        if not owed or await self.steps.acts.boot() != self.steps.docket.boot:
            return
        now_ns = self.steps.clock()  # before the look: what comes behind it is not seen
        seen = await self.steps.acts.domains()
        if seen is not None:
            late = [each for each in owed if each.was_late(seen)]
            await asyncio.gather(*map(self._give_back, late))
            for each in owed:
                if each not in late and self.manners.is_over(each.since_ns, now_ns):
                    await self.steps.forget(each)

    async def _give_back(self, owed: Owed) -> None:
        async with self._turn_of(_whom(owed)):
            await self.steps.acts.give_back(owed)

    def _owed(self) -> tuple[Owed, ...]:
        return tuple({owed: None for case in self.steps.docket.owing for owed in case.owed})

    def _in_hand(self) -> list[Case]:
        return [case for case in self.steps.docket.unfinished if case.is_in_hand]

    def _has_moved(self, case: Case) -> bool:
        return self.steps.docket.at(case.mfn) is not case

    def _turn(self, case: Case) -> AbstractAsyncContextManager[None]:
        """Wait until no other stop may touch the same guest."""
        return self._turn_of(batch.key_of(case))

    def _turn_of(self, guest: str) -> asyncio.Lock:
        return self._locks.setdefault(guest, asyncio.Lock())

    async def _finish(self, cases: Sequence[Case]) -> None:
        cases = [owing(case, self.steps.clock()) for case in cases]
        for case in cases:
            self.steps.docket.put(case)  # what an earlier life asked for may come late
        async with self._turn(cases[0]):
            await self._go_on(cases)

    async def _serve(self, cases: Sequence[Case], slot: AsyncExitStack) -> None:
        """Give commands until no case needs the guest: it runs then, and has its devices.

        `slot` is given back as soon as it does not come back at once: others may be helped still.
        """
        while (cases := await self._go_on(cases)) and not self.is_past:
            members = batch.due(cases)
            if members[0].state in batch.BRINGING_BACK:
                await slot.aclose()
            await asyncio.sleep(self.manners.delay_in_turn_seconds(members[0]))

    async def _go_on(self, cases: Sequence[Case]) -> Sequence[Case]:
        """Give commands for as long as they move somebody; those for whom the stop is not over."""
        while (cases := await self._still_due(cases)) and not await self._has_passed(cases):
            members = batch.due(cases)
            if unopposed := await self._unopposed(members):
                await self.steps.take(unopposed)
            moves = zip(members, self.steps.now(members), strict=True)
            has_moved = any(map(batch.has_moved, moves))
            cases = [case for case in self.steps.now(cases) if case.is_in_hand]
            if not has_moved:
                await self._make_good([case for case in cases if case.state is State.ATTACHING])
                break
        return cases

    async def _make_good(self, attaching: Sequence[Case]) -> None:
        """What came late, for guests that should run by now: one that was saved late is nowhere,
        and its device would be given up.
        """
        late = {owed: None for case in attaching for owed in case.owed}
        await asyncio.gather(*map(self.steps.acts.give_back, late))

    async def _unopposed(self, members: Sequence[Case]) -> Sequence[Case]:
        """Those against which nothing speaks that is seen right before their guest is touched."""
        if not members[0].is_untouched:
            return members
        outcomes = await self.steps.acts.look(members, self.steps.docket.unsettled)
        seen = tuple(zip(members, outcomes, strict=True))
        await self.steps.skip([(case, outcome) for case, outcome in seen if outcome is not None])
        return [case for case, outcome in seen if outcome is None]

    async def _has_passed(self, cases: Sequence[Case]) -> bool:
        """True if a command is to be given again, and the host has rebooted since it was given:
        its domain is another guest's now, and the next life makes good what is left.
        """
        if any(case.attempts for case in batch.due(cases)):
            self.is_past = await self.steps.acts.boot() not in {None, self.steps.docket.boot}
        return self.is_past

    async def _still_due(self, cases: Sequence[Case]) -> Sequence[Case]:
        """All that are neither recalled nor to be postponed; told to stop, those only whose guest
        is in our hands.
        """
        recalled = [case for case in cases if self._may_leave(case)]
        await self.steps.skip([(case, Recalled()) for case in recalled])
        cases = [case for case in self.steps.now(cases) if case.needs_turn]
        await self._postpone([case for case in cases if batch.would_stop(case)])
        cases = [case for case in self.steps.now(cases) if case.needs_turn]
        if not self.stopping.is_set():
            return cases
        waiting = [case for case in cases if batch.waits_for_device(case)]
        await self.steps.skip([(case, NotNow(Reason.AGENT_STOPPING)) for case in waiting])
        return [case for case in self.steps.now(cases) if not case.is_untouched]

    async def _postpone(self, stopping: Sequence[Case]) -> None:
        """Leave their guest running, if it may not be stopped now."""
        refusal = self.why_not_stop(stopping[0]) if stopping else None
        if refusal is not None:
            await self.steps.skip([(case, Postponed(refusal)) for case in stopping])
            self.steps.observe(CapReached(refusal))

    def why_not_stop(self, case: Case) -> Reason | None:
        """Why the guest of `case` may not be stopped now, if it may not."""
        paused_at_ns = self.steps.docket.paused_at_ns(batch.key_of(case))
        return self.manners.stops.refusal(self.steps.clock(), paused_at_ns)

    def _may_leave(self, case: Case) -> bool:
        """True for a recalled page for which nothing has been begun."""
        return self.steps.docket.is_recalled(case.mfn) and case.may_be_recalled


def _whom(owed: Owed) -> str:
    """Whose turn it takes to give back what is owed, as `batch.key_of` says it."""
    return owed.guest or f"domain {owed.owner}"
