"""The one door for ereports: bytes in either encoding become the same columns.

**Packed**, for volume: a header that says what follows, then the columns one after another.

    "PWE1"  crc32 u32  header_bytes u32  header (JSON, padded with spaces to 8)  columns
            └─ of everything behind it

**JSON**, for people and other tools: one `Ereport` or an array of them, all of one host and boot.
The first bytes tell the two apart, so that it works over MQTT 3.1.1 too, which has no content type.
"""

import struct
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID
from zlib import crc32

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from agent.contract.columns import COLUMNS, UNKNOWN, Batch, Kind
from agent.contract.ereport import BATCH_MAX, Ereport, Seq, Wire
from agent.contract.errors import Malformed
from agent.contract.rows import from_json
from agent.contract.topics import HostName

MAGIC = b"PWE1"
_PREFIX = struct.Struct("<4sII")
_RECORD_BYTES = sum(dtype.itemsize for _, dtype in COLUMNS)
_DIMMS_MAX = 1 << 10


class Header(Wire):
    """What the columns do not say: whose they are, how many, and where the numbering starts."""

    host: HostName
    boot_id: Annotated[UUID, Field(strict=False)]
    first_seq: Seq
    count: Annotated[int, Field(gt=0, le=BATCH_MAX)]
    dimms: Annotated[
        tuple[Annotated[str, Field(max_length=128)], ...],
        Field(max_length=_DIMMS_MAX, strict=False),
    ] = ()


_OBJECT = TypeAdapter(Ereport)
_ARRAY = TypeAdapter(Annotated[list[Ereport], Field(min_length=1, max_length=BATCH_MAX)])


def decode(payload: bytes) -> Batch:
    """The batch that `payload` holds.

    Raises:
        Malformed: with one line that names the field and what is wrong with it.
    """
    if not is_json(payload):
        return _unpack(payload)
    batches = from_json(payload)
    return batches[0] if batches else from_ereports(_parse(payload))


def is_json(payload: bytes) -> bool:
    """True unless it says that it is packed."""
    return not payload.startswith(MAGIC)


def decode_together(payloads: Sequence[bytes]) -> Sequence[Batch] | None:
    """What JSON messages hold, in their order, in as few batches as there may be.

    Small messages cost a fraction of what `decode` would take. None if at least one of them is not
    as it should be, or not all are of one host and boot: then they are to be decoded one by one.
    """
    return from_json(*payloads)


def _parse(payload: bytes) -> Sequence[Ereport]:
    try:
        if payload.lstrip()[:1] == b"[":
            return _ARRAY.validate_json(payload)
        return [_OBJECT.validate_json(payload)]
    except ValidationError as error:
        raise Malformed(one_line(error)) from None


def one_line(error: ValidationError) -> str:
    """The first complaint of pydantic in one line: `at 3.count: …`, and how many more there are."""
    first, *rest = error.errors(include_url=False, include_context=False)
    # A name that nobody knows is part of the place, and it is the sender who chose it.
    where = (
        f"at {_shortened('.'.join(map(_one_line, first['loc'])), 120)}: " if first["loc"] else ""
    )
    more = f" (and {len(rest)} more)" if rest else ""
    got = f" (got {_shortened(repr(first['input']))})" if first["type"] != "missing" else ""
    return f"{where}{_shortened(_one_line(first['msg']), 160)}{got}{more}"


def _one_line(part: object) -> str:
    text = str(part)
    return text if text.isprintable() else repr(text)


