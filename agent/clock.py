"""The only place that asks what time it is. Pure rooms are told; tests tell them what they like."""

import time
from collections.abc import Callable

Clock = Callable[[], int]  # nanoseconds since 1970 UTC


def wall_clock() -> int:
    return time.time_ns()
