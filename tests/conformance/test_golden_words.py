"""What a real Xen 4.17.7 answered, asked again here, in the order in which it was asked there.

The frames are those of the recording, where the record names them. Guests' frames it does not; they
are of domain 1, as there.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from agent.contract.hypercall import Errno, SysctlReply
from emulator.xen.layout import Layout
from emulator.xen.words import FILLER
from tests.support.xen import GOLDEN, GOLDEN_3_GIB, PV_GUEST, SMALL, Xen

EINVAL, EPERM = Errno.EINVAL, Errno.EPERM
OFF, ON, Q = 1, 2, 3
TABLES = (0x2003C, 0x2003D, 0x2003E, 0x2003F)  # L1 to L4
SHARED_INFO = 0x900  # the first that was free

Step = tuple[int, int, int, Errno | None, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Row:
    """`mark` is V (executed) or R (read in the source)."""

    mark: str
    title: str
    steps: tuple[Step, ...]
    layout: Layout = GOLDEN


def one(cmd: int, mfn: int, word: int, errno: Errno | None = None) -> Step:
    return (cmd, mfn, mfn, errno, (word,))


def pending(mfn: int, word: int) -> tuple[Step, ...]:
    """The nine steps that every page in use went through."""
    marked = (one(OFF, mfn, word), one(Q, mfn, 8))
    back = (one(ON, mfn, 2), one(Q, mfn, 0), one(ON, mfn, 0), one(Q, mfn, 0))
    return (one(Q, mfn, 0), *marked, *marked, *back)


def free(mfn: int) -> tuple[Step, ...]:
    marked = (one(OFF, mfn, 2), one(Q, mfn, 2))
    back = (one(ON, mfn, 2), one(Q, mfn, 0), one(ON, mfn, 0), one(Q, mfn, 0))
    return (one(Q, mfn, 0), *marked, *marked, *back)


def image(mfn: int) -> tuple[Step, ...]:
    refused = (one(OFF, mfn, 0x7FF20108, EPERM), one(Q, mfn, 0))
    online = (one(ON, mfn, 0), one(Q, mfn, 0))
    return (one(Q, mfn, 0), *refused, *refused, *online, *online)


def not_ram(mfn: int) -> tuple[Step, ...]:
    unknown = one(Q, mfn, FILLER, EINVAL)
    refused = (one(OFF, mfn, 0x808, EINVAL), unknown)
    return (unknown, *refused, *refused, one(ON, mfn, 0), unknown, one(ON, mfn, 0), unknown)


def nothing_there(mfn: int) -> tuple[Step, ...]:
    return tuple(one(cmd, mfn, FILLER, EINVAL) for cmd in (Q, OFF, Q, OFF, Q, ON, Q, ON, Q))


def each(
    mark: str, title: str, steps: Callable[[int], tuple[Step, ...]], *mfns: int
) -> tuple[Row, ...]:
    return tuple(Row(mark, f"{title} {mfn:x}", steps(mfn)) for mfn in mfns)


def in_use(title: str, word: int, *mfns: int) -> tuple[Row, ...]:
    return each("V", title, lambda mfn: pending(mfn, word), *mfns)


HVM_FIRST = replace(SMALL, guests=SMALL.guests[::-1])  # so that it is domain 1

FOUR_FREE = (0x10C00, 0x10C03)
FREE_THEN_DOM0 = (0x3FFFE, 0x40001)
DOM0_THEN_IMAGE = (0x7F9FF, 0x7FA02)
LOW_THEN_HOLE = (0x9D, 0xA0)
FREE_TO_END = (0x7FFD8, 0x7FFDE)

ROWS: tuple[Row, ...] = (
    *each("V", "free", free, 0x1E859, 0x10C18, 0x7F800, 0x7FF00),
    *in_use("dom0", 0x1004, 0x4BEBA, 0x7F9FF, 0x100),
    *in_use("domU plain", 0x11004, 0x20005),
    *in_use("domU page table", 0x11004, *TABLES),
    *in_use("domU shared_info", 0x11004, SHARED_INFO),
    *in_use("low RAM", 0x7FF11004, 0, 0x9E),
    *in_use("owner-less", 0x7FF40408, 0x7FFDA, 0x7FFDB, 0x7FFDC, 0x7A53A),
    Row("V", "M2P b8e00", pending(0xB8E00, 0x7FF21004), GOLDEN_3_GIB),
    Row("V", "private Xen heap", pending(0x150, 0x7FF20104), SMALL),
    Row("V", "HVM guest", pending(0x345, 0x11004)[:6], HVM_FIRST),  # the rest was not asked
    Row("R", "shared memory", pending(0x195, 0x7FF31004), SMALL),
    *each("V", "Xen image", image, 0x7FA00, 0x7FA50, 0x7FC00),
    *each("V", "reserved", not_ram, 0x9F, 0xA0, 0xFF),
    *each("V", "no frame-table entry", nothing_there, 0xFEE00, 0xFFFFF, 0x100000),
    Row("V", "eight free pages", ((OFF, 0x10C18, 0x10C1F, None, (2,) * 8),)),
    Row("V", "two dom0, four free", ((OFF, 0x7F7FE, 0x7F803, None, (0x1004, 0x1004, 2, 2, 2, 2)),)),
    Row("V", "inverted", ((OFF, 5, 4, EINVAL, ()),)),
    Row(
        "V",
        "query across the end of RAM",
        ((Q, 0x7FFDA, 0x7FFE0, EINVAL, (0, 0, 0, *[FILLER] * 4)),),
    ),
    Row(
        "V",
        "offline across the end of RAM",
        (
            (OFF, 0x7FFDA, 0x7FFE0, EINVAL, (*[0x7FF40408] * 3, *[FILLER] * 4)),
            (Q, 0x7FFDA, 0x7FFDC, None, (8, 8, 8)),
        ),
    ),
    Row(
        "V",
        "beyond 32 bits",
        (one(OFF, 0x1_0001_0C18, 2), one(Q, 0x10C18, 2), one(ON, 0x10C18, 2)),
    ),
    Row(
        "V",
        "range of free pages",
        (
            (OFF, *FOUR_FREE, None, (2,) * 4),
            (Q, *FOUR_FREE, None, (2,) * 4),
            (ON, *FOUR_FREE, None, (2,) * 4),
            (Q, *FOUR_FREE, None, (0,) * 4),
        ),
    ),
    Row(
        "V",
        "range of free and dom0",
        (
            (OFF, *FREE_THEN_DOM0, None, (2, 2, 0x1004, 0x1004)),
            (Q, *FREE_THEN_DOM0, None, (2, 2, 8, 8)),
            (ON, *FREE_THEN_DOM0, None, (2, 2, 2, 2)),
            (Q, *FREE_THEN_DOM0, None, (0, 0, 0, 0)),
        ),
    ),
    Row(
        "V",
        "range into the image",
        (
            (OFF, *DOM0_THEN_IMAGE, EPERM, (0x1004, 0x7FF20108, FILLER, FILLER)),
            (Q, *DOM0_THEN_IMAGE, None, (8, 0, 0, 0)),
            (ON, *DOM0_THEN_IMAGE, None, (2, 0, 0, 0)),
        ),
    ),
    Row(
        "V",
        "range into a hole",
        (
            (OFF, *LOW_THEN_HOLE, EINVAL, (0x7FF11004, 0x7FF11004, 0x808, FILLER)),
            (Q, *LOW_THEN_HOLE, EINVAL, (8, 8, FILLER, FILLER)),
            (ON, *LOW_THEN_HOLE, None, (2, 2, 0, 0)),
            (Q, 0x9D, 0x9E, None, (0, 0)),
        ),
    ),
    Row(
        "V",
        "range over the owner-less to the end",
        (
            (OFF, *FREE_TO_END, EINVAL, (2, 2, *[0x7FF40408] * 3, FILLER, FILLER)),
            (Q, *FREE_TO_END, EINVAL, (2, 2, 8, 8, 8, FILLER, FILLER)),
            (ON, *FREE_TO_END, EINVAL, (2, 2, 2, 2, 2, FILLER, FILLER)),
            (Q, *FREE_TO_END, EINVAL, (0, 0, 0, 0, 0, FILLER, FILLER)),
        ),
    ),
    Row("V", "range from beyond the end", ((OFF, 0x100000, 0x100001, EINVAL, (FILLER, FILLER)),)),
    Row(
        "V",
        "range from the image",
        (
            (OFF, 0x7FC7F, 0x7FC82, EPERM, (0x7FF20108, FILLER, FILLER, FILLER)),
            (Q, 0x7FC7F, 0x7FC82, None, (0, 0, 0, 0)),
        ),
    ),
)


@pytest.fixture(params=ROWS, ids=lambda row: row.title)
def row(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Row:
    found: Row = request.param
    record_property("evidence", found.mark)
    return found


def test_the_words_are_those_of_real_xen(row: Row) -> None:
    xen = Xen(row.layout)
    answers = [xen.ask(cmd, start, end) for cmd, start, end, _, _ in row.steps]
    assert answers == [reply(errno, words) for _, _, _, errno, words in row.steps]


def reply(errno: Errno | None, words: tuple[int, ...]) -> SysctlReply:
    touched = bool(words)
    if errno is None:
        return SysctlReply(ret=0, words=words, buffer_touched=touched)
    return SysctlReply(ret=-1, errno=errno, words=words, buffer_touched=touched)


@pytest.mark.parametrize("mfn", [0x20005, *TABLES, SHARED_INFO])
def test_a_guests_pending_page_is_offlined_once_the_guest_is_destroyed(
    mfn: int, record_property: Callable[[str, object], None]
) -> None:
    record_property("evidence", "V")
    xen = Xen(GOLDEN)
    xen.offline(mfn)
    xen.host.destroy(xen.host.domains[PV_GUEST])
    assert xen.query(mfn).words == (2,)
