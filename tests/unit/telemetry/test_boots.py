"""Each error is numbered in the boot that it happened in, as far as that is known."""

from uuid import UUID

import pytest

from agent.telemetry.boots import Boot, boot_at, past_of

FIRST, SECOND = Boot(UUID(int=1), 1_000 * 10**9), Boot(UUID(int=2), 2_000 * 10**9)


@pytest.mark.parametrize(
    ("seconds", "boot_id"),
    [
        (2_500, SECOND.id),
        (1_996, SECOND.id),  # the clock was set while it booted
        (1_994, FIRST.id),
        (900, past_of(FIRST.id)),
    ],
)
def test_an_error_is_of_the_boot_that_was_running(seconds: int, boot_id: UUID) -> None:
    assert boot_at((FIRST, SECOND), seconds * 10**9) == boot_id


def test_the_past_is_another_boot_than_any_that_is_known() -> None:
    assert past_of(FIRST.id) not in {FIRST.id, SECOND.id, past_of(SECOND.id)}
