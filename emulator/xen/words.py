"""The 32-bit words of real Xen's page-offline call, in its two encodings.

    31            16 15 14 13          8 7            0
    ┌───────────────┬─────┬─────────────┬─────────────┐
    │ owner's domid │  0  │  qualifier  │   outcome   │   answers to offline and online
    └───────────────┴─────┴─────────────┴─────────────┘

A query is answered in another encoding, of the same bits with other meanings: 8 is FAILED in the
one and PENDING in the other. So a word can only be read by who knows what was asked.

A slot that Xen never wrote reads `FILLER`: the array is preset byte by byte with INVALID. Taken for
an answer it would name domain 257 as an owner; look at INVALID first.
"""

from dataclasses import dataclass
from enum import STRICT, IntFlag
from typing import TypeVar

from agent.contract.frames import DomId

FILLER = 0x01010101

NOBODY = DomId(0)
DOMID_IO = DomId(0x7FF1)
DOMID_XEN = DomId(0x7FF2)
DOMID_COW = DomId(0x7FF3)
DOMID_INVALID = DomId(0x7FF4)

WORD_BITS = 32
_OWNER_SHIFT = 16
_FLAGS_MASK = (1 << _OWNER_SHIFT) - 1


class Offline(IntFlag, boundary=STRICT):
    """Bits of an answer to offline. `DOM0PAGE` is defined, and no Xen ever set it."""

    INVALID = 1 << 0
    OFFLINED = 1 << 1
    PENDING = 1 << 2
    FAILED = 1 << 3
    AGAIN = 1 << 4
    XENPAGE = 1 << 8
    DOM0PAGE = 1 << 9
    ANONYMOUS = 1 << 10
    NOT_CONV_RAM = 1 << 11
    OWNED = 1 << 12
    BROKEN = 1 << 13


class Online(IntFlag, boundary=STRICT):
    """Bits of an answer to online. No bit at all: it was in use or free, and nothing was done."""

    ONLINED = 1 << 1
    FAILED = 1 << 3
    BROKEN = 1 << 13


class Query(IntFlag, boundary=STRICT):
    """Bits of an answer to a query. `ONLINE` is defined and never set: an online page reads 0."""

    OFFLINED = 1 << 1
    ONLINE = 1 << 2
    PENDING = 1 << 3
    BROKEN = 1 << 4


NO_FLAGS = Offline(0)

AnyFlags = TypeVar("AnyFlags", Online, Query)


@dataclass(frozen=True, slots=True)
class Word:
    """An answer to offline: what became of the page, and what its owner field says.

    The field may name an owner without OWNED (DOMID_XEN, DOMID_INVALID), and 0 with OWNED is dom0.
    """

    flags: Offline
    owner: DomId = NOBODY

    def encode(self) -> int:
        return self.owner << _OWNER_SHIFT | int(self.flags)


def decode_offline(word: int) -> Word | None:
    """What the word says; None if Xen never wrote it.

    Raises:
        ValueError: if it is no such word.
    """
    _check_width(word)
    if word & Offline.INVALID:
        return None
    return Word(Offline(word & _FLAGS_MASK), DomId(word >> _OWNER_SHIFT))


def decode_online(word: int) -> Online | None:
    """As `decode_offline`, for an answer to online."""
    return _decode(word, Online)


def decode_query(word: int) -> Query | None:
    """As `decode_offline`, for an answer to a query."""
    return _decode(word, Query)


def _decode(word: int, flags: type[AnyFlags]) -> AnyFlags | None:
    _check_width(word)
    return None if word & Offline.INVALID else flags(word)


def _check_width(word: int) -> None:
    if not 0 <= word < 1 << WORD_BITS:
        raise ValueError(f"a word has {WORD_BITS} bits (got {word:#x})")
