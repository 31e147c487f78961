"""The time that calls take, and how much of it a guest stands still."""

import pytest

from agent.contract.toolstack import ToolCall
from emulator.config import TimingSettings
from emulator.timing import span

GIB = 1 << 18  # in pages
TIMING = TimingSettings()


@pytest.mark.parametrize("call", ToolCall)
def test_every_call_of_the_toolstack_has_its_time(call: ToolCall) -> None:
    assert (span(call, TIMING, GIB).seconds > 0) is (call is not ToolCall.DOMAINS)


def test_a_guest_stands_still_for_all_of_a_save() -> None:
    saved = span(ToolCall.SAVE, TIMING, 3 * GIB)
    assert (saved.seconds, saved.still_seconds) == (6.0, 6.0)


def test_a_guest_stands_still_only_for_the_last_part_of_a_migration() -> None:
    moved = span(ToolCall.MIGRATE, TIMING, 4 * GIB)
    assert (moved.seconds, moved.still_seconds) == (4.1, 0.1)


def test_an_exchange_takes_its_time_by_the_page() -> None:
    assert span(ToolCall.EXCHANGE, TIMING, 20).seconds == pytest.approx(0.02)


@pytest.mark.parametrize("call", [ToolCall.DETACH, ToolCall.ATTACH, ToolCall.BALLOON])
def test_a_guest_that_is_only_asked_runs_on(call: ToolCall) -> None:
    assert span(call, TIMING, 100).still_seconds == 0.0
