"""Which boot of the host an error belongs to, where the log does not say.

It is that of the boots we know that was running at the time. What is older than all of them is of
an unknown past, which gets an id of its own: it follows from the oldest boot that is known, so that
the past is one boot however often it is asked for. Numbers begin anew in each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import NAMESPACE_URL, UUID, uuid5

# A clock is set while a host boots, and lines are stamped to the second.
SLACK_NS = 5_000_000_000


@dataclass(frozen=True, slots=True)
class Boot:
    """`began_ns` is nanoseconds since 1970 UTC."""

    id: UUID
    began_ns: int


def boot_at(boots: Sequence[Boot], time_ns: int) -> UUID:
    """The boot that was running at `time_ns`; `boots` are those known, in their order."""
    running = [boot.id for boot in boots if boot.began_ns - SLACK_NS <= time_ns]
    return running[-1] if running else past_of(boots[0].id)


def past_of(boot_id: UUID) -> UUID:
    """The id of all that was before `boot_id`, the oldest boot that is known."""
    return uuid5(NAMESPACE_URL, f"pagewarden:before:{boot_id}")
