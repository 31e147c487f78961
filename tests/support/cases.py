"""Cases and answers for the tests of retirement."""

from dataclasses import replace
from uuid import UUID

from agent.contract.frames import Mfn
from agent.contract.hypercall import PageReply, PageStatus, PageUse
from agent.retirement.case import Case
from agent.retirement.states import State

BOOT = UUID(int=1)
MFN = Mfn(0x1234)


def a_case(state: State = State.OPEN, **changes: object) -> Case:
    """A case of page 0x1234, as it is in `state`."""
    case = Case("c1", MFN, 1, 1, state=state, verdict="2 errors in 24 h", boot=str(BOOT))
    return replace(case, **changes)  # type: ignore[arg-type] # names of fields, checked at run time


def page(
    mfn: Mfn, status: PageStatus, use: PageUse = PageUse.FREE, owner: int | None = None
) -> PageReply:
    return PageReply(mfn=mfn, status=status, use=use, owner=owner)
