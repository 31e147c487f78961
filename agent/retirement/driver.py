"""Drives every case to rest: give the command, advance the case, write it down, wait, again.

    submitted ──► a step (`steps.py`) ──► wait ──► again … until it rests
                  or, if it is about a guest, its part in a stop (`turns.py`)
    parked    ──► looked at, all in one question, now and then
    recalled  ──► back into use, as soon as its guest is in nobody's hands

Deciding is in `case.py` and `batch.py`, asking in `acts.py`; here is only the order of things.
Whoever comes back from waiting reads the case from the docket anew: a stop for another page may
have helped this one too.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from agent.clock import Clock
from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PAGES_MAX
from agent.events import GuestFoundStopped, Observer
from agent.retirement import batch
from agent.retirement.acts import Acts
from agent.retirement.case import Case, State
from agent.retirement.docket import Docket
from agent.retirement.manners import Manners
from agent.retirement.outcome import Recalled
from agent.retirement.ports import CaseLog
from agent.retirement.steps import Steps
from agent.retirement.turns import Turns
from agent.waiting import set_within


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

    def submit(self, case: Case) -> None:
        """Have `case` driven to rest; it is on the docket and in the log already."""
        self._steps.look_who_is_asked()
        self._queue.put_nowait(case.mfn)

    def recall(self, case: Case) -> None:
        """Have `case`, recalled on the docket, looked at now, and not only after its next wait."""
        self.submit(case)
        if sleeper := self._sleepers.get(case.mfn):
            sleeper.set()

    def stop(self) -> None:
        """Take no new step, except to bring a guest back."""
        self._stopping.set()
        self._steps.owing.set()
        for sleeper in self._sleepers.values():
            sleeper.set()
        self._queue.put_nowait(None)

    async def recover(self) -> None:
        """Bring back every guest that an earlier life may have left stopped or without its device;
        queue the rest.

        Returns when each of them runs or has been asked for once, in vain: it is queued too then,
        and keeps nobody else waiting. A guest that stands still for no case of ours is told, and
        not touched: somebody else stopped it.
        """
        await self._turns.recover()
        self._steps.look_what_is_owed()
        for case in self.docket.unfinished:
            self.submit(case)
        ours = {case.owner for case in self.docket.unfinished if case.is_in_hand}
        for guest in await self.acts.stopped():
            if guest.domid not in ours:
                self.observe(GuestFoundStopped(DomId(guest.domid)))

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
        if case.needs_turn:
            await self._turns.share(case)
        elif self.docket.is_recalled(case.mfn) and case.may_be_recalled:
            await self._steps.skip([(case, Recalled())])
        else:
            await self._steps.take((case,))

    async def _watch(self) -> None:
        """Look at the parked pages now and then: their owners may have let go."""
        for turn in count():
            if await set_within(self._stopping, self.manners.watch_seconds):
                return
            await self._look_at(self.docket.parked, turn)

    async def _look_at(self, parked: Sequence[Case], turn: int) -> None:
        """One question for all of them that nobody else commands, first for those that are due and
        were asked about least.
        """
        idle = [case for case in parked if case.mfn not in self._driven]
        idle.sort(key=lambda case: (not self.manners.watches(case, turn), case.attempts))
        cases = idle[:PAGES_MAX]
        looked_at = {case.mfn for case in cases}
        self._driven |= looked_at
        try:
            await self._ask_about(cases, turn)
        finally:
            self._driven -= looked_at
        for case in self._steps.now(cases):
            if self.docket.is_due(case):
                self.submit(case)

    async def _ask_about(self, cases: Sequence[Case], turn: int) -> None:
        """What is new is heeded at once; what is as it was is tried again ever more rarely."""
        seen = zip(cases, await self.acts.watch(cases), strict=True)
        heeded = [
            (case, outcome)
            for case, (outcome, is_news) in seen
            if is_news or self.manners.watches(case, turn)
        ]
        await self._steps.skip([(case, outcome) for case, outcome in heeded if outcome is not None])
        async with asyncio.TaskGroup() as group:
            for case in self._steps.now([case for case, outcome in heeded if outcome is None]):
                if case.state is State.PARKED:
                    name = f"ask again for page {case.mfn:#x}"
                    group.create_task(self._steps.take((case,)), name=name)

    async def _settle(self) -> None:
        """Look now and then whether a command that nobody answered was carried out late."""
        while await self._steps.owing.wait():
            if await set_within(self._stopping, self.manners.pause_seconds_max):
                return
            await self._turns.settle()

    def _rouse(self, move: batch.Move) -> None:
        """Have this case looked at again at once: nobody else would before long."""
        before, after = move
        if before.state is State.PARKED:
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
