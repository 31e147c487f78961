"""A memory device as the firmware describes it: one raw record of SMBIOS, type 17.

    0   type, length, handle      12  size, in MiB or KiB       16  where it is plugged in
    23  maker   24  serial        26  part                      28  size, where 12 has no room

Texts are numbers of strings that follow the record. Many firmwares leave fields empty, or fill them
with a phrase that says so: then there is none.
"""

from dataclasses import dataclass

MEMORY_DEVICE = 17

_SIZE, _LOCATOR, _SERIAL, _PART, _EXTENDED_SIZE = 12, 16, 24, 26, 28
_UNKNOWN_SIZE, _IN_EXTENDED_SIZE, _IN_KIB = 0xFFFF, 0x7FFF, 0x8000
_TEXT_MAX = 128
_NOTHING = frozenset({"", "unknown", "none", "not specified", "no dimm", "empty", "na", "n/a"})


@dataclass(frozen=True, slots=True)
class MemoryDevice:
    """A DIMM that is plugged in. Texts are empty where the firmware says none."""

    locator: str
    bytes: int
    part: str
    serial: str


def memory_device(raw: bytes) -> MemoryDevice | None:
    """The DIMM that `raw` describes; None for an empty socket, or what is no such record."""
    length = raw[1] if len(raw) > 1 else 0
    if length <= _PART or raw[0] != MEMORY_DEVICE or len(raw) < length:
        return None
    size = _size(raw[:length])
    if not size:
        return None
    texts = raw[length:].split(b"\0")
    locator, part, serial = (_text(texts, raw[at]) for at in (_LOCATOR, _PART, _SERIAL))
    return MemoryDevice(locator, size, part, serial)


def _size(record: bytes) -> int:
    size = int.from_bytes(record[_SIZE : _SIZE + 2], "little")
    if size == _UNKNOWN_SIZE:
        return 0
    if size == _IN_EXTENDED_SIZE and len(record) >= _EXTENDED_SIZE + 4:
        size = int.from_bytes(record[_EXTENDED_SIZE : _EXTENDED_SIZE + 4], "little")
        return (size & 0x7FFF_FFFF) << 20
    return (size & ~_IN_KIB) << 10 if size & _IN_KIB else size << 20


def _text(texts: list[bytes], number: int) -> str:
    if not 0 < number <= len(texts):
        return ""
    text = " ".join(texts[number - 1].decode(errors="replace").split())[:_TEXT_MAX]
    return "" if text.lower() in _NOTHING else text
