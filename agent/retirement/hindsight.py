"""Pages that were given back, and that a request which nobody answered may take yet.

A deadline that passes says nothing about the call: an offline may be carried out after the online
that was to undo it, and a good page would be lost with no case that says so. So the case of a page
remembers when it was asked for in vain, also when it is closed, and for `late_seconds` such a page
is looked at now and then.

    given back, asked for in vain ──► looked at, now and then ──► too long ago: forgotten
                                            └─► marked? brought back once more

While that is remembered, a page that somebody else has marked is brought back too: the two look
alike. What commands about guests do late is in `owed.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from agent.retirement import batch
from agent.retirement.answers import is_marked
from agent.retirement.case import Case
from agent.retirement.outcome import CameLate
from agent.retirement.steps import Steps


@dataclass(slots=True)
class Hindsight:
    steps: Steps
    late_seconds: float

    async def look(self) -> tuple[Case, ...]:
        """The cases of all such pages that are marked, as they are now: on their way back."""
        late: list[Case] = []
        for cases in batch.calls(self.steps.docket.doubtful):
            late += await self._marked_among(cases)
        await self.steps.skip([(case, CameLate()) for case in late])
        return self.steps.now(late)

    async def _marked_among(self, cases: Sequence[Case]) -> list[Case]:
        """Those that are marked; of the others, those are forgotten that need no other look."""
        now_ns = self.steps.clock()
        seen = await self.steps.acts.seen([case.mfn for case in cases]) or ()
        late = [case for case, page in zip(cases, seen, strict=False) if is_marked(page)]
        if seen:
            for case in self.steps.now(cases):
                if case not in late and self._is_over(case, now_ns):
                    self.steps.docket.put(replace(case, unheard_ns=0))
        return late

    def _is_over(self, case: Case, now_ns: int) -> bool:
        return now_ns - case.unheard_ns > self.late_seconds * 1e9
