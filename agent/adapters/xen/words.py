"""What real Xen says about one page: return code, errno and word, read together. Pure.

Alone, each of the three misleads. FAILED comes with 0 and has *changed* the page (nobody known owns
it), or with -1 and has not. A word that Xen did not write keeps the filler that it was preset with,
and that looks like an owner. And a bit means one thing in a query and another in an answer to
offline: 8 is PENDING there and FAILED here.

Where this is from: the bits are those of Xen's public header `sysctl.h`; each row was seen with a
Xen 4.17.7, and the table of these cases in `tests/conformance` was recorded there. A combination
that was never seen is nobody's guess: it is `PeerError`, and the page is left alone.
"""

import errno
from dataclasses import dataclass
from enum import Enum, IntEnum, auto

from agent.contract.errors import PeerError
from agent.contract.frames import DOM0, FIRST_RESERVED_DOMID, DomId

FILLER = 0x01010101  # how Xen presets every word, and how we do
DOMID_COW = 0x7FF3

_UNWRITTEN = 1 << 0
_OWNER_SHIFT = 16
_FLAGS = (1 << _OWNER_SHIFT) - 1


class Bit(IntEnum):
    """Of an answer to offline or online."""

    OFFLINED = 1 << 1
    PENDING = 1 << 2
    FAILED = 1 << 3
    AGAIN = 1 << 4
    XENPAGE = 1 << 8
    ANONYMOUS = 1 << 10
    NOT_CONV_RAM = 1 << 11
    OWNED = 1 << 12
    BROKEN = 1 << 13


class QueryBit(IntEnum):
    """Of an answer to a query: other meanings, for some of the same bits."""

    OFFLINED = 1 << 1
    PENDING = 1 << 3
    BROKEN = 1 << 4


@dataclass(frozen=True, slots=True)
class Answer:
    """As the library returned it. `errno` is only told where `ret` is not 0."""

    ret: int
    errno: int = 0
    word: int = FILLER


class Place(Enum):
    """Where a page stands."""

    ONLINE = auto()  # in use or free: Xen does not say which
    PENDING = auto()  # it leaves when whoever uses it lets go
    OFFLINED = auto()
    NO_MEMORY = auto()  # there is no such page, or it is no RAM


class Holder(Enum):
    """Who keeps a page that was asked for."""

    NOBODY = auto()  # it has left at once
    GUEST = auto()
    DOM0 = auto()
    XEN = auto()  # its heap, its tables, the first megabyte: never freed, or hardly
    XEN_IMAGE = auto()  # the same, and not even marked
    SHARED = auto()  # by memory sharing
    UNKNOWN = auto()  # in use, and without an owner who could be named


@dataclass(frozen=True, slots=True)
class Found:
    """What a query found."""

    place: Place
    is_broken: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of asking for a page. `owner` is there if and only if a guest holds it."""

    place: Place
    holder: Holder = Holder.NOBODY
    owner: DomId | None = None
    is_broken: bool = False


QUERIED: dict[int, Place] = {
    0: Place.ONLINE,
    QueryBit.OFFLINED: Place.OFFLINED,
    QueryBit.PENDING: Place.PENDING,
}

# Return 0, without BROKEN: flags, and what they say. OWNED is read by its owner, below.
TAKEN: dict[int, Taken] = {
    Bit.OFFLINED: Taken(Place.OFFLINED),
    Bit.PENDING | Bit.XENPAGE: Taken(Place.PENDING, Holder.XEN),
    Bit.FAILED | Bit.ANONYMOUS: Taken(Place.PENDING, Holder.UNKNOWN),
    # Broken and owned. Whoever asked has just crashed the owner, and Xen does not say who that was.
    Bit.AGAIN: Taken(Place.PENDING, Holder.UNKNOWN, is_broken=True),
}

REFUSED: dict[tuple[int, int], Taken] = {
    (errno.EPERM, Bit.FAILED | Bit.XENPAGE): Taken(Place.ONLINE, Holder.XEN_IMAGE),
    (errno.EINVAL, Bit.FAILED | Bit.NOT_CONV_RAM): Taken(Place.NO_MEMORY),
}

NOT_ANSWERED: dict[int, str] = {
    errno.EPERM: "this is not the control domain, or its rights were taken",
    errno.EACCES: "library and hypervisor are of different releases: reboot into the installed one",
    errno.ENOSYS: "this Xen was built without the call",
    errno.EFAULT: "the answer could not be written",
    errno.ENOMEM: "Xen has no memory for the answer",
}


def read_query(answer: Answer) -> Found:
    """Raises PeerError for what no Xen was seen to answer; so do the others."""
    if answer.ret:
        _check_no_memory(answer, "query")
        return Found(Place.NO_MEMORY)
    place = QUERIED.get(answer.word & ~QueryBit.BROKEN)
    if place is None:
        raise _unheard_of(answer, "query")
    return Found(place, bool(answer.word & QueryBit.BROKEN))


def read_offline(answer: Answer) -> Taken:
    if answer.word & _UNWRITTEN:
        _check_no_memory(answer, "offline")
        return Taken(Place.NO_MEMORY)
    flags = answer.word & _FLAGS & ~Bit.BROKEN
    is_broken = bool(answer.word & Bit.BROKEN)
    owner = answer.word >> _OWNER_SHIFT
    if answer.ret:
        taken = REFUSED.get((answer.errno, flags))
    elif flags == Bit.PENDING | Bit.OWNED:
        taken = _held_by(owner)
    else:
        taken = TAKEN.get(flags)
    if taken is None:
        raise _unheard_of(answer, "offline")
    return Taken(taken.place, taken.holder, taken.owner, is_broken or taken.is_broken)


def read_online(answer: Answer) -> bool:
    """True if the page was marked or offlined, and is not any more."""
    if answer.ret or answer.word not in (0, Bit.OFFLINED):
        raise _unheard_of(answer, "online")
    return bool(answer.word)


def _held_by(owner: int) -> Taken:
    """OWNED alone does not name a guest: 0 is dom0, and what is reserved is Xen's own."""
    if owner == DOM0:
        return Taken(Place.PENDING, Holder.DOM0)
    if owner == DOMID_COW:
        return Taken(Place.PENDING, Holder.SHARED)
    if owner >= FIRST_RESERVED_DOMID:
        return Taken(Place.PENDING, Holder.XEN)
    return Taken(Place.PENDING, Holder.GUEST, DomId(owner))


def _check_no_memory(answer: Answer, call: str) -> None:
    """`EINVAL` and no word written is how a page is answered that is not there."""
    if not (answer.ret and answer.errno == errno.EINVAL and answer.word & _UNWRITTEN):
        raise _unheard_of(answer, call)


def _unheard_of(answer: Answer, call: str) -> PeerError:
    name = errno.errorcode.get(answer.errno, str(answer.errno))
    if answer.ret and answer.word & _UNWRITTEN and answer.errno in NOT_ANSWERED:
        return PeerError(f"Xen refuses the call {call}: {name}: {NOT_ANSWERED[answer.errno]}")
    return PeerError(
        f"Xen answered {call} as no Xen was seen to: {answer.ret}, {name}, word "
        f"{answer.word:#010x}: the page is left alone"
    )
