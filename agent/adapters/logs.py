"""One line a decision, to stderr: what an operator reads afterwards.

JSON for machines, columns on a terminal, and under journald a `<N>` in front of the line, so that
`journalctl -p warning` finds it. Never one line an error: errors are counted, and may come by the
million. A stranger who floods us with nonsense is worth one line a second.
"""

import asyncio
import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import singledispatchmethod
from pathlib import Path
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from agent.contract.toolstack import ToolOutcome
from agent.diagnosis.dram import Failing
from agent.events import (
    BankFailing,
    BatchTaken,
    BrokerConnected,
    BrokerLost,
    CallMade,
    CapReached,
    CaseDropped,
    CaseMoved,
    CaseOpened,
    DimmWornOut,
    EreportsLost,
    Event,
    GapSeen,
    GuestFoundStopped,
    GuestPaused,
    HostRebooted,
    MarksUnlisted,
    MessageRefused,
    PagesEvicted,
    PlacesEvicted,
    PolicyRefused,
    PolicyReloaded,
    RowFailing,
    Started,
)
from agent.retirement.case import Case
from agent.retirement.reason import TEXT, Reason
from agent.retirement.states import State

SELDOM_SECONDS = 1.0  # between two lines of a kind that others may cause at will
SELDOM_SECONDS_MAX = 60.0  # the same for what goes on and on: twice as long each time, up to this

TROUBLE = frozenset({State.PARKED, State.UNRETIRABLE})  # for a person to look at

# What journald calls the levels (sd-daemon(3)).
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


def set_up_logs(level: str, stream: TextIO | None = None) -> None:
    """Send every line from here on, and the warnings of libraries, to `stream` (stderr)."""
    target = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _what_happened_first,
            *_renderers(target),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(target),
    )
    logging.basicConfig(handlers=[_Folded()], level=logging.WARNING, force=True)


def _what_happened_first(_: WrappedLogger, __: str, fields: EventDict) -> EventDict:
    head = {key: fields.pop(key) for key in ("timestamp", "level", "event") if key in fields}
    return {**head, **fields}


def _renderers(stream: TextIO) -> list[Processor]:
    if stream.isatty():
        return [structlog.dev.ConsoleRenderer()]
    json = structlog.processors.JSONRenderer(sort_keys=False, ensure_ascii=False)
    line = _journal_line(json) if _is_journal(stream) else json
    return [structlog.processors.format_exc_info, line]


def _is_journal(stream: TextIO) -> bool:
    """True if systemd says that this very stream ends in its journal."""
    try:
        stat = os.fstat(stream.fileno())
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"


def _journal_line(render: Callable[..., str | bytes]) -> Processor:
    def rendered(logger: WrappedLogger, name: str, fields: EventDict) -> str:
        priority = PRIORITIES.get(fields.get("level", "info"), PRIORITIES["info"])
        return f"<{priority}>{render(logger, name, fields)!s}"

    return rendered


