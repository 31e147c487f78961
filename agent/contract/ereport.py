"""One ereport as people and other tools write it: JSON, an object or an array of objects.

    {"host": "hv-1", "boot_id": "3f0c…", "seq": 41, "time_ns": 1704148094000000000,
     "address": 158945787264, "count": 1, "dimm": "CPU0_C4_D0", "rank": 0, "bank": 2, "row": 101410}

An ereport *is* `(host, boot_id, seq)`: the same three again is the same ereport again. An address
that is not known is left out (or null); it is never written as 0, because 0 is a page.
"""

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agent.contract.topics import HostName

BATCH_MAX = 1024  # ereports in one message

Seq = Annotated[int, Field(ge=0, lt=1 << 63)]
Coordinate = Annotated[int, Field(ge=0, lt=1 << 15)]
WideCoordinate = Annotated[int, Field(ge=0, lt=1 << 31)]
Boot = Annotated[UUID, Field(strict=False)]
TimeNs = Annotated[int, Field(ge=0, lt=1 << 63)]
KindName = Literal["ce", "ue"]
Count = Annotated[int, Field(ge=0, lt=1 << 32)]
Address = Annotated[int, Field(ge=0, lt=1 << 64)]
Dimm = Annotated[str, Field(max_length=128)]
Detail = Annotated[str, Field(max_length=4096)]


class Wire(BaseModel):
    """Base of all that crosses a wire: immutable, and nothing in it that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Ereport(Wire):
    """One report of `count` errors at one place.

    Units: `time_ns` is nanoseconds since 1970 UTC on the reporting machine's clock, `address` a
    byte address of the host (a *machine* address under a hypervisor). `count` 0 means "not known".
    """

    host: HostName
    boot_id: Boot
    seq: Seq
    time_ns: TimeNs
    kind: KindName = "ce"
    count: Count = 1
    address: Address | None = None
    dimm: Dimm | None = None
    rank: Coordinate | None = None
    bank: Coordinate | None = None
    row: WideCoordinate | None = None
    column: WideCoordinate | None = None
    detail: Detail | None = None


class Range(Wire):
    """Ereports `first` to `last` of one boot, both included: a request to send them again."""

    boot_id: Annotated[UUID, Field(strict=False)]
    first: Seq
    last: Seq

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last < self.first:
            raise ValueError(f"last must not be below first (got {self.first}..{self.last})")
        return self


class Applied(Wire):
    """The agent has applied, and made durable, every ereport of this boot below `next_seq`."""

    boot_id: Annotated[UUID, Field(strict=False)]
    next_seq: Seq


class Module(Wire):
    """The DIMM in the slot `label`: what its maker calls it. Empty where the host does not know."""

    label: Annotated[str, Field(max_length=128)]
    part: Annotated[str, Field(max_length=128)] = ""
    serial: Annotated[str, Field(max_length=128)] = ""

    @property
    def identity(self) -> str:
        """The same for the same DIMM, in whatever slot; empty without a serial number."""
        return f"{self.part}/{self.serial}" if self.serial else ""


class Inventory(Wire):
    """What memory a host has; retained on the bus for whoever comes later."""

    host: HostName
    boot_id: Annotated[UUID, Field(strict=False)]
    memory_bytes: Annotated[int, Field(gt=0)]
    dimms: tuple[Annotated[str, Field(max_length=128)], ...] = ()
    modules: tuple[Module, ...] = ()
