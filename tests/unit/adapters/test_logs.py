"""What a line looks like, and that nobody can make us write too many."""

import asyncio
import json
import logging
import os
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import structlog

from agent.adapters.logs import (
    EventLog,
    set_up_logs,
    tell_loop_trouble,
    tell_start,
    tell_stop,
)
from agent.contract.frames import DomId
from agent.contract.hypercall import PageUse
from agent.diagnosis.dram import Failing
from agent.diagnosis.place import Place
from agent.events import (
    BankFailing,
    BatchTaken,
    BrokerLost,
    CallMade,
    CaseMoved,
    CaseOpened,
    Event,
    GapSeen,
    HostRebooted,
    MessageRefused,
    RowFailing,
    Started,
)
from agent.retirement.reason import Reason
from agent.retirement.states import State
from tests.support.cases import a_case


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


class Stopwatch:
    """A clock that a test turns."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def lines(stream: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def line_of(stream: StringIO, event: Event) -> dict[str, Any]:
    EventLog()(event)
    (line,) = lines(stream)
    return line


def test_a_case_that_moves_says_which_page_whence_whither_and_why(stream: StringIO) -> None:
    held = {"use": PageUse.DOM0, "owner": DomId(0)}
    case = a_case(State.PARKED, **held, reason=Reason.DOM0, detail="it said no")
    line = line_of(stream, CaseMoved(case, State.OPEN, 0.25))
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "case_moved",
        "level": "warning",
        "case": "c1",
        "mfn": "0x1234",
        "dimm": None,
        "from": "open",
        "to": "parked",
        "use": "dom0",
        "owner": 0,
        "reason": "dom0",
        "detail": "it said no",
        "seconds": 0.25,
    }


def test_a_case_that_opens_says_what_the_verdict_was(stream: StringIO) -> None:
    line = line_of(stream, CaseOpened(a_case()))
    assert (line["event"], line["level"], line["verdict"]) == (
        "case_opened",
        "info",
        "2 errors in 24 h",
    )


def test_a_page_that_may_not_be_retired_is_a_warning(stream: StringIO) -> None:
    assert line_of(stream, CaseOpened(a_case(State.UNRETIRABLE)))["level"] == "warning"


def test_a_lost_broker_says_why_and_when_it_is_tried_again(stream: StringIO) -> None:
    line = line_of(stream, BrokerLost("mqtt://b", "connection refused", 0.5))
    assert (line["reason"], line["retry_seconds"]) == ("connection refused", 0.5)


def test_a_flood_of_nonsense_is_one_line_a_second(stream: StringIO) -> None:
    stopwatch = Stopwatch()
    log = EventLog(stopwatch)
    for _ in range(1000):
        log(MessageRefused("malformed", "not JSON"))
    stopwatch.now += 1.0
    log(MessageRefused("malformed", "not JSON"))
    assert [line["withheld"] for line in lines(stream)] == [0, 999]
    assert lines(stream)[0]["kind"] == "malformed"


def test_a_peer_that_stays_away_is_told_at_once_and_then_ever_more_seldom(stream: StringIO) -> None:
    """An agent may wait for its hypervisor for hours; the log tells that, and not much more."""
    stopwatch = Stopwatch()
    log = EventLog(stopwatch)
    for _ in range(20 * 60):
        log(CallMade("host", "unreachable", 0.0, "nobody is there"))
        stopwatch.now += 0.5
    told = lines(stream)
    assert [line["withheld"] for line in told[:4]] == [0, 1, 3, 7]
    assert len(told) == 15  # after 0, 1, 3, 7, 15, 31, 63 s, and then once a minute


def test_what_was_well_for_a_while_is_told_at_once_again(stream: StringIO) -> None:
    stopwatch = Stopwatch()
    log = EventLog(stopwatch)
    for at in (0.0, 500.0, 501.0):
        stopwatch.now = at
        log(CallMade("host", "unreachable", 0.0, "nobody is there"))
    assert [line["withheld"] for line in lines(stream)] == [0, 0, 0]


def test_one_peer_s_trouble_does_not_hide_another_s(stream: StringIO) -> None:
    log = EventLog(Stopwatch())
    log(CallMade("host", "unreachable", 0.0))
    log(CallMade("domains", "unreachable", 0.0))
    assert [line["call"] for line in lines(stream)] == ["host", "domains"]


def test_a_reboot_of_the_host_is_one_line_with_both_boots(stream: StringIO) -> None:
    line = line_of(stream, HostRebooted("old", "new", 3))
    assert line["event"] == "host_rebooted"
    assert (line["old_boot"], line["new_boot"], line["cases_taken_up"]) == ("old", "new", 3)


def test_another_dimm_in_an_old_slot_is_a_line(stream: StringIO) -> None:
    line = line_of(stream, Started("enforce", (), 5, 64, (), missing=0, replaced=("A",)))
    assert (line["event"], line["dimm"]) == ("dimm_replaced", "A")


@pytest.mark.parametrize("state", [State.RETIRED, State.PARKED])
def test_one_of_a_million_is_no_line_of_its_own(stream: StringIO, state: State) -> None:
    EventLog()(CaseMoved(a_case(state, quiet=True), State.OPEN, 0.0))
    assert stream.getvalue() == ""


def test_one_kind_of_flood_does_not_hide_another(stream: StringIO) -> None:
    log = EventLog(Stopwatch())
    log(MessageRefused("malformed", "not JSON"))
    log(GapSeen(5, 9))
    assert [line["event"] for line in lines(stream)] == ["message_refused", "gap_seen"]


def a_batch_taken(*, out_of_range: int = 0, uncorrected: int = 0, misplaced: int = 0) -> BatchTaken:
    return BatchTaken(
        accepted=9,
        duplicates=0,
        late=0,
        missing=0,
        errors=9,
        unlocated=0,
        out_of_range=out_of_range,
        uncorrected=uncorrected,
        misplaced=misplaced,
        dimm_errors=(),
        bank_errors=(),
        dimm_uncorrected=(),
        newest_time_ns=1,
        delay_seconds=0.0,
        commit_seconds=0.0,
    )


def test_errors_are_counted_and_not_told(stream: StringIO) -> None:
    EventLog()(a_batch_taken())
    assert not stream.getvalue()


def test_an_address_beyond_the_hosts_memory_is_told_with_the_reason(stream: StringIO) -> None:
    line = line_of(stream, a_batch_taken(out_of_range=3))
    assert (line["event"], line["ereports"]) == ("address_out_of_range", 3)
    assert "beyond the host's memory" in line["reason"]


def test_an_uncorrected_error_is_told_and_why_its_page_is_left_alone(stream: StringIO) -> None:
    assert line_of(stream, a_batch_taken(uncorrected=1))["event"] == "uncorrected_error"


def test_an_ereport_of_a_row_that_no_dimm_has_is_told(stream: StringIO) -> None:
    line = line_of(stream, a_batch_taken(misplaced=2))
    assert (line["event"], line["ereports"]) == ("misplaced_error", 2)


def test_a_row_that_fails_says_where_it_is_and_what_was_counted(stream: StringIO) -> None:
    line = line_of(stream, RowFailing(Failing(Place("A1", 1, 7, 4242), 1, "4 errors in 24 h")))
    del line["timestamp"]
    assert line == {
        "event": "row_failing",
        "level": "warning",
        "verdict": "4 errors in 24 h",
        "dimm": "A1",
        "rank": 1,
        "bank": 7,
        "row": 4242,
        "withheld": 0,
    }


def test_a_bank_that_fails_names_no_row(stream: StringIO) -> None:
    line = line_of(stream, BankFailing(Failing(Place("A1", 1, 7), 1, "16 errors in 24 h")))
    assert (line["event"], line["bank"], "row" in line) == ("bank_failing", 7, False)


def test_a_storm_of_failing_rows_is_one_line_a_second(stream: StringIO) -> None:
    log = EventLog(Stopwatch())
    for row in range(1000):
        log(RowFailing(Failing(Place("A1", 0, 0, row), 1, "4 errors in 24 h")))
    assert len(lines(stream)) == 1


def test_what_happened_stands_at_the_head_of_a_line(stream: StringIO) -> None:
    assert list(line_of(stream, GapSeen(5, 9)))[:3] == ["timestamp", "level", "event"]


def test_a_call_that_was_answered_is_no_line(stream: StringIO) -> None:
    EventLog()(CallMade("suspend", "refused", 0.1))
    assert not stream.getvalue()


def test_a_call_that_was_not_answered_is_a_warning(stream: StringIO) -> None:
    assert line_of(stream, CallMade("suspend", "unreachable", 5.0))["level"] == "warning"


def test_what_libraries_warn_of_has_our_form(stream: StringIO) -> None:
    logging.getLogger("mqtt").warning("lost %d packets", 3)
    logging.getLogger("mqtt").info("all is well")
    (line,) = lines(stream)
    assert (line["level"], line["logger"], line["message"]) == ("warning", "mqtt", "lost 3 packets")


async def test_what_a_callback_ran_into_is_one_line_without_a_traceback(stream: StringIO) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(tell_loop_trouble)
    loop.call_soon(int, "seven")
    await asyncio.sleep(0.01)
    (line,) = lines(stream)
    assert (line["event"], line["reason"]) == (
        "loop_trouble",
        "ValueError: invalid literal for int() with base 10: 'seven'",
    )


def test_the_first_line_says_what_runs_for_whom_and_with_which_files(stream: StringIO) -> None:
    tell_start("1.2.3", "hv-1", Path("/etc/agent.toml"), Path("/var/pw.db"))
    (line,) = lines(stream)
    told = [line[key] for key in ("event", "version", "host", "config", "journal")]
    assert told == ["agent_started", "1.2.3", "hv-1", "/etc/agent.toml", "/var/pw.db"]


def test_the_last_line_says_which_signal_stopped_it(stream: StringIO) -> None:
    tell_stop("SIGTERM")
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["reason"]) == ("agent_stopped", "info", "SIGTERM")


def test_or_what_failed(stream: StringIO) -> None:
    tell_stop(failure=OSError("disk full"))
    (line,) = lines(stream)
    assert (line["level"], line["reason"]) == ("error", "OSError: disk full")


def test_below_the_level_is_silence() -> None:
    stream = StringIO()
    set_up_logs("warning", stream)
    EventLog()(CaseOpened(a_case()))
    assert not stream.getvalue()


def test_a_message_of_many_lines_is_one_line(stream: StringIO) -> None:
    EventLog()(MessageRefused("malformed", "a\nb"))
    assert stream.getvalue().count("\n") == 1


def test_under_journald_a_line_begins_with_its_priority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "stderr").open("w+") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        set_up_logs("info", stream)
        EventLog()(GapSeen(5, 9))
        stream.seek(0)
        assert stream.read().startswith('<4>{"')


def test_a_stream_that_is_not_journald_s_has_no_priorities(
    stream: StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable is inherited by everything a service starts."""
    monkeypatch.setenv("JOURNAL_STREAM", "8:1234")
    EventLog()(GapSeen(5, 9))
    assert stream.getvalue().startswith("{")


def test_on_a_terminal_it_is_for_people() -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    set_up_logs("info", stream)
    EventLog()(GapSeen(5, 9))
    assert "gap_seen" in stream.getvalue()
    assert "{" not in stream.getvalue()
