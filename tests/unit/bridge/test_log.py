"""One line a decision, with what an operator needs to act on it."""

import json
import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
import structlog

from agent.adapters.logs import set_up_logs
from agent.bridge.events import (
    AgentApplied,
    Beat,
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
from agent.bridge.log import BridgeLog, tell_start, tell_stop


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    handlers = logging.root.handlers[:]
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers


@pytest.fixture
def stream() -> StringIO:
    stream = StringIO()
    set_up_logs("info", stream)
    return stream


def lines(stream: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("event", "name", "level", "field"),
    [
        (PieceTaken(9, 2, 3, 0), "errors_read", "info", ("errors", 3)),
        (LineRefused("journal", 7, "cut off", "EDAC"), "line_refused", "warning", ("number", 7)),
        (SourceTold("journal", "gone"), "source_trouble", "warning", ("reason", "gone")),
        (ErrorsLost(5), "errors_lost", "error", ("ereports", 5)),
        (NumbersTaken(UUID(int=1), 9, 3), "numbers_taken", "warning", ("applied", 9)),
        (Connected("mqtt://x"), "broker_connected", "info", ("url", "mqtt://x")),
        (Disconnected("mqtt://x", "refused"), "broker_lost", "warning", ("reason", "refused")),
        (Troubled("nonsense"), "answer_refused", "warning", ("reason", "nonsense")),
        (AgentApplied(4), "errors_applied", "info", ("ereports", 4)),
    ],
)
def test_what_happened_is_one_line(
    stream: StringIO, event: Event, name: str, level: str, field: tuple[str, object]
) -> None:
    BridgeLog()(event)
    (line,) = lines(stream)
    assert (line["event"], line["level"], line[field[0]]) == (name, level, field[1])


@pytest.mark.parametrize(
    "event", [PieceTaken(1000), Beat(0, is_full=False, is_connected=True, oldest_ns=None, now_ns=1)]
)
def test_what_is_no_news_is_no_line(stream: StringIO, event: Event) -> None:
    BridgeLog()(event)
    assert lines(stream) == []


def test_refused_lines_by_the_thousand_are_one_line(stream: StringIO) -> None:
    log = BridgeLog()
    for number in range(1000):
        log(LineRefused("journal", number, "cut off", "EDAC"))
    assert len(lines(stream)) == 1


def test_a_life_begins_and_ends_with_a_line(stream: StringIO) -> None:
    tell_start("1.0", "hv-1", "journal", "/var/lib/x", "b")
    tell_stop("SIGTERM")
    tell_stop(failure=OSError("no"))
    assert [line["event"] for line in lines(stream)] == ["bridge_started", *["bridge_stopped"] * 2]
