"""JSON into columns, without an object an ereport in between.

The text, of one message or of several at once, is read as plain JSON and put into columns, and what
`Ereport` asks of every value is then asked of each column: its types, its range, its words.

This way is for messages that are as they should be. Any other takes the long way through `Ereport`,
which says what is wrong with it, or that nothing is: a boot's id may be spelled in two ways.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from types import NoneType
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json as plain_json

from agent.contract.columns import COLUMNS, UNKNOWN, Batch, Kind
from agent.contract.ereport import BATCH_MAX, Boot, Detail, Dimm, Ereport, Wire
from agent.contract.topics import HostName

Row = Mapping[str, Any]
Rows = Sequence[Row]
Values = Sequence[Any]
Column = NDArray[Any]


class _Absent:
    """What stands for a field that an ereport does not have, unlike a null."""


LEFT_OUT: Final = _Absent()


class _Odd(Exception):  # noqa: N818 - nothing is wrong yet: the long way will tell
    """Not as it should be, or as few would spell it."""


class _Words(Wire):
    """What the ereports of one message share, and the other words in it, each once."""

    host: HostName
    boot_id: Boot
    dimms: tuple[Dimm, ...]
    details: tuple[Detail, ...]


@dataclass(frozen=True, slots=True)
class _Number:
    """How a column of numbers is read: what may stand for a number, and what that comes to."""

    dtype: type[np.generic]
    may_be: frozenset[type] = frozenset((_Absent, NoneType))
    unknown: int = UNKNOWN

    def column(self, values: Values) -> Column:
        """None may be negative; what is too large for its type is an `OverflowError`."""
        types = set(map(type, values))
        if types == {int}:
            return _not_negative(np.array(values, self.dtype))
        if not types <= self.may_be | {int}:
            raise _Odd
        column = np.full(len(values), self.unknown, self.dtype)
        known = [at for at, value in enumerate(values) if type(value) is int]
        column[known] = _not_negative(np.array([values[at] for at in known], self.dtype))
        return column


def _not_negative(numbers: Column) -> Column:
    if numbers.min(initial=0) < 0:
        raise _Odd
    return numbers


_REQUIRED: frozenset[type] = frozenset()
_NUMBERS = {
    "seq": _Number(np.int64, _REQUIRED),
    "time_ns": _Number(np.int64, _REQUIRED),
    "address": _Number(np.uint64, unknown=0),
    "count": _Number(np.uint32, frozenset((_Absent,)), unknown=1),
    "row": _Number(np.int32),
    "column": _Number(np.int32),
    "rank": _Number(np.int16),
    "bank": _Number(np.int16),
}
_KINDS = {LEFT_OUT: Kind.CE.value} | {kind.name.lower(): kind.value for kind in Kind}


def from_json(*texts: bytes) -> Sequence[Batch] | None:
    """The columns of messages that are a JSON object or array each; None if they must take the
    long way, one by one.

    A batch holds `BATCH_MAX` ereports at most; they may come from several messages.
    """
    try:
        rows = _rows(texts)
        parts = (rows[at : at + BATCH_MAX] for at in range(0, len(rows), BATCH_MAX))
        return [_batch(_by_field(part)) for part in parts]
    except (_Odd, ValueError, TypeError, LookupError, OverflowError):
        return None


def _rows(texts: Sequence[bytes]) -> Rows:
    """The ereports of all messages, read in one go.

    No message can lend another what that lacks: there is no line break in a string, and brackets
    are nowhere but at both ends of an array, so that every seam is a comma of the outermost list.
    """
    if len(texts) > 1 and not all(map(_is_whole, texts)):
        raise _Odd
    messages: list[Any] = plain_json(b"[" + b",\n".join(texts) + b"]")
    if len(messages) != len(texts):
        raise _Odd
    lists: list[Rows] = [each if type(each) is list else [each] for each in messages]
    if not all(0 < len(each) <= BATCH_MAX for each in lists):
        raise _Odd
    return list(chain.from_iterable(lists))


def _is_whole(text: bytes) -> bool:
    """True for an object without brackets, or an array without any inside."""
    brackets = text.count(b"["), text.count(b"]")
    if text.startswith(b"{"):
        return brackets == (0, 0)
    return text.startswith(b"[") and text.endswith(b"]") and brackets == (1, 1)


def _by_field(rows: Rows) -> dict[str, Values]:
    """The values of each field, a column a field."""
    if set(map(type, rows)) != {dict}:
        raise _Odd
    nothing = (LEFT_OUT,) * len(rows)
    columns: dict[str, Values] = dict.fromkeys(Ereport.model_fields, nothing)
    columns |= _alike(rows) or _unlike(rows)
    if len(columns) > len(Ereport.model_fields):
        raise _Odd  # a field that nobody knows
    return columns


def _alike(rows: Rows) -> dict[str, Values] | None:
    """As `_by_field`, but only of the fields that occur; None if not all have the same ones."""
    if len(set(map(len, rows))) > 1:
        return None
    names = tuple(rows[0])
    values_of = cast("Callable[[Row], Values]", itemgetter(*names))
    try:
        return dict(zip(names, zip(*map(values_of, rows), strict=True), strict=True))
    except KeyError:
        return None


def _unlike(rows: Rows) -> dict[str, Values]:
    names = dict.fromkeys(chain.from_iterable(rows))
    return {name: [row.get(name, LEFT_OUT) for row in rows] for name in names}


def _batch(values: Mapping[str, Values]) -> Batch:
    (host,), (boot_id,) = set(values["host"]), set(values["boot_id"])
    labels = _words(values["dimm"])
    words = _Words(host=host, boot_id=boot_id, dimms=labels, details=_words(values["detail"]))
    columns = {name: number.column(values[name]) for name, number in _NUMBERS.items()}
    columns["located"] = _is_number(values["address"])
    columns["kind"] = np.array([_KINDS[value] for value in values["kind"]])
    places = {None: UNKNOWN, LEFT_OUT: UNKNOWN} | {label: at for at, label in enumerate(labels)}
    columns["dimm"] = np.array([places[label] for label in values["dimm"]])
    typed = {name: columns[name].astype(dtype, copy=False) for name, dtype in COLUMNS}
    return Batch(words.host, words.boot_id, words.dimms, **typed)


def _is_number(values: Values) -> Column:
    return np.array([type(value) is int for value in values])


def _words(values: Values) -> tuple[Any, ...]:
    """Those that occur, each once, in the order of their first."""
    return tuple(word for word in dict.fromkeys(values) if word not in (None, LEFT_OUT))
