"""JSON into columns, without an object an ereport in between.

The same fields as `Ereport`, held by the same bounds, but as plain dicts: a third of the work. What
all ereports of a message share, host and boot, is read once and compared as text. This way is for
messages that are as they should be. Any other takes the long way through `Ereport`, which says what
is wrong with it, or that nothing is: a boot's id may be spelled in two ways.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NotRequired

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from agent.contract.columns import COLUMNS, UNKNOWN, Batch, Kind
from agent.contract.ereport import (
    BATCH_MAX,
    Address,
    Boot,
    Coordinate,
    Count,
    Detail,
    Dimm,
    KindName,
    Seq,
    TimeNs,
    WideCoordinate,
    Wire,
)
from agent.contract.topics import HostName


class Whose(Wire):
    """What the ereports of one message share."""

    host: HostName
    boot_id: Boot


@with_config(Wire.model_config)
class Row(TypedDict):
    """`Ereport`, but that host and boot are not looked at yet."""

    host: str
    boot_id: str
    seq: Seq
    time_ns: TimeNs
    kind: NotRequired[KindName]
    count: NotRequired[Count]
    address: NotRequired[Address | None]
    dimm: NotRequired[Dimm | None]
    rank: NotRequired[Coordinate | None]
    bank: NotRequired[Coordinate | None]
    row: NotRequired[WideCoordinate | None]
    column: NotRequired[WideCoordinate | None]
    detail: NotRequired[Detail | None]


_ROW = TypeAdapter(Row)
_ROWS = TypeAdapter(Annotated[list[Row], Field(min_length=1, max_length=BATCH_MAX)])
_KINDS = {kind.name.lower(): kind.value for kind in Kind}


def from_json(text: bytes) -> Batch | None:
    """The columns of a JSON object or array; None if it must take the long way."""
    try:
        is_array = text.lstrip()[:1] == b"["
        rows = _ROWS.validate_json(text) if is_array else [_ROW.validate_json(text)]
        whose = Whose.model_validate({name: rows[0][name] for name in ("host", "boot_id")})
    except ValidationError:
        return None
    if len({(row["host"], row["boot_id"]) for row in rows}) > 1:
        return None
    return _columns(whose, rows)


def _columns(whose: Whose, rows: Sequence[Mapping[str, Any]]) -> Batch:
    def known(name: str, unknown: int) -> list[int]:
        return [unknown if (value := row.get(name)) is None else value for row in rows]

    labels: list[str | None] = [row.get("dimm") for row in rows]
    known_labels = dict.fromkeys(label for label in labels if label is not None)
    dimms = {label: at for at, label in enumerate(known_labels)}
    values = {
        "seq": [row["seq"] for row in rows],
        "time_ns": [row["time_ns"] for row in rows],
        "address": known("address", 0),
        "count": [row.get("count", 1) for row in rows],
        "row": known("row", UNKNOWN),
        "column": known("column", UNKNOWN),
        "dimm": [UNKNOWN if label is None else dimms[label] for label in labels],
        "rank": known("rank", UNKNOWN),
        "bank": known("bank", UNKNOWN),
        "kind": [_KINDS[row.get("kind", "ce")] for row in rows],
        "located": [row.get("address") is not None for row in rows],
    }
    columns: dict[str, Any] = {name: np.array(values[name], dtype) for name, dtype in COLUMNS}
    return Batch(whose.host, whose.boot_id, tuple(dimms), **columns)
