"""A kernel log, walked line by line: EDAC errors out, everything else passed over.

One block may be open at a time, because the kernel decodes one error after the other:

    EDAC skx MC0: HANDLING MCE MEMORY ERROR      ← opens a block
    EDAC skx MC0: ADDR 0x30aa905a80              ← adds to it
    EDAC MC0: 1 CE memory read error on …        ← explains it: one error, told twice
"""

import re
from collections.abc import Iterable, Iterator

from agent.telemetry import announced, edac
from agent.telemetry.announced import Announced
from agent.telemetry.edac import EdacError
from agent.telemetry.prefixes import Stamped, Unsaid, unprefixed
from agent.telemetry.record import Decoded, Outcome, Refused, checked

# Every line of interest holds one of these words; the others cost one search.
_WORTH_A_LOOK = re.compile(
    r"EDAC |\[Hardware Error\]|BANK|Machine Check|\(XEN\)|mce_record: |mc_event: "
)
_EDAC_AT = re.compile(r"EDAC MC\d*: ", re.ASCII)


def is_kernel_log(opening: Iterable[str], unsaid: Unsaid) -> bool:
    """True if a line of `opening` has a kernel log's prefix or one of its words."""
    return any(
        _WORTH_A_LOOK.search(line) or unprefixed(line, unsaid).text != line for line in opening
    )


def decode(lines: Iterable[str], unsaid: Unsaid) -> Iterator[Outcome]:
    """The errors that `lines` report."""
    block: Announced | None = None
    for number, line in enumerate(lines, 1):
        if not _WORTH_A_LOOK.search(line):
            continue
        if edac.is_error(line):
            outcome, is_explained = _error(number, line, block, unsaid)
            block = None if is_explained else block
            yield outcome
        elif began := announced.opening(number, line):
            yield from _unexplained(block)
            block = began
        elif reason := announced.unread(line):
            yield Refused(number, reason)
        elif block:
            block = announced.continued(block, line)
    yield from _unexplained(block)


def _unexplained(block: Announced | None) -> Iterator[Refused]:
    if block:
        yield Refused(block.line, block.unexplained)


def _error(number: int, line: str, block: Announced | None, unsaid: Unsaid) -> tuple[Outcome, bool]:
    """What an EDAC line reports, and whether it explains `block`."""
    said = _stamped(line, unsaid)
    error = edac.parse(said.text)
    if isinstance(error, str):
        return Refused(number, error), False
    explained = block if block and _explains(error, block) else None
    return _record(number, said, error, explained, unsaid), explained is not None


def _stamped(line: str, unsaid: Unsaid) -> Stamped:
    """`line` without its prefix, or without whatever stands before EDAC where that is unknown."""
    said = unprefixed(line, unsaid)
    found = _EDAC_AT.search(said.text)
    return Stamped(said.text[found.start() :] if found else said.text, said.host, said.time_ns)


def _explains(error: EdacError, block: Announced) -> bool:
    if block.address is None or not error.is_located:
        return True
    return block.address_of(error.page, error.offset) is not None


def _record(
    number: int, said: Stamped, error: EdacError, block: Announced | None, unsaid: Unsaid
) -> Outcome:
    time_ns = said.time_ns if block is None or block.time_ns is None else block.time_ns
    if time_ns is None:
        return Refused(number, "no time: the line has neither a date nor seconds since boot")
    if error.offset >> unsaid.page_shift and block is None:
        return Refused(
            number,
            f"offset {error.offset:#x} lies outside a page of {1 << unsaid.page_shift} bytes: "
            "tell the machine's page size with --page-size",
        )
    known = block.address_of(error.page, error.offset) if block else None
    return checked(
        Decoded(
            line=number,
            time_ns=time_ns,
            kind=error.kind,
            count=error.count,
            address=error.address(unsaid.page_shift) if known is None else known,
            dimm=error.dimm,
            rank=error.rank,
            bank=error.bank,
            row=error.row,
            column=error.column,
            detail=error.detail or None,
            host=said.host,
        )
    )
