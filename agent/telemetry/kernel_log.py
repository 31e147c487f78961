"""A log, walked line by line: every error of memory once, and everything else passed over.

What may stand in it, in any order and behind any prefix: EDAC lines, the tracepoints' mc_events and
mce_records, machine checks as the kernel prints them, blocks of firmware, mcelog's text of machine
checks, and Xen's console. EDAC lines and mc_events tell of an error in full, and come out at once.
The others are held, because a full line may explain them, and come out if none does.
"""

import re
from collections.abc import Iterable, Iterator

from agent.telemetry import edac, ghes, mc_event, mce_block
from agent.telemetry.edac import EdacError
from agent.telemetry.held import EDAC_LINE, LOGGED, TRACED, Held
from agent.telemetry.mce_logged import MceLogged
from agent.telemetry.mce_record import MceRecord
from agent.telemetry.mcelog_text import McelogText
from agent.telemetry.once import Once, time_ns_of
from agent.telemetry.prefixes import Stamped, Unsaid, unprefixed
from agent.telemetry.reader import Reader
from agent.telemetry.record import UNTIMED, Decoded, Outcome, Refused, checked
from agent.telemetry.xen_console import XenConsole

# Every line of interest holds one of these words, begins as mcelog's do, or is blank, which ends a
# record of mcelog; the others cost two searches.
_WORDS = re.compile(
    r"EDAC |\[Hardware Error\]|Machine Check|\(XEN\)|mc(?:elog|e_record|_event)|extlog_|cxl_",
    re.ASCII,
)
_MCELOGS = re.compile(
    r"\s*(?:$|CPU \d|MCE \d|[A-Z]{3,9} |Hardware event|MCA: |Memory |Transaction: )"
)
_UNREAD = re.compile(r"\b(extlog_mem_event|cxl_(?:dram|general_media|poison)): ", re.ASCII)
_OF_BLOCKS = re.compile(r"EDAC |\[Hardware Error\]")
_EDAC_AT = re.compile(r"EDAC MC\d*: ", re.ASCII)


def is_kernel_log(opening: Iterable[str], unsaid: Unsaid) -> bool:
    """True if a line of `opening` has a log's prefix or one of its words."""
    return any(_WORDS.search(line) or unprefixed(line, unsaid).text != line for line in opening)


def decode(lines: Iterable[str], unsaid: Unsaid) -> Iterator[Outcome]:
    """The errors that `lines` report."""
    log = KernelLog(unsaid)
    for number, line in enumerate(lines, 1):
        yield from log.line(number, line)
    yield from log.close()


class KernelLog:
    """The walk between two lines."""

    def __init__(self, unsaid: Unsaid) -> None:
        self._unsaid = unsaid
        self._page_shift = unsaid.page_shift
        self._once = Once()
        self._last = Stamped("")
        self._newest = ""  # of all lines, also of those that nobody reads
        self._events = ghes.Events()
        self._readers: tuple[tuple[str, Reader], ...] = (
            (LOGGED, MceLogged(unsaid)),
            (TRACED, MceRecord(unsaid)),
            ("a line of Xen's console", XenConsole(unsaid)),
            ("text of mcelog", McelogText(unsaid)),
        )

    def line(self, number: int, line: str) -> Iterator[Outcome]:
        """As `feed`, with the line as it is written."""
        self._newest = line
        if _WORDS.search(line) or _MCELOGS.match(line):
            yield from self.feed(number, unprefixed(line, self._unsaid))

    def feed(self, number: int, said: Stamped) -> Iterator[Outcome]:
        """What can be said now that line `number` has come."""
        self._last = said
        yield from self._once.overdue(number, said.time_ns)
        if edac.is_error(said.text):
            yield from self._edac(number, said)
        elif unread := _UNREAD.search(said.text):
            yield Refused(number, f"the tracepoint {unread[1]} is not read")
        elif mc_event.is_event(said.text):
            yield from self._mc_event(number, said)
        elif _OF_BLOCKS.search(said.text):
            self._block(number, said)
        else:
            yield from self._other(number, said)

    @property
    def owed(self) -> object:
        """How many errors each form still has to tell that another has told."""
        return self._once.owed(unprefixed(self._newest, self._unsaid).time_ns)

    def close(self) -> Iterator[Outcome]:
        """What is left to say when no line comes for a while, or none comes at all."""
        for form, reader in self._readers:
            yield from self._once.poor(form, self._last, reader.close())
        yield from self._once.rest()

    def _block(self, number: int, said: Stamped) -> None:
        """A line that begins a block of the kernel, or that one goes on with."""
        text = said.text
        block = mce_block.begun(number, said) or self._events.begun(number, said)
        if block is None and not self._once.goes_on(mce_block.key_of(text), text):
            self._once.goes_on(ghes.key_of(text), text)
            block = mce_block.torn(number, said)
        if block:
            self._once.hold(block)

    def _other(self, number: int, said: Stamped) -> Iterator[Outcome]:
        """A line of which another decoder may know more."""
        for form, reader in self._readers:
            outcomes = reader.feed(number, said)
            if outcomes is not None:
                yield from self._once.poor(form, said, outcomes)
                return

    def _edac(self, number: int, said: Stamped) -> Iterator[Outcome]:
        found = _EDAC_AT.search(said.text)
        error = edac.parse(said.text[found.start() :] if found else said.text)
        if isinstance(error, str):
            yield Refused(number, error)
            return
        explained = self._once.explained(EDAC_LINE, error.means if error.is_located else None)
        record = self._record(number, said, error, explained)
        yield from self._once.full(EDAC_LINE, said, record, explained)

    def _mc_event(self, number: int, said: Stamped) -> Iterator[Outcome]:
        form, record = mc_event.form_of(said.text), mc_event.parse(number, said, self._unsaid)
        yield from self._once.event(form, said, record)

    def _record(
        self, number: int, said: Stamped, error: EdacError, explained: list[Held]
    ) -> Outcome:
        """What an EDAC line reports, with what is known of it from elsewhere."""
        time_ns = time_ns_of(explained) or said.time_ns
        if time_ns is None:
            return Refused(number, UNTIMED)
        address = self._known_address(error, explained, time_ns)
        if address is None and error.offset >> self._page_shift:
            return Refused(
                number,
                f"offset {error.offset:#x} lies outside a page of {1 << self._page_shift} "
                "bytes: tell the machine's page size with --page-size",
            )
        return checked(
            Decoded(
                line=number,
                time_ns=time_ns,
                kind=error.kind,
                count=error.count,
                address=error.address(self._page_shift) if address is None else address,
                dimm=error.dimm,
                rank=error.rank,
                bank=error.bank,
                row=error.row,
                column=error.column,
                detail=error.detail or None,
                host=said.host,
            )
        )

    def _known_address(self, error: EdacError, explained: list[Held], time_ns: int) -> int | None:
        """The address in full, from those who need no page size for it."""
        if not error.is_located:
            return None
        told = next((h.place for h in explained if h.place and error.means(h.place)), None)
        if told and error.page:  # it shows how large pages are, to all lines that follow
            self._page_shift = error.page_shift_of(told)
        meant = (error.address(shift) for shift in edac.PAGE_SHIFTS)
        known = (place for place in meant if self._once.is_told(EDAC_LINE, place, (time_ns,)))
        return told or next(known, None)
