"""Pages that are marked, and that no case is about: found once a boot, and adopted.

    recovered ──► what is marked? ──► nobody's? ──► a case, FOUND ──► journal ──► watched
                        └─ no answer: asked again, while the agent works

An agent that has lost its journal finds its own pages so. Others were marked by hand, or by another
tool. Whoever it was may be about to do something about them, so what is found is counted, as memory
that is out of use, and watched until it has left; no guest is touched for it, and it is not asked
for again: brought back by others, or forgotten in a reboot of the host, its case is closed. Unless
the page has errors here, or an operator asks for it: from then on its case is one like any other.

A broken page is the hypervisor's own, whenever it broke: it has marked it by itself, and has seen
to whoever used it.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from agent.clock import Clock
from agent.contract.errors import PeerError, Unreachable
from agent.contract.frames import Mfn
from agent.contract.hypercall import HostReply, MarkedReply, PageReply
from agent.diagnosis.verdict import Verdict
from agent.events import CaseOpened, MarksUnlisted, Observer
from agent.retirement.answers import is_marked
from agent.retirement.case import Case
from agent.retirement.docket import Docket
from agent.retirement.driver import Driver
from agent.retirement.ports import CaseLog, Hypervisor

FIRST = Mfn(0)
AGAIN_SECONDS = 5.0  # after a question that nobody answered
FOUND_MARKED = "found marked, and by nobody that this agent knows"


@dataclass(slots=True)
class Adoption:
    """Of one boot of the host."""

    hypervisor: Hypervisor
    driver: Driver
    docket: Docket
    log: CaseLog
    host: HostReply
    observe: Observer
    clock: Clock
    _next: Mfn | None = FIRST  # None: all was seen, or there is nothing to be seen

    async def run(self) -> None:
        """Return when all that is marked has a case, or nobody can say what is."""
        while self._next is not None:
            await asyncio.sleep(AGAIN_SECONDS)
            await self.once()

    async def once(self) -> None:
        """Go as far as there are answers."""
        while self._next is not None:
            try:
                reply = _rising(self._next, await self.hypervisor.marked(self._next))
            except Unreachable:
                return
            except PeerError as error:
                self.observe(MarksUnlisted(str(error)))
                self._next = None
            else:
                await self._adopt(reply.pages)
                self._next = None if reply.more_from is None else Mfn(reply.more_from)

    async def _adopt(self, pages: Iterable[PageReply]) -> None:
        now_ns = self.clock()
        mfns = [Mfn(page.mfn) for page in pages if is_marked(page)]
        marked = [Verdict(mfn, now_ns, FOUND_MARKED, self.host.dimm_of(mfn)) for mfn in mfns]
        adopted = self.docket.adopt(marked, now_ns)
        if adopted:
            await self.log.save(*adopted)
            self._tell(adopted)
            await self.driver.look_at(adopted)

    def _tell(self, adopted: Iterable[Case]) -> None:
        for case in adopted:
            self.observe(CaseOpened(case))


def _rising(first: Mfn, reply: MarkedReply) -> MarkedReply:
    """`reply`, if it leads on.

    Raises:
        PeerError: if it would be asked for for ever.
    """
    if reply.more_from is not None and reply.more_from <= first:
        raise PeerError(f"what is marked from {first:#x} on goes on at {reply.more_from:#x}")
    return reply
