"""Closed cases, looked at again: what they say must stay so, whoever does what to their pages.

A deadline that passes says nothing about the call: an offline may be carried out after the online
that was to undo it, and a good page would be lost with no case that says so. So the case of a page
remembers when it was asked for in vain, also when it is closed, and for `late_seconds` such a page
is looked at now and then. While that is remembered, a page that somebody else has marked is brought
back too: the two look alike. What commands about guests do late is in `owed.py`.

    given back, asked for in vain ──► marked? brought back once more
    retired                       ──► in use? asked for once more; if others had marked it, closed

A retired page comes back into use by a hand at the hypervisor, or by an online that is carried out
late; nobody tells the agent, and a page that fails would be in use with a case that denies it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent.contract.hypercall import PageReply
from agent.retirement import batch
from agent.retirement.answers import is_back, is_marked
from agent.retirement.case import Case
from agent.retirement.manners import Manners
from agent.retirement.outcome import BackOnline, CameLate, Returned
from agent.retirement.steps import Steps


@dataclass(slots=True)
class Hindsight:
    """Each look returns the cases that are not closed any more, as they are now."""

    steps: Steps
    manners: Manners

    async def look_at_given_back(self) -> tuple[Case, ...]:
        late: list[Case] = []
        for cases in batch.calls(self.steps.docket.doubtful):
            now_ns, seen = self.steps.clock(), await self._seen(cases)
            late += [case for case, page in seen if is_marked(page)]
            self._forget([case for case, page in seen if not is_marked(page)], now_ns)
        return await self._reopened([(case, CameLate()) for case in late])

    async def look_at_retired(self) -> tuple[Case, ...]:
        """All that there are."""
        back: list[Case] = []
        for cases in batch.calls(self.steps.docket.retired):
            back += [case for case, page in await self._seen(cases) if is_back(page)]
        return await self._reopened([(c, BackOnline() if c.is_ours else Returned()) for c in back])

    async def _seen(self, cases: Sequence[Case]) -> list[tuple[Case, PageReply]]:
        """Where these pages stand; none of them if nobody says."""
        seen = await self.steps.acts.seen([case.mfn for case in cases])
        return [] if seen is None else list(zip(cases, seen, strict=True))

    async def _reopened(self, given: Sequence[batch.Given]) -> tuple[Case, ...]:
        """The boot is asked for last of all: what was seen may be of the next one, in which all
        pages are in use, and no mark is ours.
        """
        if not given or await self.steps.acts.boot() != self.steps.docket.boot:
            return ()
        await self.steps.skip(given)
        return self.steps.now([case for case, _ in given])

    def _forget(self, cases: Sequence[Case], now_ns: int) -> None:
        """Those that were asked for too long ago to matter, and have not moved on meanwhile."""
        for case in cases:
            is_over = self.manners.is_over(case.unheard_ns, now_ns)
            if is_over and self.steps.docket.at(case.mfn) is case:
                self.steps.docket.put(replace(case, unheard_ns=0))
