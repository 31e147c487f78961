"""What an answer means: the contract's words become outcomes. Pure, and one function a command."""

from agent.contract.frames import DomId
from agent.contract.hypercall import PageReply, PageStatus, Refusal
from agent.contract.toolstack import ToolOutcome, ToolReply
from agent.retirement.outcome import (
    BackOnline,
    Damaged,
    Done,
    Failed,
    Gone,
    Held,
    NotNow,
    Offlined,
    Outcome,
    Refused,
    TryAgain,
)

NEEDS_MAINTENANCE = "dom0 holds it and must let go of it by itself: the host needs maintenance"


def to_offline(page: PageReply) -> Outcome:
    """The answer to "take this page"."""
    match page.status:
        case PageStatus.OFFLINED:
            return Offlined(page.use)
        case PageStatus.OFFLINE_PENDING:
            return _held(page)
        case PageStatus.FAILED:
            return _refused(page.refusal)
        case PageStatus.ONLINE:
            return Failed("the hypervisor answered online to a request to offline")


def to_query(page: PageReply) -> Outcome:
    """The answer to "where does this page stand?"."""
    match page.status:
        case PageStatus.OFFLINED:
            return Offlined()
        case PageStatus.OFFLINE_PENDING:
            return _held(page)
        case PageStatus.ONLINE:
            return BackOnline()
        case PageStatus.FAILED:
            return Refused(page.refusal or "the hypervisor does not know this page")


def to_swap(page: PageReply) -> Outcome:
    """The answer to "give the guest another frame for this page"."""
    if page.status is PageStatus.OFFLINED:
        return Offlined()
    if page.refusal is Refusal.NO_FREE_MEMORY:
        return TryAgain(page.refusal)
    if page.refusal is not None:
        return Refused(page.refusal)
    return Failed(f"after the swap the page is {page.status}")


def to_command(reply: ToolReply) -> Outcome:
    """The answer to a command about a guest."""
    match reply.outcome:
        case ToolOutcome.DONE:
            return Done(reply.pause_seconds)
        case ToolOutcome.REFUSED:
            return Refused(reply.reason)
        case ToolOutcome.FAILED:
            return Failed(reply.reason)
        case ToolOutcome.TRY_AGAIN:
            return TryAgain(reply.reason)
        case ToolOutcome.GUEST_MAY_BE_DAMAGED:
            return Damaged(reply.reason or "the guest may be damaged")
        case ToolOutcome.NO_SUCH_DOMAIN:
            return Gone(reply.reason or "no such domain")


def _held(page: PageReply) -> Held:
    return Held(page.use, None if page.owner is None else DomId(page.owner))


def _refused(refusal: Refusal | None) -> Outcome:
    if refusal is Refusal.DOM0:
        return NotNow(NEEDS_MAINTENANCE)
    if refusal is Refusal.NO_FREE_MEMORY:
        return TryAgain(refusal)
    return Refused(refusal or "refused without a reason")