def tell_loop_trouble(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """For `loop.set_exception_handler`: what a callback of a library ran into, in one line.

    aiomqtt leaves callbacks behind for a socket that is closed by then; nothing depends on them.
    """
    what = context.get("exception") or context.get("message", "unknown")
    structlog.get_logger().warning("loop_trouble", reason=f"{type(what).__name__}: {what}")


def tell_start(version: str, host: str, config: Path, journal: Path) -> None:
    """The first line of a process: which program, for whom, with what."""
    paths = {"config": str(config.absolute()), "journal": str(journal.absolute())}
    structlog.get_logger().info("agent_started", version=version, host=host, **paths)


def tell_stop(why: str = "", failure: Exception | None = None) -> None:
    """Its last line: the signal that ended it in order, or what failed."""
    log = structlog.get_logger()
    if failure is None:
        log.info("agent_stopped", reason=why)
    else:
        log.error("agent_stopped", reason=f"{type(failure).__name__}: {failure}")


class _Folded(logging.Handler):
    """What libraries say, in our form."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno,
            "library",
            logger=record.name,
            message=record.getMessage(),
            exc_info=record.exc_info,
        )


class Seldom:
    """Lines that others may cause at will: one of a kind a second, and how many were withheld.

    Of what goes on the next line comes after twice the time, `seconds_max` at most; what was quiet
    for that long begins anew. `apart` tells lines of one name apart.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._log: Any = structlog.get_logger()
        self._now = now
        self._told: dict[str, tuple[float, float]] = {}  # when, and how long nothing is told then
        self._withheld: Counter[str] = Counter()

    def __call__(
        self,
        name: str,
        level: int = logging.WARNING,
        apart: str = "",
        seconds_max: float = SELDOM_SECONDS,
        /,
        **fields: object,
    ) -> None:
        key, now = f"{name} {apart}", self._now()
        told_at, pause = self._told.get(key, (float("-inf"), 0.0))
        if now - told_at < pause:
            self._withheld[key] += 1
            return
        goes_on = now - told_at < pause + seconds_max
        self._told[key] = now, min(2 * pause, seconds_max) if goes_on else SELDOM_SECONDS
        self._log.log(level, name, **fields, withheld=self._withheld.pop(key, 0))


class EventLog:
    """An observer that writes. Call it with every event."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._log: Any = structlog.get_logger()
        self._seldom = Seldom(now)

    def __call__(self, event: Event) -> None:
        self._write(event)

    @singledispatchmethod
    def _write(self, event: Event) -> None:
        """An event without a line of its own is counted (`metrics`), and not told."""

    @_write.register
    def _(self, event: Started) -> None:
        why = "what rows and banks of the one before had is forgotten"
        for slot in event.replaced:
            self._log.info("dimm_replaced", dimm=slot, reason=why)

    @_write.register
    def _(self, event: BatchTaken) -> None:
        if event.out_of_range:
            why = "beyond the host's memory: counted, and no page touched"
            self._seldom("address_out_of_range", ereports=event.out_of_range, reason=why)
        if event.uncorrected:
            why = "reading the page would consume the error: counted, and left alone"
            self._seldom("uncorrected_error", ereports=event.uncorrected, reason=why)
        if event.misplaced:
            why = "no DIMM has such a rank or row, or there are too many DIMMs: no row is blamed"
            self._seldom("misplaced_error", ereports=event.misplaced, reason=why)

    @_write.register
    def _(self, event: CaseOpened) -> None:
        case = event.case
        level = _level(case, frozenset({State.UNRETIRABLE}))
        self._log.log(level, "case_opened", verdict=case.verdict, **_who(case), **_why(case))

    @_write.register
    def _(self, event: CaseMoved) -> None:
        case = event.case
        level = _level(case, TROUBLE)
        move = {"from": event.before.value, "to": case.state.value}
        owner = {} if case.owner is None else {"use": case.use, "owner": case.owner}
        took = round(event.took_seconds, 6)
        self._log.log(
            level, "case_moved", **_who(case), **move, **owner, **_why(case), seconds=took
        )

    @_write.register
    def _(self, event: GuestPaused) -> None:
        self._log.info("guest_paused", domid=event.domid, seconds=event.seconds)

    @_write.register
    def _(self, event: GuestFoundStopped) -> None:
        why = "it was not us: somebody else stopped it, so it is left alone"
        self._log.warning("guest_found_stopped", domid=event.domid, reason=why)

    @_write.register
    def _(self, event: MarksUnlisted) -> None:
        self._log.warning("marks_unlisted", reason=event.reason)

    @_write.register
    def _(self, event: CapReached) -> None:
        self._seldom("cap_reached", refusal=event.refusal)

    @_write.register
    def _(self, event: DimmWornOut) -> None:
        why = TEXT[Reason.REPLACE_DIMM]
        rank = event.rank
        self._log.warning("dimm_worn_out", dimm=rank.dimm, rank=rank.number, reason=why)

    @_write.register
    def _(self, event: CaseDropped) -> None:
        case = event.case
        self._log.info("case_dropped", **_who(case), was_on=case.module, **_why(case))

    @_write.register
    def _(self, event: HostRebooted) -> None:
        boots = {"old_boot": event.before, "new_boot": event.now}
        self._log.warning("host_rebooted", **boots, cases_taken_up=event.cases)

    @_write.register
    def _(self, event: MessageRefused) -> None:
        self._seldom("message_refused", kind=event.kind, reason=event.reason)

    @_write.register
    def _(self, event: GapSeen) -> None:
        self._seldom("gap_seen", first=event.first, last=event.last)

    @_write.register
    def _(self, event: EreportsLost) -> None:
        self._seldom("ereports_lost", count=event.count)

    @_write.register
    def _(self, event: PagesEvicted) -> None:
        self._seldom("pages_evicted", count=event.count)

    @_write.register
    def _(self, event: RowFailing) -> None:
        place = event.failing.place
        self._seldom("row_failing", **_where(event.failing), row=place.row)

    @_write.register
    def _(self, event: BankFailing) -> None:
        self._seldom("bank_failing", **_where(event.failing))

    @_write.register
    def _(self, event: PlacesEvicted) -> None:
        self._seldom("places_evicted", rows=event.rows, banks=event.banks)

    @_write.register
    def _(self, event: CallMade) -> None:
        if event.outcome not in tuple(ToolOutcome):
            why = {"outcome": event.outcome, "reason": event.reason}
            apart = f"{event.call} {event.outcome}"
            most = SELDOM_SECONDS_MAX
            self._seldom("call_failed", logging.WARNING, apart, most, call=event.call, **why)

    @_write.register
    def _(self, event: BrokerConnected) -> None:
        self._log.info("broker_connected", url=event.url)

    @_write.register
    def _(self, event: BrokerLost) -> None:
        self._log.warning(
            "broker_lost",
            url=event.url,
            reason=event.reason,
            retry_seconds=round(event.retry_seconds, 3),
        )

    @_write.register
    def _(self, event: PolicyReloaded) -> None:
        level = logging.WARNING if event.left else logging.INFO
        keys = {"taken": event.taken, "need_a_restart": event.left}
        self._log.log(level, "policy_reloaded", **keys)

    @_write.register
    def _(self, event: PolicyRefused) -> None:
        self._log.error("policy_refused", reason=event.reason)


def _level(case: Case, trouble: frozenset[State]) -> int:
    if case.quiet:  # one of a million
        return logging.DEBUG
    return logging.WARNING if case.state in trouble else logging.INFO


def _who(case: Case) -> dict[str, object]:
    rank = {} if case.rank is None else {"rank": case.rank}
    return {"case": case.id, "mfn": f"{case.mfn:#x}", "dimm": case.dimm, **rank}


def _where(failing: Failing) -> dict[str, object]:
    place = failing.place
    what = {"verdict": failing.reason}
    return {**what, "dimm": place.dimm, "rank": place.rank, "bank": place.bank}


def _why(case: Case) -> dict[str, object]:
    return {"reason": case.reason or "", "detail": case.detail}


log_event = EventLog()
