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

HERE = "here"  # the host itself, as the target of a migration

NameField = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class ToolCall(StrEnum):
    """The paths of the toolstack socket."""

    DOMAINS = "/v1/domains"
    SUSPEND = "/v1/suspend"
    EXCHANGE = "/v1/exchange"
    RESUME = "/v1/resume"
    SAVE = "/v1/save"
    RESTORE = "/v1/restore"
    MIGRATE = "/v1/migrate"
    DETACH = "/v1/detach"
    ATTACH = "/v1/attach"
    DROP_SHADOWS = "/v1/drop_shadows"
    BALLOON = "/v1/balloon"
    CREATE = "/v1/create"
    DESTROY = "/v1/destroy"
    REBOOT = "/v1/reboot"


class ResumePath(StrEnum):
    """`SLOW` makes the guest re-read its p2m; `FAST` lets it go on as if nothing had moved."""

    SLOW = "slow"
    FAST = "fast"


class GuestKind(StrEnum):
    HVM = "hvm"
    PVH = "pvh"
    PV = "pv"


class Paging(StrEnum):
    """How a guest's addresses become the host's."""

    PV = "pv"  # by its own page tables, which name the host's frames
    HAP = "hap"  # by the hypervisor's EPT, in hardware
    SHADOW = "shadow"  # by shadows that the hypervisor keeps of the guest's page tables


class DomainState(StrEnum):
    """A crashed domain keeps its memory until it is destroyed; a dying one is destroyed, and
    others still map pages of it.
    """

    RUNNING = "running"
    SUSPENDED = "suspended"
    CRASHED = "crashed"
    DYING = "dying"


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
    image: NameField


class RestoreRequest(Wire):
    """Make a domain from `image`; its id is a new one."""

    image: NameField


class MigrateRequest(Wire):
    """Move the domain, running, into a new one `to` this host (`here`) or to a peer's name.

    It needs room for a second copy, and a domain with a device is refused.
    """

    domid: DomIdField
    to: NameField = HERE


class DeviceRequest(Wire):
    """Take the device from the domain, or give it back. The guest may refuse, or say nothing."""

    domid: DomIdField
    device: NameField


class DomainRequest(Wire):
    """For the calls that need nothing but the domain: drop its shadows, destroy it, reboot it."""

    domid: DomIdField


class BalloonRequest(Wire):
    """Ask the guest to give up these of its pages for good; it becomes smaller by them."""

    domid: DomIdField
    mfns: Annotated[tuple[MfnField, ...], Field(min_length=1, max_length=PAGES_MAX, strict=False)]


class CreateRequest(Wire):
    """Make and start a guest that was not there before."""

    name: NameField
    kind: Annotated[GuestKind, Field(strict=False)]
    pages: Annotated[int, Field(gt=0, le=1 << 28)]


class ToolReply(Wire):
    """`pause_seconds` is how long the guest stood still; only what ends a pause reports it.

    `domid` is the domain it is now, which a restore, a migration or a reboot changes; none once it
    has left for a peer. `blamed` are the pages that stood in the way, if only some of them did.
    """

    outcome: Annotated[ToolOutcome, Field(strict=False)]
    reason: str = ""
    domid: DomIdField | None = None
    pause_seconds: Annotated[float, Field(ge=0)] | None = None
    blamed: Annotated[tuple[MfnField, ...], Field(strict=False)] = ()


class DomainInfo(Wire):
    """`devices` are those assigned to it, whose DMA does not stop when the guest does."""

    domid: DomIdField
    name: str
    kind: Annotated[GuestKind, Field(strict=False)]
    state: Annotated[DomainState, Field(strict=False)]
    pages: Annotated[int, Field(ge=0)]
    paging: Annotated[Paging, Field(strict=False)] = Paging.PV
    devices: Annotated[tuple[NameField, ...], Field(strict=False)] = ()


class PeerInfo(Wire):
    """Another host that takes guests, and how many pages it has free."""

    name: NameField
    free_pages: Annotated[int, Field(ge=0)]


class DomainsReply(Wire):
    """Who is there; `images` wait to be restored; `peers` are where guests can be migrated to."""

    domains: Annotated[tuple[DomainInfo, ...], Field(strict=False)]
    images: Annotated[tuple[NameField, ...], Field(strict=False)] = ()
    free_pages: Annotated[int, Field(ge=0)] = 0
    peers: Annotated[tuple[PeerInfo, ...], Field(strict=False)] = ()
