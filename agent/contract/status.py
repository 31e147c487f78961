"""What the running agent tells of itself, over its own Unix socket: `status`, `cases`, `case`."""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field

from agent.contract.ereport import Wire
from agent.contract.hypercall import DomIdField, MfnField


class View(StrEnum):
    """The paths of the agent's socket. One case is at `/v1/cases/<id>`, a request likewise."""

    STATUS = "/v1/status"
    CASES = "/v1/cases"
    REQUESTS = "/v1/requests"


class Rest(StrEnum):
    """The words for where a case is, for those who do not care about the rung."""

    OPEN = "open"
    RETIRED = "retired"
    PARKED = "parked"
    UNRETIRABLE = "unretirable"
    RETURNED = "returned"
    OBSERVED = "observed"


class CaseStep(Wire):
    """One line of a case's history."""

    at: float
    state: str
    detail: str = ""


class CaseView(Wire):
    """One case. Times are seconds since 1970 UTC; `state` is a name of the case machine.

    `reason` is for people, `reason_word` for programs: a word of `retirement.reason.Reason`.
    `origin` is who wants the page out of use: its errors (`verdict`), an `operator`, or somebody
    else, whose mark was `found` on it.
    """

    id: str
    mfn: MfnField
    state: str
    rest: Annotated[Rest, Field(strict=False)]
    use: str | None = None
    owner: DomIdField | None = None
    rung: str | None = None
    reason: str = ""
    reason_word: str | None = None
    dimm: str | None = None
    rank_of_dimm: int | None = None
    origin: str = "verdict"
    opened_at: float
    moved_at: float
    history: Annotated[tuple[CaseStep, ...], Field(strict=False)] = ()


class CasesView(Wire):
    cases: Annotated[tuple[CaseView, ...], Field(strict=False)]


class HotPage(Wire):
    """A page that had errors: `errors` of the `threshold` that would open a case."""

    mfn: MfnField
    errors: int
    threshold: int


class HotPlace(Wire):
    """A row of a DIMM, or without `row` a bank of it, that had errors: `errors` of the `threshold`
    at which it is failing.
    """

    dimm: str
    rank: int
    bank: int
    row: int | None = None
    errors: int
    threshold: int


class PausesView(Wire):
    """How long guests stood still because of us, in seconds."""

    count: int = 0
    p50: float = 0.0
    max: float = 0.0


class WornDimm(Wire):
    """A DIMM to replace, and which of its ranks have lost as many pages as may be; none of them if
    nobody knows.
    """

    dimm: str
    ranks: Annotated[tuple[int, ...], Field(strict=False)] = ()


class StatusView(Wire):
    """The agent at a glance.

    `ereports`, `errors` and cases count since the journal began; duplicates, refused messages, what
    was recovered or lost and the pauses since this process did. `missing` is what has not arrived
    yet and is not given up; `recovered` is what arrived after it had been missed.
    """

    host: str
    version: str
    healthy: bool
    ailments: Annotated[tuple[str, ...], Field(strict=False)] = ()
    boot_id: Annotated[UUID, Field(strict=False)] | None = None
    applied_next_seq: int = 0
    ereports: int = 0
    errors: int = 0
    duplicates: int = 0
    refused_messages: int = 0
    missing: int = 0
    recovered: int = 0
    lost: int = 0
    pages_tracked: int = 0
    hot_pages: Annotated[tuple[HotPage, ...], Field(strict=False)] = ()
    hot_rows: Annotated[tuple[HotPlace, ...], Field(strict=False)] = ()
    hot_banks: Annotated[tuple[HotPlace, ...], Field(strict=False)] = ()
    cases: dict[str, int] = Field(default_factory=dict)
    guest_pauses_seconds: PausesView = PausesView()
    replace_dimms: Annotated[tuple[WornDimm, ...], Field(strict=False)] = ()
