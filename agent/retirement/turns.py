"""A guest is touched for one stop at a time, and a stop is for all of its pages that wait by then.

    in line ──► its turn ──► others still being asked? a moment ──► stopped by others? leave it
                                                                       │
    postponed ◄── not at this hour, or not so often ◄──────────────────┤
    in line anew ◄── would begin another rung ◄── commands, until all have left the stop ──► done

Whoever comes first in a guest's line takes along everybody in it; the rest, when their turn comes,
find that they have moved. A guest that may stand still, or lack its device, is never abandoned:
told to stop, the agent first brings it back. Deciding is in `batch.py`.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from weakref import WeakValueDictionary

from agent.contract.frames import Mfn
from agent.events import CapReached
from agent.retirement import batch
from agent.retirement.case import Case
from agent.retirement.manners import Manners
from agent.retirement.outcome import (
    NoAnswer,
    NotNow,
    Outcome,
    Overtaken,
    Postponed,
    Recalled,
)
from agent.retirement.reason import Reason
from agent.retirement.steps import Steps
from agent.waiting import set_within


@dataclass(slots=True)
class Turns:
    """`stopping` is set when nothing new is to be begun. `_inherited` are the pages whose stop an
    earlier life may have begun; nobody knows which until they are looked for.
    """

    steps: Steps
    manners: Manners
    stopping: asyncio.Event
    _inherited: frozenset[Mfn] | None = None
    _in_hand: set[Mfn] = field(default_factory=set[Mfn])
    _locks: WeakValueDictionary[str, asyncio.Lock] = field(
        default_factory=WeakValueDictionary[str, asyncio.Lock]
    )
    _stops: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._stops = asyncio.Semaphore(self.manners.cases_in_flight_max)

    async def share(self, case: Case) -> None:
        """Return when the stop that `case` is part of is over, or it is taken along by another."""
        async with self._turn(case):
            if self._has_moved(case):
                return
            async with self._stops:
                await set_within(self.steps.all_asked, self.manners.gather_seconds)
                if self.stopping.is_set() or self._has_moved(case):
                    return  # nothing has been done to the guest yet
                held = self.steps.docket.held_by(case.owner)
                await self._begin(batch.sharing(case, held))

    def inherit(self) -> Sequence[Sequence[Case]]:
        """The stops that an earlier life may have begun. Ask before there is a stop in this one."""
        stops = batch.stops(self.steps.docket.unfinished)
        self._inherited = frozenset(case.mfn for cases in stops for case in cases)
        return stops

    async def recover(self, stops: Sequence[Sequence[Case]]) -> None:
        """Make good these stops of an earlier life, however long that takes."""
        async with asyncio.TaskGroup() as group:
            for cases in stops:
                group.create_task(self._finish(cases), name=f"recover {cases[0].id}")
        self._inherited = frozenset()

    async def release(self) -> None:
        """Give each guest that may lack something because of us one more start, and its devices.

        Nothing is written down; the next life reads where the case was, and gives it again.
        """
        held = [case for case in self.steps.docket.unfinished if self._may_be_held(case)]
        leads = [batch.due(cases)[0] for cases in batch.stops(held)]
        await asyncio.gather(*(self.steps.acts.leave_running(case) for case in leads))

    def _may_be_held(self, case: Case) -> bool:
        """True if a stop for this case has begun: in this life, or in one that is not made good."""
        is_inherited = self._inherited is None or case.mfn in self._inherited
        return is_inherited or case.mfn in self._in_hand

    def _has_moved(self, case: Case) -> bool:
        return self.steps.docket.at(case.mfn) is not case

    def _turn(self, case: Case) -> AbstractAsyncContextManager[None]:
        """Wait until no other stop may touch the same guest."""
        return self._locks.setdefault(batch.key_of(case), asyncio.Lock())

    async def _finish(self, cases: Sequence[Case]) -> None:
        """Go on with a stop of an earlier life, each command of which may have been given."""
        given = tuple(replace(case, attempts=max(case.attempts, 1)) for case in cases)
        for case in given:
            self.steps.docket.put(case)
        async with self._turn(given[0]):
            await self._serve(given)

    async def _begin(self, cases: Sequence[Case]) -> None:
        """Touch no guest for a page that it has no more: whose it was is an answer, and answers
        grow old.
        """
        hindrance = await self._hindrance(cases[0])
        if hindrance is not None:
            await self.steps.skip(cases, hindrance)
            return
        lost = await self.steps.acts.lost_by(tuple(filter(batch.is_untouched, cases)))
        await self.steps.skip(lost, Overtaken())
        await self._serve([case for case in cases if case not in lost])

    async def _hindrance(self, case: Case) -> Outcome | None:
        """Why this guest is not to be touched now: after a reboot that we do not know of yet, the
        next life would forget it; and what somebody else has stopped would run when we are done.
        """
        acts = self.steps.acts
        if not await acts.is_of(self.steps.docket.boot):
            return NoAnswer("is the host still in the same boot?")
        if case.owner is not None and await acts.is_stopped(case.owner):
            return NotNow(Reason.STOPPED_BY_OTHERS)
        return None

    async def _serve(self, cases: Sequence[Case]) -> None:
        """Give commands until no case needs the guest: it runs then, and has its devices."""
        taken = {case.mfn for case in cases}
        self._in_hand |= taken
        while cases := await self._still_due(cases):
            members = batch.due(cases)
            await self.steps.take(members)
            await self._wait(members)
            cases = batch.staying(cases, self.steps.now(cases))
        self._in_hand -= taken

    async def _still_due(self, cases: Sequence[Case]) -> Sequence[Case]:
        """All that are neither recalled nor to be postponed; told to stop, those only whose guest
        is in our hands.
        """
        recalled = [case for case in cases if self._may_leave(case)]
        await self.steps.skip(recalled, Recalled())
        cases = batch.staying(cases, self.steps.now(cases))
        await self._postpone([case for case in cases if batch.would_stop(case)])
        cases = batch.staying(cases, self.steps.now(cases))
        if not self.stopping.is_set():
            return cases
        waiting = [case for case in cases if batch.waits_for_device(case)]
        await self.steps.skip(waiting, NotNow(Reason.AGENT_STOPPING))
        return [case for case in self.steps.now(cases) if not batch.is_untouched(case)]

    async def _postpone(self, stopping: Sequence[Case]) -> None:
        """Leave their guest running, if it may not be stopped now."""
        refusal = self.why_not_stop(stopping[0]) if stopping else None
        if refusal is not None:
            await self.steps.skip(stopping, Postponed(refusal))
            self.steps.observe(CapReached(refusal))

    def why_not_stop(self, case: Case) -> Reason | None:
        """Why the guest of `case` may not be stopped now, if it may not."""
        paused_at_ns = self.steps.docket.paused_at_ns(batch.key_of(case))
        return self.manners.stops.refusal(self.steps.clock(), paused_at_ns)

    def _may_leave(self, case: Case) -> bool:
        """True for a recalled page for which nothing has been begun."""
        return self.steps.docket.is_recalled(case.mfn) and case.may_be_recalled

    async def _wait(self, members: Sequence[Case]) -> None:
        """Before a command that moved nobody is given again, whoever tells us to stop."""
        after = self.steps.now(members)
        if not any(map(batch.has_moved, zip(members, after, strict=True))):
            await asyncio.sleep(self.manners.delay_in_turn_seconds(after[0]))
