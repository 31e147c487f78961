"""`ras:mc_event`, the tracepoint of memory errors, printed by the kernel or logged by rasdaemon:

    kworker/0:4-1042 [000] ..... 5303.037895: mc_event: 2 Corrected errors: memory read error on
        A1 (mc:0 location:1:0:-1 address:0x91b2f55c0 grain:32 syndrome:0x00000000  rank:1)
    kworker/0:4-1042 [000] .....    0.053030: mc_event: [ERROR] 2026-11-23 18:40:05 +0000 2
        Corrected errors: memory read error on A1 (mc: 0 location: 1:0 address: 0x91b2f55c0 …)

(Each is one line.) The message may be empty or hold ` on `, the label may be empty. The address is
a whole one, whatever the size of a page; 0 says that it is not known, and rasdaemon may leave it
out, like the location and the syndrome. The grain, which nothing here needs, is in bytes above, and
below in bits. The kernel counts in 16 bits: 65,535 means `at least`.
"""

import re
from typing import Literal

from agent.telemetry.coordinates import coordinates
from agent.telemetry.instant import instant_ns
from agent.telemetry.prefixes import Stamped, Unsaid
from agent.telemetry.record import UNTIMED, Decoded, Outcome, Refused, checked, dimm_named

FORM = "an mc_event line"
LOGGED = "an mc_event line of rasdaemon"
COUNT_MAX = 65_535

_HEAD = re.compile(
    r"\bmc_event:? +(?:\[\w+\] +)?"
    r"(?:(?P<date>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?: [+-]\d{4})?) )?"
    r"(?P<count>\d{1,10}) (?P<kind>\w+) errors?:",
    re.ASCII,
)
_KERNELS = re.compile(
    r" \(mc:\d{1,3} location:-?\d{1,3}:-?\d{1,3}:-?\d{1,3} address:0x(?P<address>[0-9a-f]{1,16}) "
    r"grain:-?\d{1,20} syndrome:0x[0-9a-f]{1,16}(?P<detail> .*)?\)",
    re.ASCII,
)
_DAEMONS = re.compile(
    r" \(mc: \d{1,3}(?: location: [\d:-]{1,20})?(?: address: 0x(?P<address>[0-9a-f]{1,16}))?"
    r"(?: grain: -?\d{1,20})?(?: syndrome: 0x[0-9a-f]{1,16})?(?P<detail> .*)?\)",
    re.ASCII,
)
KINDS: dict[str, Literal["ce", "ue"]] = {
    "Corrected": "ce",
    "Uncorrected": "ue",
    "Deferred": "ue",
    "Fatal": "ue",
}


_LOOKS_LIKE = re.compile(r"\bmc_event:? +(?:\[\w+\] +)?\d", re.ASCII)


def is_event(text: str) -> bool:
    """True for whatever looks like a line of the tracepoint, whole or broken."""
    return _LOOKS_LIKE.search(text) is not None


def form_of(text: str) -> str:
    """Who wrote the line: one log may hold what both made of one error."""
    head = _HEAD.search(text)
    return LOGGED if head and head["date"] else FORM


def parse(line: int, said: Stamped, unsaid: Unsaid) -> Outcome:
    """The error that the line tells of, or why it cannot be read."""
    text = said.text.rstrip()
    head = _HEAD.search(text)
    if head is None:
        return Refused(line, "mc_event line without `<count> <kind> error:`")
    place_at = max(text.find(" (mc:", head.end()), 0)
    place = (_DAEMONS if head["date"] else _KERNELS).fullmatch(text, place_at)
    if place is None:
        return Refused(line, "mc_event line without its place, or cut off: expected `(mc:… …)`")
    message, on, label = text[head.end() : place.start()].rpartition(" on ")
    if not on:
        return Refused(
            line, "mc_event line that names no DIMM: expected `<message> on <label> (…)`"
        )
    if int(head["count"]) > COUNT_MAX:
        return Refused(
            line, f"mc_event line that counts more than {COUNT_MAX} (got {head['count']})"
        )
    return recorded(
        line,
        _time_ns(head, said, unsaid),
        kind=head["kind"],
        count=int(head["count"]),
        message=message.strip(),
        label=label,
        address=int(place["address"] or "0", 16),
        detail=(place["detail"] or "").strip(),
        host=said.host,
    )


def recorded(  # noqa: PLR0913 - the fields of the tracepoint
    line: int,
    time_ns: int | None,
    *,
    kind: str,
    count: int,
    message: str,
    label: str,
    address: int,
    detail: str,
    host: str | None = None,
) -> Outcome:
    """The error that the tracepoint's fields tell of."""
    if kind not in KINDS:
        return Refused(line, f"an mc_event of kind {kind[:20]!r} tells of no error")
    if time_ns is None:
        return Refused(line, UNTIMED)
    return checked(
        Decoded(
            line=line,
            time_ns=time_ns,
            kind=KINDS[kind],
            count=count,
            address=address or None,
            dimm=dimm_named(label),
            **coordinates(detail),
            detail=f"{message}: {detail}".strip(": ") or None,
            host=host,
        )
    )


def _time_ns(head: re.Match[str], said: Stamped, unsaid: Unsaid) -> int | None:
    """The date that rasdaemon writes, which has its zone, or else what the prefix says."""
    return (instant_ns(head["date"], unsaid) if head["date"] else None) or said.time_ns
