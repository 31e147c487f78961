"""What happens in a scenario besides faults: guests come and go, operators ask, trouble begins.

    [[timeline]]          [[timeline]]              [[timeline]]
    at = "3 s"            at = "5 s"                at = "8 s"
    guest = "db-pv"       operator = "offline"      mischief = { call = "save", do = "fail" }
    do = "reboot"         first = 0x4000000
                          last = 0x4000007          [[timeline]]
                                                    at = "9 s"
                                                    host = "reboot"

The host sees to guests, to itself and to mischief. The operator is played by whoever runs the host
together with an agent: `pagewarden demo`.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from agent.contract.requests import Ask, Wish
from agent.contract.toolstack import GuestKind, NameField
from emulator.mischief import Rule
from emulator.sizes import Size
from emulator.spans import Span
from emulator.toml import Settings

EVENTS_MAX = 256


class GuestDo(StrEnum):
    """A guest that is started was not there before; one that is stopped is gone."""

    START = "start"
    STOP = "stop"
    REBOOT = "reboot"


class Event(Settings):
    """One thing that happens `at` a time since the begin, or as soon afterwards as it can.

    `kind` and `memory` are those of a guest that is started. `first` to `last`, `dimm` and `case`
    are what an operator may name, each for its own wish.
    """

    at: Span = 0.0
    guest: NameField | None = None
    do: GuestDo | None = None
    kind: GuestKind = GuestKind.HVM
    memory: Size = 64 << 20
    host: Literal["reboot"] | None = None
    mischief: Rule | None = None
    operator: Wish | None = None
    first: Annotated[int, Field(ge=0)] | None = None
    last: Annotated[int, Field(ge=0)] | None = None
    dimm: str | None = None
    case: str | None = None
    beyond_cap: bool = False

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        things = {name: getattr(self, name) for name in ("guest", "host", "mischief", "operator")}
        if sum(thing is not None for thing in things.values()) != 1:
            raise ValueError(f"an event is one of {', '.join(things)}; say which")
        if (self.guest is None) != (self.do is None):
            raise ValueError("guest and do belong together, as in guest = `a`, do = `reboot`")
        if self.operator is not None:
            self._check_request()
        return self

    def _check_request(self) -> None:
        try:
            self.request("r-0")
        except ValidationError as error:
            why = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
            raise ValueError(f"operator: {why}") from None

    def request(self, request_id: str) -> Ask:
        """What the operator asks of the agent."""
        return Ask(
            id=request_id,
            wish=self.operator or Wish.OFFLINE,
            first=self.first,
            last=self.last,
            dimm=self.dimm,
            case=self.case,
            beyond_cap=self.beyond_cap,
        )


def of_the_host(events: Sequence[Event]) -> list[Event]:
    """Those that the host sees to, in the order of time."""
    return sorted((event for event in events if event.operator is None), key=_when)


def of_the_operator(events: Sequence[Event]) -> list[Event]:
    return sorted((event for event in events if event.operator is not None), key=_when)


def _when(event: Event) -> float:
    return event.at
