"""What an answer means: the contract's words become outcomes. Pure, and one function a command."""

from collections.abc import Sequence

from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PageReply, PageStatus, Refusal
from agent.contract.toolstack import (
    HERE,
    DomainInfo,
    DomainsReply,
    DomainState,
    ToolOutcome,
    ToolReply,
)
from agent.retirement.outcome import (
    UNLISTED,
    BackOnline,
    Damaged,
    Done,
    Failed,
    Gone,
    Guest,
    Held,
    Kept,
    NotNow,
    Offlined,
    Outcome,
    Refused,
    Returned,
    Seen,
    Spared,
    TryAgain,
)
from agent.retirement.reason import Reason

DEAD = frozenset({DomainState.CRASHED, DomainState.DYING})
MARKED = frozenset({PageStatus.OFFLINE_PENDING, PageStatus.OFFLINED})

# What may pass by itself, though the hypervisor refused it.
PASSING = frozenset({Refusal.DOM0, Refusal.BROKEN})


def to_offline(page: PageReply, guest: Guest = UNLISTED) -> Outcome:
    """The answer to "take this page"."""
    match page.status:
        case PageStatus.OFFLINED:
            return Offlined(page.use)
        case PageStatus.OFFLINE_PENDING:
            return _held(page, guest)
        case PageStatus.FAILED:
            return _refused(page.refusal)
        case PageStatus.ONLINE:
            return Failed(detail="the hypervisor answered online to a request to offline")


def to_query(page: PageReply, guest: Guest = UNLISTED) -> Outcome:
    """The answer to "where does this page stand?"."""
    match page.status:
        case PageStatus.OFFLINED:
            return Offlined()
        case PageStatus.OFFLINE_PENDING:
            return _held(page, guest)
        case PageStatus.ONLINE:
            return BackOnline()
        case PageStatus.FAILED:
            return _refused(page.refusal)


def is_pending(page: PageReply) -> bool:
    """True if the page leaves once its owner lets go of it."""
    return page.status is PageStatus.OFFLINE_PENDING


def is_marked(page: PageReply) -> bool:
    """True if the page is out of use, or to be, because somebody asked for it."""
    return page.status in MARKED and not page.is_broken


def is_back(page: PageReply) -> bool:
    """True if the page is in use, and nobody has asked for it."""
    return page.status is PageStatus.ONLINE and not page.is_broken


def to_broken(page: PageReply) -> Outcome:
    """A page that had an uncorrected error is taken as it is found, and asked nothing more."""
    return Offlined() if page.status is PageStatus.OFFLINED else NotNow(Reason.BROKEN)


def to_recall(page: PageReply) -> Outcome | None:
    """What a look at a page to be brought back comes to; None: it may be asked for."""
    if page.is_broken:
        return Kept(Reason.BROKEN) if page.status is PageStatus.OFFLINED else NotNow(Reason.BROKEN)
    return Returned() if page.status is PageStatus.ONLINE else None


def to_seen(page: PageReply, guest: Guest = UNLISTED) -> Outcome:
    """What a look at a page comes to that is not to be asked for."""
    return Seen(_held(page, guest))


def to_online(page: PageReply) -> Outcome:
    """The answer to "bring this page back"."""
    if page.status is PageStatus.ONLINE:
        return Returned()
    if page.refusal is Refusal.CANNOT_RETURN:
        return Kept(Reason.CANNOT_RETURN)
    if page.refusal is not None:
        return _refused(page.refusal)
    return Failed(detail=f"asked to bring it back, the hypervisor answered {page.status}")


def to_wait(page: PageReply, guest: Guest = UNLISTED) -> Outcome:
    """The answer to "does anybody else still map this page?"."""
    if is_pending(page) and page.mappers:
        return TryAgain(Reason.MAPPED_ELSEWHERE)
    return to_query(page, guest)


