"""What the running agent tells of itself, over its own Unix socket: `status`, `cases`, `why` …"""

from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field

from agent.contract.ereport import Wire
from agent.contract.hypercall import DomIdField, MfnField, PageStatus, PageUse


class View(StrEnum):
    """The paths of the agent's socket. One case is at `/v1/cases/<id>`, a request likewise, and a
    page at `/v1/pages/<number>`.
    """

    STATUS = "/v1/status"
    TOP = "/v1/top"
    DIMMS = "/v1/dimms"
    PAGES = "/v1/pages"
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


class CapsView(Wire):
    """What may be retired, and how often a guest may be stopped for it. `pages_taken` are those
    that the cap of the host counts.
    """

    pages_taken: int = 0
    pages_max: int = 0
    pages_per_rank_max: int = 0
    pauses_per_guest_and_hour_max: int = 0


class StatusView(Wire):
    """The agent at a glance.

    `ereports`, `errors` and cases count since the journal began; duplicates, refused messages, what
    was recovered or lost since this process did; pauses as far back as their cases tell. `missing`
    is what has not arrived yet and is not given up; `recovered` is what arrived after it had been
    missed. `mode` is `enforce` or `observe`.
    """

    host: str
    version: str
    mode: str = ""
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
    caps: CapsView = CapsView()


class TopView(Wire):
    """What moves: `under_way` are the newest of the `open` cases that are not at rest."""

    at: float
    status: StatusView
    open: int = 0
    under_way: Annotated[tuple[CaseView, ...], Field(strict=False)] = ()


class RankWear(Wire):
    """How many pages of a rank are taken; of the whole DIMM where nobody knows the rank."""

    rank: int | None = None
    pages: int


class DimmView(Wire):
    """A DIMM by its label. `module` is which one it is (part and serial), if the host says so.

    `errors` are those that this process counted. `pages_tracked` is none where the host does not
    say which pages lie there, and `worst` is empty then. `wear` counts what pages that went bad
    take of each rank, of which `pages_per_rank_max` may be.
    """

    dimm: str
    module: str = ""
    errors: int = 0
    pages_tracked: int | None = None
    pages_retired: int = 0
    wear: Annotated[tuple[RankWear, ...], Field(strict=False)] = ()
    pages_per_rank_max: int = 0
    is_worn: bool = False
    worst: Annotated[tuple[HotPage, ...], Field(strict=False)] = ()


class DimmsView(Wire):
    dimms: Annotated[tuple[DimmView, ...], Field(strict=False)] = ()


class Counted(Wire):
    """What the engine of a page counts: `errors` within its window, which ends with the newest.

    `fired`: it had its verdict. `first_at` and `newest_at` are times of errors that are remembered.
    """

    errors: int
    threshold: int
    window_seconds: float
    fired: bool = False
    first_at: float | None = None
    newest_at: float | None = None

    @property
    def missing(self) -> int:
        """So many errors more within the window, and the page is found to be going bad."""
        return 0 if self.fired else max(self.threshold - self.errors, 0)


class HostWord(Wire):
    """What the hypervisor says of a page, and the toolstack of its owner."""

    status: Annotated[PageStatus, Field(strict=False)]
    use: Annotated[PageUse, Field(strict=False)]
    owner: DomIdField | None = None
    guest: str = ""
    devices: Annotated[tuple[str, ...], Field(strict=False)] = ()
    mappers: Annotated[tuple[DomIdField, ...], Field(strict=False)] = ()
    is_broken: bool = False


class WouldDo(Wire):
    """What would be done if the page went bad now: `rungs` in order, none for a page that a call
    takes at once. `obstacle` is the word for why nothing would be done, `text` says it to people.
    """

    rungs: Annotated[tuple[str, ...], Field(strict=False)] = ()
    obstacle: str | None = None
    text: str = ""


class PageView(Wire):
    """All that is known of one page. `host` is none, and `silence` says why, if nobody answered."""

    mfn: MfnField
    dimm: str | None = None
    counted: Counted
    case: CaseView | None = None
    host: HostWord | None = None
    silence: str = ""
    would: WouldDo | None = None
