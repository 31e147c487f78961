"""A scenario: which guests there are, what breaks when, and what should have come of it.

Scenarios are TOML files beside this one, in `scenarios/`, so that an installed package has them
too; a path to any other file does as well. `[expect]` is what a good agent makes of it, in the
words of its own status: so many cases retired, parked, unretirable.
"""

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from agent.contract.toolstack import GuestKind
from emulator.errors import EmulatorError
from emulator.mischief import RULES_MAX, Rule
from emulator.sizes import Size
from emulator.toml import Settings, checked, read_table

ERRORS_PER_SECOND_MAX = 100_000.0
PAGES_PER_FAULT_MAX = 4096

_FOLDER = Path(__file__).parent / "scenarios"


class On(StrEnum):
    """Whose page a fault is put on."""

    FREE = "free"
    HVM = "hvm"
    PV = "pv"
    DOM0 = "dom0"
    XEN_HEAP = "xen_heap"

    @classmethod
    def guests_of(cls, kind: GuestKind) -> "On":
        """Whose pages those of such a guest are: to the hypervisor a PVH guest's are HVM."""
        return cls.PV if kind is GuestKind.PV else cls.HVM


class GuestSettings(Settings):
    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
    kind: GuestKind
    memory: Size = 64 << 20


class FaultSettings(Settings):
    """Cells that go bad: on `pages` pages of a kind, the first at `at_seconds`, then one each
    `every_seconds`. Each makes `errors_per_second` on average, and at most `errors_max` in all.
    """

    on: On
    at_seconds: Annotated[float, Field(ge=0, le=86_400)] = 0.0
    errors_per_second: Annotated[float, Field(gt=0, le=ERRORS_PER_SECOND_MAX)] = 2.0
    errors_max: Annotated[int, Field(gt=0)] | None = None
    pages: Annotated[int, Field(gt=0, le=PAGES_PER_FAULT_MAX)] = 1
    every_seconds: Annotated[float, Field(ge=0, le=3600)] = 0.0

    def starts(self) -> Iterator[float]:
        """When each of its pages goes bad, in seconds since the world began."""
        return (self.at_seconds + page * self.every_seconds for page in range(self.pages))


class Expect(Settings):
    """What a good agent makes of it; `corruptions` is true where a guest must come to harm."""

    retired: Annotated[int, Field(ge=0)] = 0
    parked: Annotated[int, Field(ge=0)] = 0
    unretirable: Annotated[int, Field(ge=0)] = 0
    corruptions: bool = False


class Scenario(Settings):
    """`title` is a sentence that says what should happen. No guests here: those of the config.

    `mischief` is armed from the start; what happens when it does is told in `emulator.mischief`.
    """

    title: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    guests: tuple[GuestSettings, ...] = ()
    faults: tuple[FaultSettings, ...] = ()
    mischief: Annotated[tuple[Rule, ...], Field(max_length=RULES_MAX)] = ()
    expect: Expect = Expect()

    @model_validator(mode="after")
    def _expects_no_more_than_it_breaks(self) -> Self:
        broken = sum(fault.pages for fault in self.faults)
        if self.expect.retired + self.expect.parked + self.expect.unretirable > broken:
            raise ValueError(f"[expect] names more pages than [[faults]] break ({broken})")
        return self


def names() -> list[str]:
    """The scenarios that come with the emulator."""
    return sorted(file.stem for file in _FOLDER.glob("*.toml"))


def load(name: str) -> Scenario:
    """The scenario `name`, or the one in the file `name` if that ends in `.toml`."""
    if name.endswith(".toml"):
        return checked(Scenario, read_table(Path(name)), name)
    if name not in names():
        raise EmulatorError(
            f"scenario: there is no {name!r}; there are: {', '.join(names())}, or a path to a .toml"
        )
    path = _FOLDER / f"{name}.toml"
    return checked(Scenario, read_table(path), path.name)
