"""Drives every case to rest: give the command, advance the case, write it down, wait, again.

    submitted ──► a step (`steps.py`) ──► wait ──► again … until it rests
                  or, if it is about a guest, its part in a stop (`turns.py`)
    parked    ──► looked at, all in one question, now and then
    found     ──► the same, but nothing follows from it except that it has left
    postponed ──► read back, all of a guest at once, when it may be stopped again
    recalled  ──► back into use, as soon as its guest is in nobody's hands
    closed    ──► looked at again, and seldom taken up once more (`hindsight.py`)

Deciding is in `advance.py` and `batch.py`, asking in `acts.py`; here is only the order of things.
Whoever comes back from waiting reads the case from the docket anew: a stop for another page may
have helped this one too.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count

from agent.clock import Clock
from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PAGES_MAX
from agent.events import GuestFoundStopped, Observer
from agent.retirement import batch
from agent.retirement.acts import Acts
from agent.retirement.case import Case
from agent.retirement.docket import Docket
from agent.retirement.hindsight import Hindsight
from agent.retirement.manners import Manners
from agent.retirement.outcome import Asked, Recalled
from agent.retirement.ports import CaseLog
from agent.retirement.states import State
from agent.retirement.steps import Steps
from agent.retirement.turns import Turns
from agent.waiting import set_within

Ask = Callable[[Sequence[Case]], Awaitable[None]]


@dataclass(slots=True)
class Driver:
    acts: Acts
    log: CaseLog
    docket: Docket
    observe: Observer
    clock: Clock
    manners: Manners
    _queue: asyncio.Queue[Mfn | None] = field(default_factory=asyncio.Queue[Mfn | None])
    _driven: set[Mfn] = field(default_factory=set[Mfn])
    _sleepers: dict[Mfn, asyncio.Event] = field(default_factory=dict[Mfn, asyncio.Event])
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _steps: Steps = field(init=False)
    _turns: Turns = field(init=False)
    _hindsight: Hindsight = field(init=False)

    def __post_init__(self) -> None:
        self._steps = Steps(
            self.acts,
            self.log,
            self.docket,
            self.observe,
            self.clock,
            self.manners.terms,
            self._rouse,
        )
        self._turns = Turns(self._steps, self.manners, self._stopping)
        self._hindsight = Hindsight(self._steps, self.manners)

    def submit(self, case: Case) -> None:
        """Have `case` driven to rest; it is on the docket and in the log already."""
        self._steps.look_who_is_asked()
        self._queue.put_nowait(case.mfn)

    def recall(self, case: Case) -> None:
        """Have `case`, recalled on the docket, looked at now, and not only after its next wait."""
        self.submit(case)
        if sleeper := self._sleepers.get(case.mfn):
            sleeper.set()

    async def give_back(self, cases: Sequence[Case]) -> None:
        """Have these, as `recall` does, brought back into use: together those that are at rest. No
        more than one call may name.
        """
        is_stopping = self._stopping.is_set()
        for case in cases:
            if is_stopping or not case.state.is_at_rest:
                self.recall(case)
        if not is_stopping:
            await self._look_at([case for case in cases if case.state.is_at_rest], self._return)

    async def _return(self, cases: Sequence[Case]) -> None:
        await self._steps.skip([(case, Recalled()) for case in cases])
        returning = [case for case in self._steps.now(cases) if case.state is State.RETURNING]
        if returning:
            await self._steps.take(returning)

    def stop(self) -> None:
        """Take no new step, except to bring a guest back."""
        self._stopping.set()
        self._steps.owing.set()
        for sleeper in self._sleepers.values():
            sleeper.set()
        self._queue.put_nowait(None)

    async def recover(self) -> None:
        """Ask for what is to be taken, and first of all for what a reboot of the host has put back
        into use: its guests are on their way up. Bring back every guest that an earlier life may
        have left stopped or without its device; queue the rest.

        Returns when each of them runs or has been asked for once, in vain: it is queued too then,
        and keeps nobody else waiting. A guest that stands still for no case of ours is told, and
        not touched: somebody else stopped it.
        """
        if not self.manners.observes:
            observed = self.docket.resting(State.OBSERVED)
            await self._steps.skip([(case, Asked()) for case in observed])
            await self._take_at_once(self.docket.unfinished)
        await self._turns.recover()
        self._steps.look_what_is_owed()
        for case in self.docket.unfinished:
            self.submit(case)
        ours = {case.owner for case in self.docket.unfinished if case.is_in_hand}
        for guest in await self.acts.stopped():
            if guest.domid not in ours:
                self.observe(GuestFoundStopped(DomId(guest.domid)))

    async def take(self, cases: Sequence[Case]) -> None:
        """Have these, as `submit` does, driven to rest: asked for together first, and one by one
        only for what that did not settle. No more than one call may name.
        """
        if self.manners.observes or self._stopping.is_set():
            for case in cases:
                self.submit(case)
        else:
            self._steps.look_who_is_asked()
            await self._look_at(cases, self._take_at_once)

    async def _take_at_once(self, cases: Sequence[Case]) -> None:
        """Ask for all pages that nobody has asked for yet, in as few calls as there can be.

        A call is refused whole for the sake of one page, so it is made once more for the others.
        What is not done after that goes the usual way.
        """
        for state in (State.OPEN, State.OPEN, State.CONFIRMING):
            due = [case for case in self._steps.now(cases) if case.state is state]
            for members in batch.calls(due):
                await self._steps.take(members)
                if not any(
                    map(batch.has_moved, zip(members, self._steps.now(members), strict=True))
                ):
                    return  # nobody answers

    async def run(self) -> None:
        """Return after `stop`, when every step in flight has ended and is written down."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(), name="parked cases")
            group.create_task(self._settle(), name="late commands")
            while (mfn := await self._queue.get()) is not None:
                group.create_task(self._drive(mfn), name=f"case of page {mfn:#x}")

    async def release(self) -> None:
        """On the way out, with the log broken or not: leave no guest stopped or without device."""
        await self._turns.release()

    async def _drive(self, mfn: Mfn) -> None:
        """Take the case of this page to rest, unless that is being done already."""
        if mfn in self._driven:
            return
        self._driven.add(mfn)
        try:
            while self._is_due(case := self.docket.at(mfn)):
                await self._go_on(case)
                await self._wait(self.docket.at(mfn))
        finally:
            self._driven.discard(mfn)

    def _is_due(self, case: Case) -> bool:
        """True while there is something to do for it; told to stop, while its guest is in our
        hands. Once the host has rebooted, all that is left is the next life's.
        """
        if self._turns.is_past:
            return False
        return case.is_in_hand if self._stopping.is_set() else self.docket.is_due(case)

    async def _go_on(self, case: Case) -> None:
        """One step, or a whole stop."""
        is_recalled = self.docket.is_recalled(case.mfn)
        if self.manners.observes and not is_recalled and case.may_be_seen:
            await self._steps.see(case)
        elif case.needs_turn:
            await self._turns.share(case)
        elif is_recalled and case.may_be_recalled:
            await self._steps.skip([(case, Recalled())])
        else:
            await self._steps.take((case,))

    async def _watch(self) -> None:
        """Look at the parked pages now and then: they may have been freed; and at the postponed
        ones of a guest, once it may be stopped. Who only observes does neither, but looks at what
        others have marked, and at closed cases.
        """
        for turn in count():
            if await set_within(self._stopping, self.manners.watch_seconds):
                return
            await self._look_back(turn)
            await self.look_at(sorted(self.docket.resting(State.FOUND), key=_attempts))
            if not self.manners.observes:
                await self._look_at(self._parked(turn), partial(self._ask_about, turn))
                await self._look_at_postponed()

    async def _look_back(self, turn: int) -> None:
        reopened = await self._hindsight.look_at_given_back()
        if self.manners.audits(turn):
            reopened += await self._hindsight.look_at_retired()
        for case in reopened:
            self.submit(case)

    def _parked(self, turn: int) -> list[Case]:
        """First those that are due, and of these the ones that were asked about least."""
        parked = self.docket.parked
        return sorted(parked, key=lambda c: (not self.manners.watches(c, turn), c.attempts))

    async def _look_at_postponed(self) -> None:
        for cases in batch.by_guest(self.docket.resting(State.POSTPONED)):
            if self._turns.why_not_stop(cases[0]) is None:
                await self.look_at(cases)

    async def look_at(self, cases: Sequence[Case]) -> None:
        """One question for all of these, which are at rest and have a query for a command; for as
        many as one call may name.
        """
        await self._look_at(cases, self._steps.take)

    async def _look_at(self, cases: Sequence[Case], ask: Ask) -> None:
        """One question for all of them that nobody else commands."""
        cases = [case for case in cases if case.mfn not in self._driven][:PAGES_MAX]
        looked_at = {case.mfn for case in cases}
        self._driven |= looked_at
        try:
            if cases:
                await ask(cases)
        finally:
            self._driven -= looked_at
        for case in self._steps.now(cases):
            if self.docket.is_due(case):
                self.submit(case)

    async def _ask_about(self, turn: int, cases: Sequence[Case]) -> None:
        """What is new is heeded at once; what is as it was is tried again ever more rarely."""
        seen = zip(cases, await self.acts.watch(cases), strict=True)
        heeded = [
            (case, outcome)
            for case, (outcome, is_news) in seen
            if is_news or self.manners.watches(case, turn)
        ]
        await self._steps.skip([(case, outcome) for case, outcome in heeded if outcome is not None])
        await self._ask_again([case for case, outcome in heeded if outcome is None])

    async def _ask_again(self, parked: Sequence[Case]) -> None:
        """One by one, so that pages that nobody has asked for yet need not stand behind them all;
        those that the time does not reach are among the first of the next round.
        """
        now = asyncio.get_running_loop().time
        end = now() + self.manners.watch_seconds
        for case in parked:
            if self._stopping.is_set() or now() > end:
                return
            if self.docket.at(case.mfn).state is State.PARKED:
                await self._steps.take(self._steps.now((case,)))

    async def _settle(self) -> None:
        """Look now and then whether a command that nobody answered was carried out late."""
        while not self._stopping.is_set():
            await self._steps.owing.wait()
            if not await set_within(self._stopping, self.manners.pause_seconds_max):
                await self._turns.settle()

    def _rouse(self, move: batch.Move) -> None:
        """Have this case looked at again at once: nobody else would before long."""
        before, after = move
        if before.state.is_at_rest:
            self.submit(after)
        elif sleeper := self._sleepers.get(after.mfn):
            sleeper.set()

    async def _wait(self, case: Case) -> None:
        """Before a command is given again. Being told to stop, or overtaken, ends the wait."""
        if case.attempts == 0 or case.state.is_at_rest or self._stopping.is_set():
            return
        sleeper = self._sleepers.setdefault(case.mfn, asyncio.Event())
        await set_within(sleeper, self.manners.delay_seconds(case))
        del self._sleepers[case.mfn]


def _attempts(case: Case) -> int:
    """Who was asked about least comes first."""
    return case.attempts
