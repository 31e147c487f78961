"""A scenario: which guests there are, what breaks when, and what should have come of it.

Scenarios are TOML files, those of the repository in `config/scenarios/`; an installed package has
them beside this file, in `scenarios/`. A path to any other file does as well. `[expect]` is what a
good agent makes of it, in the words of its own status: so many cases retired, parked, unretirable.
"""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from agent.contract.toolstack import HERE, GuestKind, Paging
from emulator.errors import EmulatorError
from emulator.hardware import ClockStep, MemoryFault, ReportingSettings
from emulator.machine.banks import Uncorrected
from emulator.mischief import RULES_MAX, Rule
from emulator.sizes import Size
from emulator.spans import Span
from emulator.timeline import EVENTS_MAX, Event
from emulator.toml import Settings, checked, read_table
from emulator.xen.layout import repeated

GUESTS_MAX = 64
ERRORS_PER_SECOND_MAX = 100_000.0
PAGES_PER_FAULT_MAX = 4096

_PACKAGE = Path(__file__).parent
_FOLDERS = (_PACKAGE / "scenarios", _PACKAGE.parent / "config" / "scenarios")


class On(StrEnum):
    """What kind of page a fault is put on.

    Of most there is a scenario. Not of those that only real Xen has, because the agent asks nothing
    of such a host; nor of pages that are dying or were broken before: these are for experiments.
    """

    FREE = "free"
    HVM = "hvm"  # plain memory of an HVM or PVH guest that has no device
    PV = "pv"  # plain memory of a PV guest that has no device
    PAGE_TABLE = "page_table"  # of a PV guest
    SUPERPAGE = "superpage"  # memory of an HVM guest that one EPT entry of 2 MiB leads to
    MAPPED = "mapped"  # a guest's, and mapped by another domain: rings, and see [[mappings]]
    DEVICE = "device"  # memory of a guest that has a device
    ON_DEMAND = "on_demand"  # waits to be populated
    SHADOW = "shadow"  # of a guest's paging pool
    HVM_STATE = "hvm_state"  # a vlapic's and its like
    SHARED = "shared"  # by memory sharing
    SHARED_INFO = "shared_info"  # Xen's heap, shared with a guest
    DYING = "dying"  # its guest is gone, and others still map it
    BROKEN = "broken"  # a running guest's, and had an uncorrected error before anybody listened
    DOM0 = "dom0"
    XEN_HEAP = "xen_heap"
    XEN_IMAGE = "xen_image"  # this and the rest: only on a host whose personality is xen-4.17
    M2P = "m2p"
    LOW = "low"
    ANONYMOUS = "anonymous"

    @property
    def needs_xen(self) -> bool:
        """True if only real Xen has such pages."""
        return self in {On.XEN_IMAGE, On.M2P, On.LOW, On.ANONYMOUS}


PresetName = Literal["ddr3", "ddr4", "ddr5"]
AgentValue = str | bool | int | float | tuple[str, ...]
GuestName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class GuestSettings(Settings):
    """A guest. `populate_on_demand` and `shared_memory` are parts of its `memory`.

    `keeps_devices`: it refuses to let go of them.
    """

    name: GuestName
    kind: GuestKind
    memory: Size = 64 << 20
    paging: Literal[Paging.HAP, Paging.SHADOW] = Paging.HAP
    populate_on_demand: Size | None = None
    shared_memory: Size | None = None
    rings: Annotated[int, Field(ge=0, le=64)] = 0
    devices: Annotated[tuple[GuestName, ...], Field(max_length=8)] = ()
    keeps_devices: bool = False

    @model_validator(mode="after")
    def _has_what_its_kind_has(self) -> Self:
        translated = (self.paging is Paging.SHADOW, self.populate_on_demand, self.shared_memory)
        if self.kind is GuestKind.PV and any(translated):
            raise ValueError(
                "a PV guest has no paging, populate_on_demand or shared_memory; leave these out"
            )
        return self


def _guests_apart(guests: tuple[GuestSettings, ...]) -> tuple[GuestSettings, ...]:
    if twice := repeated(guest.name for guest in guests):
        raise ValueError(f"two guests are called {twice[0]}; each needs a name of its own")
    if twice := repeated(device for guest in guests for device in guest.devices):
        raise ValueError(f"device {twice[0]} is named twice, and can be in one place only")
    return guests


Guests = Annotated[
    tuple[GuestSettings, ...], Field(max_length=GUESTS_MAX), AfterValidator(_guests_apart)
]


class MappingSettings(Settings):
    """Dom0, or the guest that it is `by`, maps `pages` of a guest's plain pages, from `at_seconds`
    on, for `seconds`; without them, until either is gone. If it `outlives_guest`, it does not let
    go when that guest is gone.
    """

    guest: GuestName
    by: GuestName | None = None
    pages: Annotated[int, Field(gt=0, le=1024)] = 1
    at_seconds: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    seconds: Annotated[float, Field(gt=0, le=86_400)] | None = None
    outlives_guest: bool = False

    @model_validator(mode="after")
    def _is_of_another_guest(self) -> Self:
        if self.by == self.guest:
            raise ValueError(f"by: guest {self.by} maps its own pages anyway; name another one")
        return self


