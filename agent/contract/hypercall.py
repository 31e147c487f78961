"""What one may ask of the hypervisor about pages, and what it answers.

The calls are the ones of the 2008 page-offlining design. A call names arbitrary pages, or a range
of them; it is atomic: when it answers `changed = false`, no page changed. Over the wire each call
is one POST of JSON to a Unix socket, at the path in `Call`.

The socket is the privilege. Behind `hypercall.sock` each page's answer names the page's owner.
Behind `hypercall-unprivileged.sock` one may only ask, and is told which domains own the pages of
the call, not which page is whose: such a caller must not learn where a guest's memory lies.

`MARKED` lists what is marked, whoever asked for that: a caller that has lost its memory can find
its pages again, and those of others.

A host whose personality is `xen-4.17` has none of these calls but the one of real Xen, `SYSCTL`:
a range of pages, and 32-bit words in answer. To learn what is marked there is to ask page by page.
"""

from collections.abc import Sequence
from enum import IntEnum, StrEnum
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, ValidationInfo, field_validator, model_validator

from agent.contract.ereport import Module, Wire
from agent.contract.frames import MFN_MAX
from agent.contract.topics import HostName

PAGES_MAX = 1024  # pages in one call

MfnField = Annotated[int, Field(ge=0, le=MFN_MAX)]
DomIdField = Annotated[int, Field(ge=0, lt=1 << 16)]


class Call(StrEnum):
    """The paths of the hypercall socket."""

    HOST = "/v1/host"
    OFFLINE = "/v1/page_offline_pending"
    QUERY = "/v1/page_query"
    ONLINE = "/v1/page_online"
    SWAP = "/v1/p2m_swap"
    MARKED = "/v1/marked"
    SYSCTL = "/v1/sysctl/page_offline"


class PageStatus(StrEnum):
    """Where a page stands. `FAILED` answers a request; it is not a place to be."""

    ONLINE = "online"
    OFFLINE_PENDING = "offline_pending"
    OFFLINED = "offlined"
    FAILED = "offline_fail"


class PageUse(StrEnum):
    """Who uses a page, and as what: this decides how it can be vacated."""

    FREE = "free"
    XEN_HEAP = "xen_heap"
    DOM0 = "dom0"
    HVM = "hvm"  # PVH too: a guest whose memory the hypervisor translates
    PV = "pv"
    PAGE_TABLE = "page_table"  # of a PV guest, any level
    SHADOW = "shadow"  # of the pool that a guest's shadows or its EPT are made of
    HVM_STATE = "hvm_state"  # what the hypervisor keeps of an HVM guest's virtual hardware
    SHARED = "shared"  # by memory sharing: several guests read it, the first to write gets a copy
    UNKNOWN = "unknown"


class Refusal(StrEnum):
    """Why the hypervisor will not do it."""

    OUT_OF_RANGE = "out_of_range"
    XEN_HEAP = "xen_heap"
    DOM0 = "dom0"
    NOT_OWNED_BY_HVM = "not_owned_by_hvm"
    NOT_OFFLINE_PENDING = "not_offline_pending"
    NO_FREE_MEMORY = "no_free_memory"
    MAPPED_ELSEWHERE = "mapped_by_another_domain"
    DEVICE_ASSIGNED = "device_assigned"
    BROKEN = "broken"
    CANNOT_RETURN = "cannot_return"
    PEER_FAILED = "another_page_of_this_call_failed"


class PagesRequest(Wire):
    """Arbitrary pages as `mfns`, or all pages from `first` to `last`, both included; never both."""

    mfns: Annotated[
        tuple[MfnField, ...], Field(min_length=1, max_length=PAGES_MAX, strict=False)
    ] = ()
    first: MfnField | None = None
    last: MfnField | None = None

    @property
    def pages(self) -> Sequence[int]:
        """The pages that are meant, in the order in which they are answered."""
        if self.first is not None and self.last is not None:
            return range(self.first, self.last + 1)
        return self.mfns

    @field_validator("last")
    @classmethod
    def _is_a_range_of_one_call(cls, last: int | None, others: ValidationInfo) -> int | None:
        first = others.data.get("first")
        if first is not None and last is not None and not 0 <= last - first < PAGES_MAX:
            raise ValueError(f"must be {first} (first) to {first + PAGES_MAX - 1}")
        return last

    @model_validator(mode="after")
    def _named_one_way(self) -> Self:
        named = {"mfns": self.mfns or None, "first": self.first, "last": self.last}
        given = tuple(key for key, pages in named.items() if pages is not None)
        if given not in (("mfns",), ("first", "last")):
            raise ValueError(f"give mfns, or first and last: {' and '.join(given) or 'none'} given")
        return self


