"""One reading of a bank, and what the host that writes it down knows besides.

A `Record` has the registers for formats that carry them, and the place for those whose writer (an
EDAC driver, the firmware) has looked it up. What is not known is None, or 0 in a register.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

SECOND_NS = 10**9
_MCG_TES_P = 1 << 11  # banks have a threshold status


class Layout(StrEnum):
    """Whose registers they are; `FIRMWARE`: nobody's, the firmware keeps them to itself."""

    INTEL = "intel"
    AMD = "amd"
    FIRMWARE = "firmware"


@dataclass(frozen=True, slots=True)
class Place:
    """Where on its DIMM an error is; `bank` counts within its group."""

    rank: int
    bank_group: int
    bank: int
    row: int
    column: int


@dataclass(frozen=True, slots=True)
class Record:
    """`address` is the system's, `bank_address` what the register ADDR holds. `count` 0: unknown.

    `channel` is the socket's, `slot` the channel's. `place` is known where `address` is, and `dimm`
    and `slot` where that or the channel tells them.
    """

    time_ns: int
    kind: Literal["ce", "ue"]
    count: int
    address: int | None
    is_scrub: bool
    is_over: bool
    socket: int
    channel: int
    slot: int | None
    dimm: str | None
    place: Place | None
    status: int = 0
    bank_address: int = 0
    misc: int = 0
    synd: int = 0
    ipid: int = 0

    @property
    def seconds(self) -> int:
        return self.time_ns // SECOND_NS

    @property
    def microseconds(self) -> int:
        """Within the second."""
        return self.time_ns % SECOND_NS // 1000

    @property
    def instant(self) -> datetime:
        """In UTC, to the second."""
        return datetime.fromtimestamp(self.seconds, UTC)

    @property
    def transaction(self) -> str:
        """As EDAC drivers call it."""
        return "memory scrubbing error" if self.is_scrub else "memory read error"


@dataclass(frozen=True, slots=True)
class Machine:
    """What is the same in all records of a host. Its log begins with its boot.

    Banks 13 and up are the memory channels', as on Intel's fourth Xeon generation; that processor
    counts errors and signals them (MCG_CAP: CMCI_P, SER_P).
    """

    host: str
    boot_id: UUID
    boot_ns: int
    layout: Layout
    banks_per_group: int
    has_threshold: bool = False
    cores: int = 56

    @property
    def vendor(self) -> int:
        """In Linux's numbering."""
        return 2 if self.layout is Layout.AMD else 0

    @property
    def cpuid(self) -> int:
        return 0x00A10F11 if self.layout is Layout.AMD else 0x000806F8

    @property
    def mcgcap(self) -> int:
        tes_p = _MCG_TES_P if self.has_threshold else 0
        return 0x120 if self.layout is Layout.AMD else 0x0F000420 | tes_p

    @property
    def microcode(self) -> int:
        return 0x0A101148 if self.layout is Layout.AMD else 0x2B000590

    @property
    def family(self) -> int:
        family = self.cpuid >> 8 & 0xF
        return family + (self.cpuid >> 20 & 0xFF) if family == 0xF else family

    @property
    def model(self) -> int:
        return self.cpuid >> 12 & 0xF0 | self.cpuid >> 4 & 0xF

    @property
    def stepping(self) -> int:
        return self.cpuid & 0xF

    def cpu_of(self, record: Record) -> int:
        """The one that read the bank: the first of its socket."""
        return record.socket * self.cores

    def apicid_of(self, record: Record) -> int:
        return record.socket << 7

    def bank_of(self, record: Record) -> int:
        return 13 + record.channel

    def uptime(self, record: Record) -> str:
        """Seconds since the boot, to the microsecond, as the kernel prints them."""
        micros = max(record.time_ns - self.boot_ns, 0) // 1000
        return f"{micros // 10**6:5}.{micros % 10**6:06}"
