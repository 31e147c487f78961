"""How long each call to the toolstack takes, and how much of that the guest stands still. Pure.

    the guest runs ──────────────► it stands still ──────────────► the call is over
         `running_seconds`               `still_seconds`

A row for each call; `pages` is the size of what it works on: the pages that it names (exchange,
balloon), or all that the guest has.
"""

from collections.abc import Callable
from dataclasses import dataclass

from agent.contract.frames import PAGE_SIZE
from agent.contract.toolstack import ToolCall
from emulator.config import TimingSettings

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Span:
    """One call's time, in seconds."""

    running_seconds: float = 0.0
    still_seconds: float = 0.0

    @property
    def seconds(self) -> float:
        return self.running_seconds + self.still_seconds


_Row = Callable[[TimingSettings, int], Span]


def _gib(pages: int) -> float:
    return pages * PAGE_SIZE / _GIB


_SPANS: dict[ToolCall, _Row] = {
    ToolCall.DOMAINS: lambda _, __: Span(),
    ToolCall.SUSPEND: lambda t, _: Span(still_seconds=t.suspend_seconds),
    ToolCall.EXCHANGE: lambda t, pages: Span(still_seconds=t.exchange_seconds_per_page * pages),
    ToolCall.RESUME: lambda t, _: Span(still_seconds=t.resume_seconds),
    ToolCall.SAVE: lambda t, pages: Span(still_seconds=t.save_seconds_per_gib * _gib(pages)),
    ToolCall.RESTORE: lambda t, pages: Span(still_seconds=t.restore_seconds_per_gib * _gib(pages)),
    ToolCall.MIGRATE: lambda t, pages: Span(
        t.migrate_seconds_per_gib * _gib(pages), t.migrate_downtime_seconds
    ),
    ToolCall.DETACH: lambda t, _: Span(t.detach_seconds),
    ToolCall.ATTACH: lambda t, _: Span(t.attach_seconds),
    ToolCall.DROP_SHADOWS: lambda t, _: Span(still_seconds=t.drop_shadows_seconds),
    ToolCall.BALLOON: lambda t, pages: Span(t.balloon_seconds_per_page * pages),
    ToolCall.CREATE: lambda t, pages: Span(t.create_seconds_per_gib * _gib(pages)),
    ToolCall.DESTROY: lambda t, pages: Span(t.destroy_seconds_per_gib * _gib(pages)),
    ToolCall.REBOOT: lambda t, _: Span(still_seconds=t.reboot_seconds),
}


def span(call: ToolCall, timing: TimingSettings, pages: int = 0) -> Span:
    """The time of `call` on `pages`."""
    return _SPANS[call](timing, pages)