class PageReply(Wire):
    """One page's answer. `owner` is there when a domain holds the page, or it is there for one.

    `mappers` are the domains beside the owner that map the page, by a grant or as privileged ones
    may; it does not leave before they have let go. `is_broken`: it had an uncorrected error.
    """

    mfn: MfnField
    status: Annotated[PageStatus, Field(strict=False)]
    use: Annotated[PageUse, Field(strict=False)]
    owner: DomIdField | None = None
    refusal: Annotated[Refusal, Field(strict=False)] | None = None
    mappers: Annotated[tuple[DomIdField, ...], Field(strict=False)] = ()
    is_broken: bool = False


class PagesReply(Wire):
    """Answers in the order of the request. `changed` is false when the call was refused whole.

    `owners` are the domains that hold one of these pages, each once, rising. It is all that an
    unprivileged caller learns of them.
    """

    changed: bool
    pages: Annotated[tuple[PageReply, ...], Field(strict=False)]
    owners: Annotated[tuple[DomIdField, ...], Field(strict=False)] = ()


class MarkedRequest(Wire):
    """Which pages are marked, from this one on: pending or offlined, broken ones among them."""

    first: MfnField = 0


class MarkedReply(Wire):
    """Rising by page, and no more of them than one call may name; `more_from` is where to go on,
    none after the last.
    """

    pages: Annotated[tuple[PageReply, ...], Field(max_length=PAGES_MAX, strict=False)] = ()
    more_from: MfnField | None = None


class Interleave(Wire):
    """Where the DIMMs lie: from page 0 on, runs of `pages` pages go round them, in this order."""

    dimms: Annotated[
        tuple[Annotated[str, Field(max_length=128)], ...], Field(min_length=1, strict=False)
    ]
    pages: Annotated[int, Field(ge=1)] = 1

    def dimm_of(self, mfn: int) -> str:
        return self.dimms[mfn // self.pages % len(self.dimms)]


class HostReply(Wire):
    """Which host, since when (`boot_id`), how much memory, and which semantics it answers with.

    `modules` are the DIMMs that its firmware found: others, maybe, than in the boot before.
    `interleave` is there if it says where they lie.
    """

    host: HostName
    boot_id: Annotated[UUID, Field(strict=False)]
    frames: Annotated[int, Field(gt=0)]
    personality: str
    modules: Annotated[tuple[Module, ...], Field(strict=False)] = ()
    interleave: Interleave | None = None

    def dimm_of(self, mfn: int) -> str | None:
        """The label of the DIMM that the page lies on, if the host says so."""
        return None if self.interleave is None else self.interleave.dimm_of(mfn)


class SysctlCommand(IntEnum):
    OFFLINE = 1
    ONLINE = 2
    QUERY = 3


class Errno(StrEnum):
    """Why real Xen's call failed."""

    EPERM = "EPERM"
    EINVAL = "EINVAL"
    ENOMEM = "ENOMEM"


class SysctlRequest(Wire):
    """`XEN_SYSCTL_page_offline_op` on the frames `start` to `end`, both included.

    As wide as the tools' library takes them: what does not fit, or is no command, Xen answers.
    """

    cmd: Annotated[int, Field(ge=0, lt=1 << 32)]
    start: Annotated[int, Field(ge=0, lt=1 << 64)]
    end: Annotated[int, Field(ge=0, lt=1 << 64)]


class SysctlReply(Wire):
    """`ret` is 0 or -1, and `errno` says why. One word a frame, also when it failed half-way;
    none if the caller's buffer was not touched.
    """

    ret: Literal[0, -1]
    errno: Annotated[Errno, Field(strict=False)] | None = None
    words: Annotated[tuple[Annotated[int, Field(ge=0, lt=1 << 32)], ...], Field(strict=False)] = ()
    buffer_touched: bool = False
