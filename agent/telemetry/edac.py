"""EDAC, the memory-error line of Linux, as `edac_mc` prints it:

    EDAC MC1: 128 CE memory read error on CPU_SrcID#1_Chan#1_DIMM#1 (channel:1 slot:1
         └ mc │   │  └ message            └ label                   └ place
              │   └ kind             page:0x2b67afa offset:0xb40 grain:32 syndrome:0x0 - rank:5)
              └ count, 0 if unknown  └ address                                  detail ┘

The message may be empty or hold ` on `, the label may be empty, an uncorrected error has no
syndrome. Coordinates stand in the place or in the detail, decimal or behind `0x`, under the names
that each driver chose. Page 0 and offset 0 together say that the address is not known.

Taken apart by plain searches, not by one large pattern: time stays linear in the line's length.
"""

import re
from dataclasses import dataclass
from typing import Literal

from agent.telemetry.coordinates import coordinates
from agent.telemetry.record import dimm_named

_CONTROLLER = re.compile(r"\bEDAC MC\d*: ", re.ASCII)
_ERROR = re.compile(r"\b[CU]E\b", re.ASCII)
_HEAD = re.compile(r"EDAC MC(\d{1,3}): (\d{1,10}) ([CU]E) ", re.ASCII)
_AGAIN = re.compile(r"EDAC MC\d{1,3}: \d{1,10} [CU]E ", re.ASCII)
_ADDRESS = re.compile(
    r"page:0x(?P<page>[0-9a-f]{1,16}) offset:0x(?P<offset>[0-9a-f]{1,16}) grain:-?\d{1,20}"
    r"(?: syndrome:0x[0-9a-f]{1,16})?(?: - (?P<detail>.*))?\)",
    re.ASCII,
)


# The pages that Linux runs with: 4, 16 and 64 KiB.
PAGE_SHIFTS = (12, 14, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdacError:
    """One EDAC line, as it says. What address `page` and `offset` make depends on the page size."""

    mc: int
    count: int
    kind: Literal["ce", "ue"]
    page: int
    offset: int
    dimm: str | None
    rank: int | None
    bank: int | None
    row: int | None
    column: int | None
    detail: str

    @property
    def is_located(self) -> bool:
        return (self.page, self.offset) != (0, 0)

    def address(self, page_shift: int) -> int | None:
        """The byte's address, or None where the line does not know it."""
        return self.page << page_shift | self.offset if self.is_located else None

    def means(self, address: int) -> bool:
        """True if this is an error at `address`, whatever the size of a page."""
        return any(self.address(shift) == address for shift in PAGE_SHIFTS)

    def page_shift_of(self, address: int) -> int:
        """The size of a page by which this is an error at `address`, as it `means`."""
        return next(shift for shift in PAGE_SHIFTS if self.address(shift) == address)


def is_error(text: str) -> bool:
    """True for whatever looks like an EDAC error line, whole or broken."""
    found = _CONTROLLER.search(text)
    return found is not None and _ERROR.search(text, found.end()) is not None


def parse(text: str) -> EdacError | str:
    """The error in `text`, or why it cannot be read."""
    head = _HEAD.match(text)
    if head is None:
        return "EDAC line in a layout that is not read: expected `EDAC MC<n>: <count> CE|UE …`"
    if _AGAIN.search(text, head.end()):
        return "two EDAC messages are mixed in one line"
    return _parse_rest(head, text[head.end() :].rstrip())


def _parse_rest(head: re.Match[str], rest: str) -> EdacError | str:
    place_at = rest.rfind(" (", 0, max(rest.find("page:0x"), 0))
    address_at = rest.find("page:0x", place_at)
    found = _ADDRESS.fullmatch(rest, address_at) if place_at >= 0 else None
    if found is None:
        return "EDAC line without its place, or cut off: expected `(… page:0x… offset:0x… grain:…)`"
    message, on, label = f" {rest[:place_at]}".rpartition(" on ")
    if not on:
        return "EDAC line that names no DIMM: expected `<message> on <label> (…)`"
    detail = (found["detail"] or "").strip()
    return EdacError(
        mc=int(head[1]),
        count=int(head[2]),
        kind="ue" if head[3] == "UE" else "ce",
        page=int(found["page"], 16),
        offset=int(found["offset"], 16),
        dimm=dimm_named(label),
        **coordinates(f"{rest[place_at + 2 : address_at]} {detail}"),
        detail=f"{message.strip()}: {detail}".strip(": "),
    )