class FaultSettings(Settings):
    """Cells that go bad: on `pages` pages of a kind, the first at `at_seconds`, then one each
    `every_seconds`. Each makes `errors_per_second` on average, and at most `errors_max` in all.

    What is `uncorrected` is one error a page, of that `severity`: Xen sees to it, at once.
    """

    on: On
    at_seconds: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    errors_per_second: Annotated[float, Field(gt=0, le=ERRORS_PER_SECOND_MAX)] = 2.0
    errors_max: Annotated[int, Field(gt=0)] | None = None
    pages: Annotated[int, Field(gt=0, le=PAGES_PER_FAULT_MAX)] = 1
    every_seconds: Annotated[float, Field(ge=0, le=3600)] = 0.0
    uncorrected: bool = False
    severity: Uncorrected = Uncorrected.SRAO

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        foreign = {"errors_per_second", "errors_max"} if self.uncorrected else {"severity"}
        if wrong := sorted(foreign & self.model_fields_set):
            which = "an uncorrected" if self.uncorrected else "a corrected"
            raise ValueError(f"{', '.join(wrong)}: not said of {which} error; leave it out")
        return self

    def starts(self) -> Iterator[float]:
        """When each of its pages goes bad, in seconds since the world began."""
        return (self.at_seconds + page * self.every_seconds for page in range(self.pages))


def _not_here(name: str) -> str:
    if name == HERE:
        raise ValueError(f"{HERE} is this host itself; call the peer otherwise")
    return name


class PeerSettings(Settings):
    """Another host, which takes guests from here."""

    name: Annotated[GuestName, AfterValidator(_not_here)]
    memory: Size


def _names_apart(peers: tuple[PeerSettings, ...]) -> tuple[PeerSettings, ...]:
    if twice := repeated(peer.name for peer in peers):
        raise ValueError(f"two peers are called {twice[0]}; each needs a name of its own")
    return peers


Peers = Annotated[tuple[PeerSettings, ...], AfterValidator(_names_apart)]


class Expect(Settings):
    """What a good agent makes of it; `corruptions` is true where a guest must come to harm.

    Not its doing: pages that are `broken` are marked by Xen itself, and `crashed` guests are ended
    by the hardware, or by mischief. `pauses` is how often guests stand still; None: that is not the
    point.
    """

    retired: Annotated[int, Field(ge=0)] = 0
    parked: Annotated[int, Field(ge=0)] = 0
    unretirable: Annotated[int, Field(ge=0)] = 0
    broken: Annotated[int, Field(ge=0)] = 0
    crashed: tuple[GuestName, ...] = ()
    pauses: Annotated[int, Field(ge=0)] | None = None
    corruptions: bool = False

    @property
    def pages(self) -> int:
        """Of how many pages it says what becomes of them."""
        return self.retired + self.parked + self.unretirable + self.broken


class Scenario(Settings):
    """`title` is a sentence that says what should happen. No guests here: those of the config.

    `memory_faults` are those of the hardware; with `wear` there are others too, so many times as
    many as the `preset` has. A scenario with a `span` is one of simulated days: it is fed, and not
    played by the demo.

    `agent` are keys of the agent's configuration that this is about, table by table. `mischief` is
    armed from the start; what happens when it does is told in `emulator.mischief`.
    """

    title: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    guests: Guests = ()
    faults: tuple[FaultSettings, ...] = ()
    memory_faults: tuple[MemoryFault, ...] = ()
    preset: PresetName = "ddr5"
    span: Span | None = None
    wear: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    reporting: ReportingSettings | None = None
    clock_steps: Annotated[tuple[ClockStep, ...], Field(max_length=64)] = ()
    timeline: Annotated[tuple[Event, ...], Field(max_length=EVENTS_MAX)] = ()
    mappings: tuple[MappingSettings, ...] = ()
    peers: Peers = ()
    agent: dict[str, dict[str, AgentValue]] = Field(default_factory=dict)
    mischief: Annotated[tuple[Rule, ...], Field(max_length=RULES_MAX)] = ()
    expect: Expect = Expect()

    @property
    def is_live(self) -> bool:
        """True if it is of seconds, and a host can live through it."""
        return self.span is None

    @model_validator(mode="after")
    def _lasts_as_long_as_it_must(self) -> Self:
        if self.wear and self.span is None:
            raise ValueError("wear: memory wears out within a span; say which, as in span = `30 d`")
        return self

    @model_validator(mode="after")
    def _expects_no_more_than_it_breaks(self) -> Self:
        broken = sum(fault.pages for fault in self.faults)
        is_open = self.memory_faults or any(event.operator for event in self.timeline)
        if self.expect.pages > broken and not is_open:
            raise ValueError(f"[expect] names more pages than [[faults]] break ({broken})")
        return self


def names() -> list[str]:
    """The scenarios that come with the emulator."""
    return sorted(_files())


def load(name: str) -> Scenario:
    """The scenario `name`, or the one in the file `name` if that ends in `.toml`."""
    if name.endswith(".toml"):
        return checked(Scenario, read_table(Path(name)), name)
    path = _files().get(name)
    if path is None:
        raise EmulatorError(
            f"scenario: there is no {name!r}; there are: {', '.join(names())}, or a path to a .toml"
        )
    return checked(Scenario, read_table(path), path.name)


def load_live(name: str) -> Scenario:
    """The same, of those that a host can live through."""
    found = load(name)
    if not found.is_live:
        raise EmulatorError(
            f"scenario: {name} is of simulated days; `pagewarden feed --scenario {name}` plays it"
        )
    return found


def _files() -> dict[str, Path]:
    """The scenarios by name: of the first folder that has any."""
    for folder in _FOLDERS:
        if found := {file.stem: file for file in folder.glob("*.toml")}:
            return found
    return {}
