"""Dates in ISO form as instants."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from agent.telemetry.prefixes import Unsaid

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant_ns(date: str, unsaid: Unsaid) -> int | None:
    """Nanoseconds since 1970, or None if there is no such date; without a zone it is the unsaid."""
    with suppress(ValueError, OverflowError):
        local = datetime.fromisoformat(date)
        instant = local if local.tzinfo else local.replace(tzinfo=unsaid.zone)
        return (instant - _EPOCH) // timedelta(seconds=1) * 1_000_000_000
    return None
