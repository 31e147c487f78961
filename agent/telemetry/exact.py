"""Numbers as machines print them, without a detour through floats.

Only plain ASCII digits count, and only so many of them: `int()` alone would let in `１２`, `1_2`
and a megabyte of digits.
"""

import re

_WHOLE = re.compile(r"[0-9]{1,20}(?:\.0{1,9})?", re.ASCII)
_SECONDS = re.compile(r"([0-9]{1,11})(?:\.([0-9]{1,9}))?", re.ASCII)
_COORDINATE = re.compile(r"0x([0-9a-f]{1,16})|([0-9]{1,20})", re.ASCII | re.IGNORECASE)


def whole(text: str) -> int | None:
    """The whole number that `text` is; `11.0` is one too, because pandas writes it so."""
    return int(text.partition(".")[0]) if _WHOLE.fullmatch(text) else None


def nanoseconds(seconds: str) -> int | None:
    """Decimal seconds, to the nanosecond."""
    found = _SECONDS.fullmatch(seconds)
    if found is None:
        return None
    return int(found[1]) * 1_000_000_000 + int((found[2] or "").ljust(9, "0"))


def coordinate(text: str) -> int | None:
    """A number that is hexadecimal behind `0x` and decimal otherwise."""
    found = _COORDINATE.fullmatch(text)
    if found is None:
        return None
    return int(found[1], 16) if found[1] else int(found[2])