def to_watch(page: PageReply, domains: DomainsReply, migrate_to: str) -> Outcome | None:
    """The answer to "where does this parked page stand?"; None: it is not marked."""
    if page.is_broken:
        return to_broken(page)
    if page.status is PageStatus.ONLINE:
        return None
    owner = None if page.owner is None else DomId(page.owner)
    return to_query(page, to_guest(domains, owner, migrate_to))


def to_swap(page: PageReply) -> Outcome:
    """The answer to "give the guest another frame for this page"."""
    if page.status is PageStatus.OFFLINED:
        return Offlined()
    if page.refusal is Refusal.NO_FREE_MEMORY:
        return NotNow(Reason.NO_FREE_MEMORY)  # nor would any other way of this host find room
    if page.refusal is not None:
        return _refused(page.refusal)
    return Failed(detail=f"after the swap the page is {page.status}")


def to_command(reply: ToolReply) -> Outcome:
    """The answer to a command about a guest."""
    match reply.outcome:
        case ToolOutcome.DONE:
            return Done(reply.pause_seconds)
        case ToolOutcome.REFUSED:
            return Refused(detail=reply.reason)
        case ToolOutcome.FAILED:
            return Failed(detail=reply.reason)
        case ToolOutcome.TRY_AGAIN:
            return TryAgain(detail=reply.reason)
        case ToolOutcome.GUEST_MAY_BE_DAMAGED:
            return Damaged(reply.reason)
        case ToolOutcome.NO_SUCH_DOMAIN:
            return Gone(reply.reason)


def to_exchange(reply: ToolReply, mfns: Sequence[Mfn]) -> tuple[Outcome, ...]:
    """The answer to an exchange, page by page: what stood in the way, and what was spared."""
    outcome = to_command(reply)
    blamed = set(reply.blamed) & set(mfns)
    if not blamed or isinstance(outcome, Done | Damaged | Gone):
        return (outcome,) * len(mfns)
    return tuple(outcome if mfn in blamed else Spared() for mfn in mfns)


def to_detach(reply: ToolReply) -> Outcome:
    """The answer to "give up this device": whatever is no yes is told as what it was about."""
    outcome = to_command(reply)
    if isinstance(outcome, Refused | Failed):
        return Refused(Reason.DETACH_REFUSED, outcome.detail)
    return outcome


def to_guest(reply: DomainsReply, owner: DomId | None, migrate_to: str) -> Guest:
    """What the toolstack's list says of the domain that holds a page."""
    info = next((info for info in reply.domains if info.domid == owner), None)
    if info is None:
        return UNLISTED
    return Guest(
        info.name,
        info.state not in DEAD,
        tuple(sorted(info.devices)),
        _room_at(migrate_to, reply) >= max(info.pages, 1),
        reply.free_pages > 0,
        info.pages,
    )


def stopped(reply: DomainsReply) -> tuple[DomainInfo, ...]:
    return tuple(info for info in reply.domains if info.state is DomainState.SUSPENDED)


def domid_of(reply: DomainsReply, name: str) -> DomId | None:
    """Where the guest of that name lives now."""
    found = (info.domid for info in reply.domains if info.name == name and info.state not in DEAD)
    return next(map(DomId, found), None)


def _room_at(place: str, reply: DomainsReply) -> int:
    """Free pages there; none at a place that nobody knows."""
    if place == HERE:
        return reply.free_pages
    return next((peer.free_pages for peer in reply.peers if peer.name == place), 0)


def _held(page: PageReply, guest: Guest) -> Held:
    owner = None if page.owner is None else DomId(page.owner)
    return Held(page.use, owner, tuple(map(DomId, sorted(page.mappers))), guest)


def _refused(refusal: Refusal | None) -> Outcome:
    if refusal is None:
        return Refused()
    if refusal is Refusal.PEER_FAILED:
        return Spared()
    if refusal is Refusal.NO_FREE_MEMORY:
        return TryAgain(Reason.NO_FREE_MEMORY)
    reason = Reason(refusal)
    return NotNow(reason) if refusal in PASSING else Refused(reason)
