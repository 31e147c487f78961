"""Sizes of memory as people write them: `512 GiB`."""

import re
from typing import Annotated

from pydantic import BeforeValidator

from agent.contract.frames import MFN_MAX, PAGE_SIZE

_UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_SIZE = re.compile(r"\s*(\d{1,12})\s*([KMGT]iB)\s*")
_BYTES_MAX = (MFN_MAX + 1) * PAGE_SIZE


def parse_size(text: object) -> object:
    """Bytes; a number is taken as bytes already.

    Raises:
        ValueError: unless it is a whole number of pages, at least one and at most 16 TiB.
    """
    size = _bytes(text) if isinstance(text, str) else text
    if not isinstance(size, int) or size % PAGE_SIZE or not 0 < size <= _BYTES_MAX:
        raise ValueError("must be a whole number of 4 KiB pages, at most 16 TiB, as in `512 GiB`")
    return size


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError("must be a number and KiB, MiB, GiB or TiB, as in `512 GiB`")
    return int(match[1]) * _UNITS[match[2]]


def shown(size: int) -> str:
    """`size` in the largest unit that leaves it whole."""
    unit = max((name for name, unit in _UNITS.items() if size % unit == 0), key=_UNITS.__getitem__)
    return f"{size // _UNITS[unit]} {unit}"


Size = Annotated[int, BeforeValidator(parse_size)]
