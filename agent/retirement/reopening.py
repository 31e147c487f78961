"""The case in the next boot of its host."""

from dataclasses import replace

from agent.retirement.advance import moved_to
from agent.retirement.case import Case
from agent.retirement.reason import Reason
from agent.retirement.states import State


def reopened(case: Case, boot: str, now_ns: int, module: str = "") -> Case:
    """The case after the host rebooted: it has forgotten every mark, and every guest is another.

    What was retired is asked for again; what was known of owners is forgotten with them. Only a
    guest that may have been on disk may be there still: it is restored first. A page that was on
    its way back into use has arrived, and so has one that lies on another DIMM now: `module`. So
    has one that only others had marked: their mark was forgotten, and it is not ours to ask for.
    A case of another DIMM that has such a guest keeps the module that it is about.
    """
    is_replaced = case.is_of_another(module)
    is_dropped = is_replaced and not case.image
    if case.state is State.RETURNING or is_dropped or not case.is_ours:
        why = Reason.HOST_REBOOTED if not case.is_ours else case.reason
        why = Reason.DIMM_REPLACED if is_dropped else why
        closed = replace(case, detached=(), owed=(), unheard_ns=0, reason=why, boot=boot)
        return moved_to(closed, State.RETURNED, now_ns)
    fresh = Case(
        case.id,
        case.mfn,
        case.opened_at_ns,
        now_ns,
        verdict=case.verdict,
        dimm=case.dimm,
        rank=case.rank,
        reason=_why(case, boot, is_replaced=is_replaced),
        boot=boot,
        beyond_cap=case.beyond_cap,
        module=case.module or module,
        origin=case.origin,
    )
    if not case.image:
        return fresh
    return replace(
        fresh,
        state=State.RESTORING,
        image=case.image,
        size=case.size,
        guest=case.guest,
        detached=case.detached,
    )


def _why(case: Case, boot: str, *, is_replaced: bool) -> Reason | None:
    if is_replaced:
        return Reason.DIMM_REPLACED
    return Reason.HOST_REBOOTED if boot != case.boot else None
