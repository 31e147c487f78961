"""How long a call took and what it came to, told to whoever observes: by the contract's words."""

import time
from collections.abc import Awaitable
from typing import TypeVar

from pydantic import BaseModel

from agent.contract.errors import PeerError, Unreachable
from agent.contract.hypercall import PagesReply
from agent.contract.toolstack import ToolOutcome, ToolReply
from agent.events import CallMade, Observer

Answered = TypeVar("Answered", bound=BaseModel)

# What a call came to when there is no `ToolOutcome` to say it.
UNREACHABLE = "unreachable"
NOT_A_CALL = "not_a_call"


async def timed(call: str, asked: Awaitable[Answered], observe: Observer) -> Answered:
    """What `asked` comes to."""
    began = time.perf_counter()
    outcome, reason = UNREACHABLE, ""
    try:
        reply = await asked
        outcome = outcome_of(reply)
    except PeerError as error:
        outcome = UNREACHABLE if isinstance(error, Unreachable) else NOT_A_CALL
        reason = str(error)
        raise
    finally:
        observe(CallMade(call.rpartition("/")[2], outcome, time.perf_counter() - began, reason))
    return reply


def outcome_of(reply: BaseModel) -> str:
    """The word for an answer, in metrics."""
    match reply:
        case ToolReply():
            return reply.outcome
        case PagesReply() if any(page.refusal for page in reply.pages):
            return ToolOutcome.REFUSED
        case _:
            return ToolOutcome.DONE
