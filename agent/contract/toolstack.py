"""What one may ask of the toolstack about guests, and the ways it can fail.

Refused (nothing was done, and asking again will not help), failed (it was tried, and everything is
where it was), try again (not now), guest may be damaged (nobody knows where everything is), and no
such domain (overtaken by events): five, because each needs another answer.

Every call may be made twice. Suspending a suspended domain, exchanging a page that is exchanged,
restoring an image that is restored: all answer `done`.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from agent.contract.ereport import Wire
from agent.contract.hypercall import PAGES_MAX, DomIdField, MfnField


class ToolCall(StrEnum):
    """The paths of the toolstack socket."""

    DOMAINS = "/v1/domains"
    SUSPEND = "/v1/suspend"
    EXCHANGE = "/v1/exchange"
    RESUME = "/v1/resume"
    SAVE = "/v1/save"
    RESTORE = "/v1/restore"


class ResumePath(StrEnum):
    """`SLOW` makes the guest re-read its p2m; `FAST` lets it go on as if nothing had moved."""

    SLOW = "slow"
    FAST = "fast"


class GuestKind(StrEnum):
    HVM = "hvm"
    PV = "pv"


class DomainState(StrEnum):
    RUNNING = "running"
    SUSPENDED = "suspended"


class ToolOutcome(StrEnum):
    DONE = "done"
    REFUSED = "refused"
    FAILED = "failed"
    TRY_AGAIN = "try_again"
    GUEST_MAY_BE_DAMAGED = "guest_may_be_damaged"
    NO_SUCH_DOMAIN = "no_such_domain"  # nor such an image


class SuspendRequest(Wire):
    domid: DomIdField


class ExchangeRequest(Wire):
    """Give a suspended domain fresh frames for these, content and all."""

    domid: DomIdField
    mfns: Annotated[tuple[MfnField, ...], Field(min_length=1, max_length=PAGES_MAX, strict=False)]


class ResumeRequest(Wire):
    domid: DomIdField
    path: Annotated[ResumePath, Field(strict=False)] = ResumePath.SLOW


class SaveRequest(Wire):
    """Write the domain to disk under the name `image` and destroy it: its pages become free."""

    domid: DomIdField
    image: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class RestoreRequest(Wire):
    """Make a domain from `image`; its id is a new one."""

    image: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class ToolReply(Wire):
    """`pause_seconds` is how long the guest stood still; only what ends a pause reports it."""

    outcome: Annotated[ToolOutcome, Field(strict=False)]
    reason: str = ""
    domid: DomIdField | None = None
    pause_seconds: Annotated[float, Field(ge=0)] | None = None


class DomainInfo(Wire):
    domid: DomIdField
    name: str
    kind: Annotated[GuestKind, Field(strict=False)]
    state: Annotated[DomainState, Field(strict=False)]
    pages: Annotated[int, Field(ge=0)]


class DomainsReply(Wire):
    domains: Annotated[tuple[DomainInfo, ...], Field(strict=False)]
    images: Annotated[tuple[str, ...], Field(strict=False)] = ()
