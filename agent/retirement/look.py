"""The last look before a guest is touched: what was so when its rung was chosen may have passed.

Nothing here is new knowledge about how to help a page; it is about leaving alone who need not be
disturbed. A page that has left, or is another's, or is held otherwise, is looked at anew. A guest
that somebody else stopped is not touched: it would run when we are done. And where there is no room
for the pages that would be put in the place of the bad ones, nothing is begun: a guest that was
saved for one bad page frees one page less than its restore needs.

Room is what is free less what is promised: to guests that are in our hands and not whole yet, most
of all to those on disk, whose memory looks free.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.contract.frames import DomId
from agent.contract.hypercall import PageReply, PageStatus, PageUse
from agent.contract.toolstack import HERE, DomainsReply, DomainState
from agent.retirement import answers
from agent.retirement.case import Case
from agent.retirement.ladder import Rung
from agent.retirement.outcome import NotNow, Outcome, Overtaken
from agent.retirement.reason import Reason
from agent.retirement.states import State

# Until these are done, their guest will ask for a page more.
NEEDING_A_PAGE = frozenset({State.SUSPENDING, State.EXCHANGING, State.SAVING, State.RESTORING})


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen: these pages, all domains, and where guests may migrate to."""

    pages: Sequence[PageReply]
    domains: DomainsReply
    migrate_to: str = ""


def objections(
    cases: Sequence[Case], sight: Sight, others: Sequence[Case]
) -> tuple[Outcome | None, ...]:
    """What speaks against touching the guest of these cases, for each; None: nothing does."""
    guest = _about_guest(cases[0].owner, sight.domains)
    if guest is not None:
        return (guest,) * len(cases)
    room = sight.domains.free_pages - promised(cases[0].owner, others, sight.domains)
    found: list[Outcome | None] = []
    for case, page in zip(cases, sight.pages, strict=True):
        nth = found.count(None) + 1
        lacks_room = _pages_needed(case, nth, others, sight.migrate_to) > room
        why = NotNow(Reason.NO_FREE_MEMORY) if lacks_room else None
        found.append(why if _is_as_known(case, page) else Overtaken(reason=Reason.HELD_OTHERWISE))
    return tuple(found)


def is_news(case: Case, page: PageReply) -> bool:
    """True if this parked page is another than when it was parked, and could be helped now."""
    if page.status is PageStatus.ONLINE:
        return page.use is PageUse.FREE
    return not _is_as_known(case, page)


def promised(to_others_than: DomId | None, cases: Sequence[Case], domains: DomainsReply) -> int:
    """How many pages the other guests in our hands will take before they are whole again."""
    alive = {info.domid for info in domains.domains if info.state not in answers.DEAD}
    held = [case for case in cases if case.is_in_hand and case.owner != to_others_than]
    there = [case for case in held if case.owner in alive and case.state in NEEDING_A_PAGE]
    on_disk = {case.image: case.size for case in held if case.image and case.owner not in alive}
    return len(there) + sum(on_disk.values())


def _about_guest(owner: DomId | None, domains: DomainsReply) -> Outcome | None:
    state = next((info.state for info in domains.domains if info.domid == owner), None)
    if state is None:
        return Overtaken()
    if state is DomainState.SUSPENDED:
        return NotNow(Reason.STOPPED_BY_OTHERS)
    return Overtaken(reason=Reason.NOT_ALIVE) if state in answers.DEAD else None


def _is_as_known(case: Case, page: PageReply) -> bool:
    """True if the page is marked, and held as the case says."""
    held = page.use, page.owner, tuple(sorted(page.mappers))
    known = case.use, case.owner, case.mappers
    return answers.is_pending(page) and not page.is_broken and held == known


def _pages_needed(case: Case, nth: int, others: Sequence[Case], migrate_to: str) -> int:
    """How many free pages the rung of `case` takes, as the `nth` of those who share it."""
    rung = case.rungs[0] if case.state is State.DETACHING and case.rungs else case.rung
    match rung:
        case Rung.SWAP | Rung.EXCHANGE:
            return nth
        case Rung.SAVE_RESTORE:
            return sum(other.owner == case.owner for other in others)
        case Rung.MIGRATE if migrate_to == HERE:
            return case.size
        case _:
            return 0
