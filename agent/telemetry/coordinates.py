"""Rank, bank, row and column, under the names that drivers and firmware give them.

Each stands as `name:value` or `name: value`, decimal or behind `0x`, somewhere among other words.
"""

import re
from typing import TypedDict

from agent.telemetry.exact import coordinate

# Banks in a DDR4 or DDR5 bank group: `bank` counts flat within a rank.
BANKS_IN_GROUP = 4

# Each coordinate's names, the preferred one first.
_RANK = ("rank", "physicalrankid")
_BANK = ("bank", "ba", "bank_address")
_BANK_GROUP = ("bankgroup", "bg", "bank_group")
_ROW = ("row",)
_COLUMN = ("column", "col")
_NAMES = "|".join(_RANK + _BANK + _BANK_GROUP + _ROW + _COLUMN)
_PAIR = re.compile(
    rf"\b({_NAMES}): ?(0x[0-9a-f]{{1,16}}|\d{{1,20}})(?![:\w])", re.ASCII | re.IGNORECASE
)


class Coordinates(TypedDict):
    """Where in a DIMM an error is, as far as it is known."""

    rank: int | None
    bank: int | None
    row: int | None
    column: int | None


def coordinates(text: str) -> Coordinates:
    """The coordinates that `text` gives; where it repeats a name, the first counts."""
    pairs: dict[str, int | None] = {}
    for name, value in _PAIR.findall(text):
        pairs.setdefault(name.lower(), coordinate(value))
    return Coordinates(
        rank=_first(pairs, _RANK),
        bank=flat_bank(_first(pairs, _BANK_GROUP), _first(pairs, _BANK)),
        row=_first(pairs, _ROW),
        column=_first(pairs, _COLUMN),
    )


def flat_bank(group: int | None, bank: int | None) -> int | None:
    """The bank within its rank, of a `bank` that counts within its group if one is given."""
    return bank if group is None or bank is None else group * BANKS_IN_GROUP + bank


def _first(pairs: dict[str, int | None], names: tuple[str, ...]) -> int | None:
    return next((pairs[name] for name in names if name in pairs), None)