def _shortened(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"


def from_ereports(ereports: Sequence[Ereport]) -> Batch:
    """Columns from objects. All must be of one host and one boot, as one message is.

    Raises:
        Malformed: if they are not.
    """
    first = ereports[0]
    for index, ereport in enumerate(ereports):
        if (ereport.host, ereport.boot_id) != (first.host, first.boot_id):
            raise Malformed(f"at {index}: one message holds one host and one boot_id")
    labels = dict.fromkeys(e.dimm for e in ereports if e.dimm is not None)
    dimms = {label: index for index, label in enumerate(labels)}
    rows = [_row(ereport, dimms) for ereport in ereports]
    columns = zip(*rows, strict=True)
    return Batch(
        first.host,
        first.boot_id,
        tuple(dimms),
        **{
            name: np.array(values, dtype)
            for (name, dtype), values in zip(COLUMNS, columns, strict=True)
        },
    )


def _row(ereport: Ereport, dimms: dict[str, int]) -> tuple[Any, ...]:
    """One ereport in the order of `COLUMNS`."""
    return (
        ereport.seq,
        ereport.time_ns,
        ereport.address or 0,
        ereport.count,
        UNKNOWN if ereport.row is None else ereport.row,
        UNKNOWN if ereport.column is None else ereport.column,
        UNKNOWN if ereport.dimm is None else dimms[ereport.dimm],
        UNKNOWN if ereport.rank is None else ereport.rank,
        UNKNOWN if ereport.bank is None else ereport.bank,
        Kind[ereport.kind.upper()],
        ereport.address is not None,
    )


def to_ereports(batch: Batch) -> list[Ereport]:
    """The same ereports as objects: for people, never on the way in."""
    return [_ereport(batch, index) for index in range(len(batch))]


def _ereport(batch: Batch, index: int) -> Ereport:
    def coordinate(name: str) -> int | None:
        value = int(getattr(batch, name)[index])
        return None if value == UNKNOWN else value

    dimm = coordinate("dimm")
    return Ereport(
        host=batch.host,
        boot_id=batch.boot_id,
        seq=int(batch.seq[index]),
        time_ns=int(batch.time_ns[index]),
        kind="ue" if batch.kind[index] == Kind.UE else "ce",
        count=int(batch.count[index]),
        address=int(batch.address[index]) if batch.located[index] else None,
        dimm=None if dimm is None else batch.dimms[dimm],
        rank=coordinate("rank"),
        bank=coordinate("bank"),
        row=coordinate("row"),
        column=coordinate("column"),
    )


def pack(batch: Batch) -> bytes:
    """`batch` in the packed encoding.

    Raises:
        ValueError: if it is empty or holds more than `BATCH_MAX` ereports.
    """
    if not 0 < len(batch) <= BATCH_MAX:
        raise ValueError(f"a message holds 1 to {BATCH_MAX} ereports (got {len(batch)})")
    header = Header(
        host=batch.host,
        boot_id=batch.boot_id,
        first_seq=int(batch.seq[0]),
        count=len(batch),
        dimms=batch.dimms,
    )
    text = header.model_dump_json().encode()
    text += b" " * (-(_PREFIX.size + len(text)) % 8)
    columns = b"".join(getattr(batch, name).astype(dtype).tobytes() for name, dtype in COLUMNS)
    body = struct.pack("<I", len(text)) + text + columns
    return MAGIC + struct.pack("<I", crc32(body)) + body


def _unpack(payload: bytes) -> Batch:
    if len(payload) < _PREFIX.size:
        raise Malformed(f"packed batch: {len(payload)} bytes, too short for its prefix")
    _, checksum, header_bytes = _PREFIX.unpack_from(payload)
    if crc32(memoryview(payload)[8:]) != checksum:
        raise Malformed("packed batch: the checksum does not match, the message was damaged")
    columns_at = _PREFIX.size + header_bytes
    header = _header(payload[_PREFIX.size : columns_at])
    want = columns_at + header.count * _RECORD_BYTES
    if len(payload) != want:
        raise Malformed(
            f"packed batch: {header.count} ereports need {want} bytes (got {len(payload)})"
        )
    return _checked(_view(payload, header, columns_at), header)


def _header(text: bytes) -> Header:
    try:
        return Header.model_validate_json(text)
    except ValidationError as error:
        raise Malformed(f"packed batch, header: {one_line(error)}") from None


def _view(payload: bytes, header: Header, offset: int) -> Batch:
    """The columns as views into the payload: nothing is copied."""
    columns: dict[str, Any] = {}
    for name, dtype in COLUMNS:
        columns[name] = np.frombuffer(payload, dtype, header.count, offset)
        offset += dtype.itemsize * header.count
    return Batch(header.host, header.boot_id, header.dimms, **columns)


def _checked(batch: Batch, header: Header) -> Batch:
    """`batch`, if every value is one that the JSON door would let in."""
    checks = {
        "seq": batch.seq[0] == header.first_seq and int(batch.seq.max()) < 1 << 63,
        "time_ns": int(batch.time_ns.min()) >= 0,
        "address": not batch.address[~batch.located].any(),
        "dimm": int(batch.dimm.min()) >= UNKNOWN and int(batch.dimm.max()) < len(header.dimms),
        "rank": int(batch.rank.min()) >= UNKNOWN,
        "bank": int(batch.bank.min()) >= UNKNOWN,
        "row": int(batch.row.min()) >= UNKNOWN,
        "column": int(batch.column.min()) >= UNKNOWN,
        "kind": int(batch.kind.max()) <= max(Kind),
        "located": int(batch.located.view(np.uint8).max()) <= 1,
    }
    for name, good in checks.items():
        if not good:
            raise Malformed(f"packed batch, column {name}: a value is out of range")
    return batch
