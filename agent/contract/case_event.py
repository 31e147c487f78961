"""Where a case is, told to whoever listens: one retained message a case, its last state.

    pagewarden/v1/hv-1/cases/c17   {"version": 1, "host": "hv-1", "case": "c17", "state": …}

The last word wins: a listener that comes late hears where each case is, one that stays hears moves
(those that follow each other fast may come as one). A case that is closed is told once more, and
then its retained message is taken off the bus: an empty one.
"""

from typing import Annotated, Literal

from pydantic import Field

from agent.contract.ereport import Wire
from agent.contract.hypercall import DomIdField, MfnField
from agent.contract.status import Rest
from agent.contract.topics import HostName


class CaseEvent(Wire):
    """Times are seconds since 1970 UTC. `reason` is a word for programs, `text` is for people.

    `origin` is who wants the page out of use: `verdict`, `operator`, or `found` (somebody else).
    `boot` is the boot of the host that this is about. A field may be added; what is here stays, for
    as long as `version` is 1.
    """

    version: Literal[1] = 1
    host: HostName
    boot: str
    case: str
    mfn: MfnField
    dimm: str | None = None
    rank_of_dimm: int | None = None
    origin: str = "verdict"
    state: str
    rest: Annotated[Rest, Field(strict=False)]
    use: str | None = None
    owner: DomIdField | None = None
    rung: str | None = None
    reason: str | None = None
    text: str = ""
    opened_at: float
    moved_at: float
