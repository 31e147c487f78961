"""One line a decision, to stderr, as the agent does it; many of a kind are told one a second."""

import logging
from functools import singledispatchmethod
from typing import Any

import structlog

from agent.adapters.logs import Seldom
from agent.bridge.events import (
    AgentApplied,
    Connected,
    Disconnected,
    ErrorsLost,
    Event,
    LineRefused,
    NumbersTaken,
    PieceTaken,
    SourceTold,
    Troubled,
)


class BridgeLog:
    """An observer that writes. Call it with every event."""

    def __init__(self) -> None:
        self._log: Any = structlog.get_logger()
        self._seldom = Seldom()

    def __call__(self, event: Event) -> None:
        self._write(event)

    @singledispatchmethod
    def _write(self, event: Event) -> None:
        """An event without a line of its own is counted (`metrics`), and not told."""

    @_write.register
    def _(self, event: PieceTaken) -> None:
        if event.ereports:
            self._seldom("errors_read", logging.INFO, ereports=event.ereports, errors=event.errors)

    @_write.register
    def _(self, event: LineRefused) -> None:
        self._seldom(
            "line_refused",
            source=event.source,
            number=event.number,
            reason=event.reason,
            text=event.text,
        )

    @_write.register
    def _(self, event: SourceTold) -> None:
        self._seldom("source_trouble", source=event.source, reason=event.text)

    @_write.register
    def _(self, event: ErrorsLost) -> None:
        why = "no room for them any more (--keep-max), and the source cannot wait"
        self._seldom("errors_lost", logging.ERROR, ereports=event.ereports, reason=why)

    @_write.register
    def _(self, event: NumbersTaken) -> None:
        why = (
            "the agent has applied more of this boot than this state has numbered: an earlier "
            "state was lost, and what is below is taken for the same errors again"
        )
        numbers = {"applied": event.applied, "numbered": event.numbered}
        self._seldom("numbers_taken", boot=str(event.boot_id), **numbers, reason=why)

    @_write.register
    def _(self, event: Connected) -> None:
        self._log.info("broker_connected", url=event.url)

    @_write.register
    def _(self, event: Disconnected) -> None:
        self._seldom("broker_lost", url=event.url, reason=event.reason)

    @_write.register
    def _(self, event: Troubled) -> None:
        self._seldom("answer_refused", reason=event.reason)

    @_write.register
    def _(self, event: AgentApplied) -> None:
        self._seldom("errors_applied", logging.INFO, ereports=event.ereports)


def tell_start(version: str, host: str, source: str, state: str, boot: str) -> None:
    """The first line of a process: which program, for whom, with what."""
    fields = {"version": version, "host": host, "source": source, "state": state, "boot": boot}
    structlog.get_logger().info("bridge_started", **fields)


def tell_stop(why: str = "", failure: Exception | None = None) -> None:
    """Its last line: what ended it in order, or what failed."""
    log = structlog.get_logger()
    if failure is None:
        log.info("bridge_stopped", reason=why)
    else:
        log.error("bridge_stopped", reason=f"{type(failure).__name__}: {failure}")
