"""Who wrote a line of a system log, and when: everything that stands before the words themselves.

    2023-04-15T19:49:46.123456+08:00 hv-1 kernel: [  591.115453] EDAC …    journald, rsyslog, dmesg
    2023-04-15T19:49:46.123456+08:00 hv-1 mcelog[812]: STATUS …             and of mcelog
    Jan  3 22:28:26 hv-1 kernel: [  591.115453] EDAC …                      syslog, journald
    [Sat Apr 15 19:49:46 2023] EDAC …                                       dmesg -T
    [1180532.573917] EDAC …                                                 dmesg
    <4>[1180532.573917][T1234] EDAC …                                       the console
     kworker/0:4-1042  [000] ..... 5303.037895: mc_event: …          ftrace, perf and rasdaemon

Each says less than an instant. What is missing comes from `Unsaid`: a date without a zone is in
`zone`; a date without a year is the last such date that is not after `latest` (a log is not written
in the future), unless `year` says it; seconds since boot count from `boot_ns`. Its default, 1970,
keeps order and distance right and makes the date visibly unknown. Where a line has both a date and
seconds since boot, the date is the time.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from agent.telemetry.exact import nanoseconds

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_YEARS_BACK_MAX = 9  # reaches a 29 February from any year

_SHELL = re.compile(r"(?:<\d{1,3}>)?(?:kern *:\w+ *: )?", re.ASCII)
_SENDER = re.compile(
    r"(?:(?P<host>[\w.:-]{1,253}) )?(?P<program>kernel|(?:mcelog|rasdaemon)(?:\[\d{1,10}\])?): ?",
    re.ASCII,
)
# What every prefix begins with: most lines of most files have none, and cost one look.
_SOMETHING = re.compile(
    rf"[<\[\d]|kern|mcelog|rasdaemon|(?:{'|'.join(_MONTHS)}) |[^\[]{{1,64}}\[\d{{3,5}}\] "
    r"|[\w.:-]{1,253} (?:kernel|mcelog|rasdaemon)",
    re.ASCII,
)
_UPTIME = re.compile(r"\[ *(?P<seconds>\d{1,11}\.\d{1,9})\] ?(?:\[ *[TC]\d+\] ?)?", re.ASCII)
_TRACED = re.compile(
    r" *\S.{0,31}?[- ]\d{1,10} +(?:\([ \d-]{1,16}\) +)?\[\d{3,5}\] +(?:[\w.#]{3,6} +)?"
    r"(?P<seconds>\d{1,11}\.\d{1,9}): +(?:ras:|mce:)?(?=m\w{1,9}:? )",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Unsaid:
    """What a recording leaves unsaid and its reader must say.

    `page_shift` is for `page:0x…`, `record_bytes` the length of a binary record, if it is known.
    """

    latest: datetime
    year: int | None = None
    zone: tzinfo = UTC
    boot_ns: int = 0
    page_shift: int = 12
    record_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Stamped:
    """A line taken apart. `time_ns` is None where the line says no time, or an impossible one.

    `program` is who logged it, with its process where it has one: `kernel`, `mcelog[812]`.
    """

    text: str
    host: str | None = None
    time_ns: int | None = None
    program: str | None = None


def unprefixed(line: str, unsaid: Unsaid) -> Stamped:
    """`line` without what stands before the kernel's own words."""
    if _SOMETHING.match(line) is None:
        return Stamped(line)
    rest = line[_end(_SHELL.match(line)) :]
    date_ns, rest = _dated(rest, unsaid)
    uptime_ns, rest = _upped(rest, unsaid)
    sender = _SENDER.match(rest)
    rest = rest[_end(sender) :]
    late_uptime_ns, rest = _upped(rest, unsaid)
    traced_ns, rest = _upped(rest, unsaid, _TRACED)
    stamps = (date_ns, uptime_ns, late_uptime_ns, traced_ns)
    times = (time for time in stamps if time is not None)
    host, program = sender.groups() if sender else (None, None)
    return Stamped(rest, host, next(times, None), program)


def _end(found: re.Match[str] | None) -> int:
    return found.end() if found else 0


def _upped(text: str, unsaid: Unsaid, shape: re.Pattern[str] = _UPTIME) -> tuple[int | None, str]:
    found = shape.match(text)
    if found is None:
        return None, text
    since_boot_ns = nanoseconds(found["seconds"])
    time_ns = None if since_boot_ns is None else unsaid.boot_ns + since_boot_ns
    return time_ns, text[found.end() :]


def _dated(text: str, unsaid: Unsaid) -> tuple[int | None, str]:
    for shape, instant in _DATES:
        if found := shape.match(text):
            time_ns = None
            with suppress(ValueError, OverflowError):  # there is no 31 April
                whole_seconds = (instant(found, unsaid) - _EPOCH) // timedelta(seconds=1)
                time_ns = nanoseconds(f"{whole_seconds}.{found['fraction'] or 0}")
            return time_ns, text[found.end() :]
    return None, text


def _iso(found: re.Match[str], unsaid: Unsaid) -> datetime:
    local = datetime.fromisoformat(f"{found['day']}T{found['time']}{found['offset'] or ''}")
    return local if local.tzinfo else local.replace(tzinfo=unsaid.zone)


def _ctime(found: re.Match[str], unsaid: Unsaid) -> datetime:
    return _in_year(int(found["year"]), found, unsaid.zone)


def _syslog(found: re.Match[str], unsaid: Unsaid) -> datetime:
    if unsaid.year is not None:
        return _in_year(unsaid.year, found, unsaid.zone)
    for year in range(unsaid.latest.year, unsaid.latest.year - _YEARS_BACK_MAX, -1):
        with suppress(ValueError):
            instant = _in_year(year, found, unsaid.zone)
            if instant <= unsaid.latest:
                return instant
    raise ValueError("no year has this date")


def _in_year(year: int, found: re.Match[str], zone: tzinfo) -> datetime:
    hour, minute, second = (int(part) for part in found["time"].split(":"))
    month = _MONTHS.index(found["month"]) + 1
    return datetime(year, month, int(found["day"]), hour, minute, second, tzinfo=zone)


_TIME = r"(?P<time>\d\d:\d\d:\d\d)"
_FRACTION = r"(?:[.,](?P<fraction>\d{1,9}))?"
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"

_DATES: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], Unsaid], datetime]], ...] = (
    (
        re.compile(
            rf"(?P<day>\d{{4}}-\d\d-\d\d)[T ]{_TIME}{_FRACTION}(?P<offset>Z|[+-]\d\d:?\d\d)? ",
            re.ASCII,
        ),
        _iso,
    ),
    (re.compile(rf"{_MONTH} +(?P<day>\d{{1,2}}) {_TIME}{_FRACTION} ", re.ASCII), _syslog),
    (
        re.compile(
            rf"\[\w{{3}} {_MONTH} +(?P<day>\d{{1,2}}) {_TIME}{_FRACTION} (?P<year>\d{{4}})\] ?",
            re.ASCII,
        ),
        _ctime,
    ),
)
