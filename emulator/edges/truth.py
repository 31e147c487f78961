"""What the control socket tells: not what the agent could know, but what is so."""

from enum import StrEnum
from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agent.contract.hypercall import DomIdField, MfnField, PageUse
from agent.contract.toolstack import DomainInfo, DomainState, GuestKind, NameField
from emulator.mischief import Rule
from emulator.scenario import (
    ERRORS_PER_SECOND_MAX,
    PAGES_PER_FAULT_MAX,
    Expect,
    FaultSettings,
    On,
)


class ControlCall(StrEnum):
    """The paths of the control socket. `TRUTH` is a GET, `MISCHIEF` one too, the rest are POSTs."""

    TRUTH = "/v1/truth"
    PAGES = "/v1/pages"
    FAULTS = "/v1/faults"
    MISCHIEF = "/v1/mischief"  # GET: the rules; POST: one more
    MISCHIEF_CLEAR = "/v1/mischief/clear"
    HOST = "/v1/host"
    DOMAIN = "/v1/domain"
    QUIESCE = "/v1/quiesce"


class HostState(StrEnum):
    """`HUNG`: it answers nobody until it is rebooted. `REBOOTING`: it drops its callers."""

    UP = "up"
    HUNG = "hung"
    REBOOTING = "rebooting"


class Told(BaseModel):
    """Base of all that crosses the control socket."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Ready(Told):
    """The emulator's first line on stdout: its sockets listen."""

    ready: bool = True
    host: str
    boot_id: UUID
    sockets: str


class FrameTruth(Told):
    """`state` is free, in_use, offlining or offlined, and absent beyond the host's memory. It
    `is_broken` if it had an uncorrected error: then Xen itself has marked it. It `is_wiped` if it
    holds nothing but zeros: a page that was brought online with what its last owner left is not.
    """

    mfn: MfnField
    state: str
    use: PageUse
    owner: DomIdField | None = None
    is_broken: bool = False
    is_wiped: bool = False


class FramesTruth(Told):
    pages: tuple[FrameTruth, ...]


class CountsTruth(Told):
    """Frames by state; together they are all the host has."""

    free: int
    in_use: int
    offlining: int
    offlined: int


class GuestTruth(Told):
    """`corruptions` is how often it read what it had not written, `faults` how often it was not let
    at its own memory; `wrong_pages` how many pages would read wrong now, known once the world is
    quiet.
    """

    name: str
    kind: GuestKind
    domid: DomIdField
    state: DomainState
    reads: int
    writes: int
    corruptions: int
    faults: int = 0
    wrong_pages: int | None = None

    @property
    def harm(self) -> int:
        return self.corruptions + self.faults + (self.wrong_pages or 0)


class AwayTruth(Told):
    """A guest that was migrated to a peer; `harm` is what it came to while it was here."""

    name: str
    peer: str
    harm: int


class Tally(Told):
    """So many ereports, and the errors that they tell of."""

    ereports: int = 0
    errors: int = 0

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(ereports=self.ereports + other.ereports, errors=self.errors + other.errors)

    def __sub__(self, other: "Tally") -> "Tally":
        return Tally(ereports=self.ereports - other.ereports, errors=self.errors - other.errors)


class PastTruth(Told):
    """The earlier boots of this host together.

    `made` is what they reported in all. Of it, `unsent` never left the host and is lost with it;
    `unheard` did leave, but nobody had said yet that it was applied: it may have arrived, or not.
    `ended` says how the last one ended.
    """

    boots: int = 0
    made: Tally = Tally()
    unsent: Tally = Tally()
    unheard: Tally = Tally()
    corruptions: int = 0
    ended: str = ""

    def __add__(self, later: "PastTruth") -> "PastTruth":
        return PastTruth(
            boots=self.boots + later.boots,
            made=self.made + later.made,
            unsent=self.unsent + later.unsent,
            unheard=self.unheard + later.unheard,
            corruptions=self.corruptions + later.corruptions,
            ended=later.ended,
        )


class RuleTruth(Told):
    """A rule of mischief that is still armed, and how often it has happened."""

    number: int
    rule: Rule
    happened: int


class RulesTruth(Told):
    rules: tuple[RuleTruth, ...]


class Truth(Told):
    """The world at a glance. `errors` were logged in the bank, `ereports` tell of them.

    What is counted is of this boot, apart from the `past`. While the host is rebooting, the boot
    that has just ended is told of.

    `source_done`: nothing more will be reported unless somebody breaks more. `outbox` counts the
    messages that nobody applied yet, `unpublished` those of them that wait for the broker.

    `broken` frames had an uncorrected error. `unscrubbed` is how many pages each NUMA node counts
    as yet to be wiped: as long as that is not 0, one of its CPUs never halts.
    """

    host: str
    boot_id: UUID
    state: HostState = HostState.UP
    past: PastTruth = PastTruth()
    mischief: tuple[RuleTruth, ...] = ()
    title: str
    expect: Expect
    seconds: float
    ereports: int
    errors: int
    next_seq: int
    frames: CountsTruth
    marked: tuple[FrameTruth, ...]
    broken: tuple[MfnField, ...] = ()
    unscrubbed: tuple[int, ...] = ()
    domains: tuple[DomainInfo, ...]
    images: tuple[str, ...]
    guests: tuple[GuestTruth, ...]
    away: tuple[AwayTruth, ...] = ()
    source_done: bool
    is_quiet: bool
    broker_connected: bool
    outbox: int
    unpublished: int


class FaultRequest(Told):
    """A fault at an `address`, or `on` some `pages` of a kind that chance draws."""

    address: Annotated[int, Field(ge=0)] | None = None
    on: On | None = None
    errors_per_second: Annotated[float, Field(gt=0, le=ERRORS_PER_SECOND_MAX)] = 2.0
    errors_max: Annotated[int, Field(gt=0)] | None = None
    pages: Annotated[int, Field(gt=0, le=PAGES_PER_FAULT_MAX)] = 1

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.address is None) == (self.on is None):
            raise ValueError("name an address, or what it is on: one of the two")
        if self.address is not None and self.pages > 1:
            raise ValueError("one address is on one page")
        return self

    def settings(self, on: On) -> FaultSettings:
        return FaultSettings(
            on=on,
            errors_per_second=self.errors_per_second,
            errors_max=self.errors_max,
            pages=self.pages,
        )


class ClearRequest(Told):
    """Disarm the rule of that number; all of them, if none is named."""

    number: int | None = None


class HostDo(StrEnum):
    CRASH = "crash"
    HANG = "hang"
    REBOOT = "reboot"


class HostRequest(Told):
    """Whoever goes down may come back with another DIMM in one of its slots."""

    do: HostDo
    replace_dimm: str | None = None

    @model_validator(mode="after")
    def _goes_down(self) -> Self:
        if self.replace_dimm is not None and self.do is HostDo.HANG:
            raise ValueError("a host that hangs keeps its DIMMs until it is rebooted")
        return self


class DomainDo(StrEnum):
    CRASH = "crash"


class DomainBreakRequest(Told):
    """Something happens to the domain that has this name now."""

    name: NameField
    do: DomainDo


class Nothing(Told):
    """A body that says nothing; it may be left out."""
