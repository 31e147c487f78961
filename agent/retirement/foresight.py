"""What would be done about a page if it went bad now. Nothing is asked for: this is a look ahead.

The order is that of the real thing: what is out of use needs nothing; a broken page is never
touched; caps stand above the ladder; and the ladder says the rest.
"""

from dataclasses import dataclass

from agent.contract.frames import DomId
from agent.contract.hypercall import PageReply, PageStatus, PageUse
from agent.retirement.ladder import Rung, Terms, rungs_for, why_none
from agent.retirement.outcome import Guest, Held
from agent.retirement.reason import TEXT, Reason


@dataclass(frozen=True, slots=True)
class Foresight:
    """The rungs to try, in order; `obstacle` says why it would not come to that."""

    rungs: tuple[Rung, ...] = ()
    obstacle: Reason | None = None
    is_out: bool = False

    @property
    def text(self) -> str:
        """For people."""
        if self.is_out:
            return "nothing: it is out of use"
        would = ", then ".join(self.rungs) or "the hypercall takes it at once"
        if self.obstacle is None:
            return would
        if self.obstacle is Reason.OBSERVING:
            return f'{would}; but retirement.mode is "observe"'
        return f"nothing: {TEXT[self.obstacle]}"


def foresee(
    page: PageReply, guest: Guest, terms: Terms, refusal: Reason | None, *, observes: bool = False
) -> Foresight:
    """What would be done; `refusal` is what the caps say to a page more."""
    if page.status is PageStatus.OFFLINED:
        return Foresight(is_out=True)
    if page.is_broken:
        return Foresight(obstacle=Reason.BROKEN)
    if refusal is not None:
        return Foresight(obstacle=refusal)
    observing = Reason.OBSERVING if observes else None
    if page.use is PageUse.FREE:
        return Foresight(obstacle=observing)
    owner = None if page.owner is None else DomId(page.owner)
    held = Held(page.use, owner, tuple(map(DomId, page.mappers)), guest)
    rungs = rungs_for(held, terms)
    return Foresight(rungs, observing) if rungs else Foresight(obstacle=why_none(held))
