"""What the toolstack answers, in few words."""

from agent.contract.toolstack import ToolOutcome, ToolReply


def done(domid: int | None = None) -> ToolReply:
    return ToolReply(outcome=ToolOutcome.DONE, domid=domid)


def reply(outcome: ToolOutcome, reason: str) -> ToolReply:
    return ToolReply(outcome=outcome, reason=reason)


def refused(reason: str) -> ToolReply:
    return reply(ToolOutcome.REFUSED, reason)


def not_now(reason: str) -> ToolReply:
    return reply(ToolOutcome.TRY_AGAIN, reason)


def no_domain(domid: int) -> ToolReply:
    return reply(ToolOutcome.NO_SUCH_DOMAIN, f"there is no domain {domid}")


def troubled(outcome: ToolOutcome, call: str) -> ToolReply:
    return reply(outcome, f"{call}: trouble was asked for")
