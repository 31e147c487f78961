"""APEI/GHES: what firmware tells the kernel of an error, as the kernel's `cper.c` prints it:

    {3}[Hardware Error]: Hardware error from APEI Generic Hardware Error Source: 5
    {3}[Hardware Error]: event severity: corrected
    {3}[Hardware Error]:  Error 0, type: corrected        ← a section: an event may have several
    {3}[Hardware Error]:  fru_text: B1
    {3}[Hardware Error]:   section_type: memory error     ← what follows is about this section,
    {3}[Hardware Error]:   physical_address: 0x0000004000000300     as far as firmware knows it
    {3}[Hardware Error]:   physical_address_mask: 0x00003fffffffffc0
    {3}[Hardware Error]:   node:0 card:1 module:0 rank:0 bank:0 row:40948 column:560
    {3}[Hardware Error]:   error_type: 2, single-bit ECC
    {3}[Hardware Error]:   DIMM location: CPU 2 DIMM 30

`{3}` tells events apart; old kernels print none, spell `node: 0`, and give each coordinate a line.
A section counts one error, by its own severity or else by its event's. Its address is a whole one,
whatever the size of a page, unless the mask leaves open in which page it is.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Literal

from agent.telemetry.coordinates import coordinates
from agent.telemetry.prefixes import Stamped
from agent.telemetry.record import UNTIMED, Decoded, Outcome, Refused, checked, dimm_named

FORM = "an APEI/GHES block"
EVENTS_MAX = 16  # that are being told at once; the oldest is forgotten first

_LINE = re.compile(r"(?:\{(?P<seq>\d{1,10})\})?\[Hardware Error\]: +(?P<body>.*)", re.ASCII)
_EVENT = re.compile(r"Hardware error (?:from APEI|detected on CPU)")
_EVENT_SEVERITY = re.compile(r"(?:event )?severity: (?:\d, )?(\w+)", re.ASCII)
_SECTION = re.compile(r"(?:Error \d+, type|section: \d+, severity): (?:\d, )?(\w+)", re.ASCII)
_FRU = re.compile(r"fru_text: (.*)")
_SECTION_TYPE = re.compile(r"section_type: (.*)")
_MEMORY = "memory error"

_PLACES = (
    *("node", "card", "module", "rank", "bank", "bank_group", "bank_address", "device", "row"),
    *("column", "bit_position", "requestor_id", "responder_id", "target_id", "chip_id"),
)
_ADDRESS, _MASK, _TYPE = "physical_address", "physical_address_mask", "error_type"
_DIMM, _STATUS, _FRU_TEXT = "DIMM location", "error_status", "fru_text"
_NAMES = "|".join((_ADDRESS, _MASK, _TYPE, _DIMM, _STATUS, *_PLACES))
_TOLD = re.compile(rf"(?P<name>{_NAMES}): ?(?P<value>.*)")
_WHOLE_ADDRESS = re.compile(r"0x([0-9a-f]{16})", re.ASCII)
_NO_DIMM = "not present"

_KINDS: dict[str, Literal["ce", "ue"]] = {"corrected": "ce", "recoverable": "ue", "fatal": "ue"}
_WITHIN_PAGE = 0xFFF


@dataclass(frozen=True, slots=True)
class Section:
    """One memory section of an event, as far as its lines have come.

    What comes twice, and differently, is of another event, of which nothing tells it apart.
    """

    line: int
    key: str
    said: Stamped
    severity: str
    told: dict[str, str]
    is_over: bool = False
    is_mixed: bool = False

    @property
    def form(self) -> str:
        return FORM

    @property
    def place(self) -> int | None:
        """Its address; None where that is not known to the page. 0 says that there is none."""
        address, mask = self._number(_ADDRESS), self._number(_MASK)
        if not address or mask is None:
            return address or None
        page_bits = ((1 << address.bit_length()) - 1) & ~_WITHIN_PAGE
        return address if mask & page_bits == page_bits else None

    @property
    def time_ns(self) -> None:
        """Firmware tells no time."""

    @property
    def is_of_memory(self) -> bool:
        return True

    def continued(self, text: str) -> "Section":
        """The section with what another line of its event adds."""
        body = _taken_apart(text)[1]
        if self.is_over or _SECTION.match(body) or _SECTION_TYPE.match(body):
            return replace(self, is_over=True)
        found = _TOLD.match(body)
        if found is None:
            return self
        name, value = found["name"], found["value"].strip()
        if self.told.get(name, value) != value:
            return replace(self, is_mixed=True)
        return replace(self, told={**self.told, name: value})

    def outcome(self) -> Outcome:
        """The error that it reports by itself."""
        kind = _KINDS.get(self.severity)
        if kind is None:
            return Refused(
                self.line, f"{FORM} that tells of no error: {self.severity or 'cut off'}"
            )
        if self.is_mixed:
            return Refused(self.line, f"{FORM} mixed with another: a line comes twice")
        if any(name in self.told and self._number(name) is None for name in (_ADDRESS, _MASK)):
            return Refused(self.line, f"{FORM} whose address is cut off")
        if self.said.time_ns is None:
            return Refused(self.line, UNTIMED)
        return checked(
            Decoded(
                line=self.line,
                time_ns=self.said.time_ns,
                kind=kind,
                address=self.place,
                dimm=self._dimm,
                **coordinates(self._where),
                detail=self._detail,
                host=self.said.host,
            )
        )

    def _number(self, name: str) -> int | None:
        found = _WHOLE_ADDRESS.fullmatch(self.told.get(name, ""))
        return int(found[1], 16) if found else None

    @property
    def _dimm(self) -> str | None:
        dimm = self.told.get(_DIMM, "")
        return None if dimm.startswith(_NO_DIMM) else dimm_named(dimm)

    @property
    def _where(self) -> str:
        places = (f"{name}:{self.told[name]}" for name in _PLACES if name in self.told)
        return " ".join(places).replace(": ", ":")

    @property
    def _detail(self) -> str | None:
        what = self.told.get(_TYPE, "").partition(", ")[2]
        fru = self.told.get(_FRU_TEXT)
        more = f"fru_text:{fru}" if fru else ""
        return ": ".join(filter(None, (what, self._where, more))) or None


@dataclass(slots=True)
class _Event:
    """What was told of an event ahead of its next section."""

    severity: str = ""
    section_severity: str = ""
    fru: str = ""
    is_in_section: bool = False

    def hears(self, body: str) -> None:
        if found := _EVENT_SEVERITY.match(body):
            self.severity = found[1]
        elif found := _SECTION.match(body):
            self.section_severity, self.fru, self.is_in_section = found[1], "", False
        elif found := _FRU.match(body):
            self.fru = found[1]

    def begins(self, body: str) -> bool:
        """True if a memory section begins here, or in front of here: its head may be lost."""
        if found := _SECTION_TYPE.match(body):
            self.is_in_section = True
            return found[1] == _MEMORY
        if self.is_in_section or not body.startswith(f"{_ADDRESS}: "):
            return False
        self.is_in_section = True
        return True

    @property
    def told(self) -> dict[str, str]:
        return {_FRU_TEXT: self.fru} if self.fru else {}


@dataclass(slots=True)
class Events:
    """The events that are being told, by their `{seq}`."""

    _by_seq: dict[str, _Event] = field(default_factory=dict[str, _Event])

    def begun(self, line: int, said: Stamped) -> Section | None:
        """The memory section that begins with this line."""
        seq, body = _taken_apart(said.text)
        event = self._event(seq, body)
        event.hears(body)
        if not event.begins(body):
            return None
        severity = event.section_severity or event.severity
        section = Section(line, key_of(said.text), said, severity, event.told)
        return section if _SECTION_TYPE.match(body) else section.continued(said.text)

    def _event(self, seq: str, body: str) -> _Event:
        if seq not in self._by_seq or _EVENT.match(body):
            self._by_seq.pop(seq, None)
            self._by_seq[seq] = _Event()
        if len(self._by_seq) > EVENTS_MAX:
            del self._by_seq[next(iter(self._by_seq))]
        return self._by_seq[seq]


def key_of(text: str) -> str:
    """What the lines of one event have in common."""
    return f"ghes {_taken_apart(text)[0]}"


def _taken_apart(text: str) -> tuple[str, str]:
    """The `{seq}` and the words behind it."""
    found = _LINE.search(text)
    return (found["seq"] or "", found["body"].rstrip()) if found else ("", "")
