"""Stretches of time as people write them: `90 s`, `15 min`, `6 h`, `30 d`. A number is seconds."""

import re
from typing import Annotated

from pydantic import BeforeValidator

SECONDS_MAX = 100 * 365 * 86_400.0
_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_SPAN = re.compile(r"(\d{1,12}(?:\.\d{1,9})?) ?(ms|s|min|h|d)", re.ASCII)


def parse_span(text: object) -> object:
    """Seconds.

    Raises:
        ValueError: unless it is a number of seconds, or one with a unit, up to a hundred years.
    """
    seconds = _seconds(text) if isinstance(text, str) else text
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ValueError("must be a stretch of time, as in `90 s` or `30 d`")  # noqa: TRY004 - pydantic's kind
    if not 0 <= seconds <= SECONDS_MAX:
        raise ValueError("must be 0 s to 36500 d")
    return float(seconds)


def _seconds(text: str) -> float:
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise ValueError("must be a number and ms, s, min, h or d, as in `90 s` or `30 d`")
    return float(found[1]) * _UNITS[found[2]]


Span = Annotated[float, BeforeValidator(parse_span)]
