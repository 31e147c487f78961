"""What the kernel says of an error before its EDAC line, or in place of it.

With an EDAC driver one error is written twice: a block of raw machine-check or firmware lines, then
the EDAC line that explains it. The block is company, not a second error. It is worth reading all
the same: it holds the exact time in UTC, and the address in full where the page size is not 4 KiB.

A block that no EDAC line follows is an error that would be lost, so it is refused with its reason.
So is every other form in which memory errors are written and that is not read here.
"""

import re
from dataclasses import dataclass, replace

from agent.telemetry.exact import nanoseconds

# The pages that Linux runs with: 4, 16 and 64 KiB.
PAGE_SHIFTS = (12, 14, 16)

_OPENERS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"EDAC \w+ MC\d+: HANDLING MCE MEMORY ERROR"), "a machine-check block"),
    (re.compile(r"\[Hardware Error\]: +section_type: memory error"), "an APEI/GHES block"),
    (re.compile(r"\[Hardware Error\]: Unified Memory Controller "), "an AMD machine-check block"),
)
_DETAILS = re.compile(
    r"(?:EDAC \w+ MC\d+: ADDR |\[Hardware Error\]: +physical_address: )"
    r"0x(?P<address>[0-9a-f]{1,16})\b"
    r"|EDAC \w+ MC\d+: PROCESSOR [0-9a-f:x]+ TIME (?P<time>\d{1,11})\b",
)
_UNREAD: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\bCPU \d+ BANK \d+\b", re.IGNORECASE), "mcelog text is not read yet"),
    (
        re.compile(r"\(XEN\) .*(?:MCE: |CMCI occurred|POLLED occurred)"),
        "machine checks on Xen's console are not read yet",
    ),
    (re.compile(r"\bmce_record: "), "mce_record tracepoints are not read yet"),
    (re.compile(r"\bmc_event: "), "mc_event tracepoints are not read yet"),
    (
        re.compile(r"\bCPU ?\d+: Machine Check(?: Exception)?: "),
        "raw machine-check records are not read yet: only their EDAC lines are",
    ),
)


@dataclass(frozen=True, slots=True)
class Announced:
    """A block that began at `line` and waits for its EDAC line."""

    line: int
    what: str
    address: int | None = None
    time_ns: int | None = None

    @property
    def unexplained(self) -> str:
        """Why it is refused when no EDAC line comes."""
        return f"{self.what} is not read by itself yet, and no EDAC line explains it"

    def address_of(self, page: int, offset: int) -> int | None:
        """The announced address, if an EDAC line with this page and offset can speak of it."""
        if self.address is None:
            return None
        agrees = any(page << shift | offset == self.address for shift in PAGE_SHIFTS)
        return self.address if agrees else None


def opening(line: int, text: str) -> Announced | None:
    """The block that `text` begins."""
    for pattern, what in _OPENERS:
        if pattern.search(text):
            return Announced(line, what)
    return None


def continued(block: Announced, text: str) -> Announced:
    """`block` with what `text` adds. An address of 0 says that there is none."""
    found = _DETAILS.search(text)
    if found is None:
        return block
    if found["time"]:
        return replace(block, time_ns=nanoseconds(found["time"]))
    return replace(block, address=int(found["address"], 16) or None)


def unread(text: str) -> str | None:
    """Why `text`, which speaks of an error in a form of its own, is refused."""
    return next((reason for pattern, reason in _UNREAD if pattern.search(text)), None)
