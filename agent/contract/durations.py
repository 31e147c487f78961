"""A span of time as people say it: in the largest unit that leaves no fraction."""

_UNITS = (("h", 3600 * 10**9), ("min", 60 * 10**9), ("s", 10**9), ("ms", 10**6), ("ns", 1))


def in_words(ns: int) -> str:
    """`24 h`, `90 min`, `360 ns`."""
    unit, size = next((unit, size) for unit, size in _UNITS if ns % size == 0)
    return f"{ns // size} {unit}"
