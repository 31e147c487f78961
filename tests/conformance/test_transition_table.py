"""The transition table of real Xen, cell by cell: a page is brought to its row, and asked.

A cell is the state that the page is left in, the word, the error, and the mark: V was executed on
real Xen 4.17.7, R was read in its source. All rows are here. What row 12 says was executed on pages
that have no owner; that the pages of pools and of virtual hardware are such was read.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import pytest

from agent.contract.frames import DOM0, Mfn
from agent.contract.hypercall import Errno, SysctlCommand
from emulator.xen.defects import Down, HostDown
from emulator.xen.frametable import FrameState, FrameTable, ImpossibleTransitionError
from emulator.xen.pageops import Answer
from emulator.xen.pages import PageKind
from emulator.xen.words import FILLER
from tests.support.hosts import fill
from tests.support.xen import HVM_GUEST, ON_SMALL, Xen

FREE, IN_USE, OFFLINING, OFFLINED = FrameState
EINVAL, EPERM = Errno.EINVAL, Errno.EPERM


@dataclass(frozen=True, slots=True)
class Cell:
    """`state` is what the page is left in, or None where it has no state."""

    mark: str
    state: FrameState | None
    word: int
    errno: Errno | None = None


class Held(StrEnum):
    """By dom0, which maps it."""

    MAPPED = "mapped"
    OF_DYING = "of a dying domain"


@dataclass(frozen=True, slots=True)
class Row:
    """A page of `kind` that was brought to `state`, and what each request makes of it.

    `held` is how others hold it beside its owner, if they do. `freed` is what it is once its owner
    frees it, None where nobody ever does.
    """

    number: str
    kind: PageKind
    state: FrameState | None
    offline: Cell
    broken: Cell
    online: Cell
    query: Cell
    freed: FrameState | None = None
    is_broken: bool = False
    held: Held | None = None


def in_use(mark: str, number: str, kind: PageKind, word: int, *, is_freed: bool = True) -> Row:
    return Row(
        number,
        kind,
        IN_USE,
        offline=Cell(mark, OFFLINING, word),
        broken=Cell("R", OFFLINING, word + 0x2000),
        online=Cell("R" if kind is PageKind.HVM else mark, IN_USE, 0),
        query=Cell(mark, IN_USE, 0),
        freed=FREE if is_freed else None,
    )


def offlining(mark: str, kind: PageKind, word: int, *, is_freed: bool = True) -> Row:
    return Row(
        "15",
        kind,
        OFFLINING,
        offline=Cell(mark, OFFLINING, word),
        broken=Cell("R", OFFLINING, word + 0x2000),
        online=Cell(mark, IN_USE, 2),
        query=Cell(mark, OFFLINING, 8),
        freed=OFFLINED if is_freed else None,
    )


def untouchable(
    number: str, kind: PageKind, state: FrameState | None, offline: Cell, *others: Cell
) -> Row:
    """What can neither be marked nor unmarked; the machine-check handler gets the same answer."""
    online, query = others
    broken = Cell("R", offline.state, offline.word, offline.errno)
    return Row(number, kind, state, offline, broken, online, query)


TENANTS: tuple[tuple[str, str, PageKind, int, bool], ...] = (
    ("V", "4", PageKind.PV, 0x11004, True),
    ("V", "4", PageKind.HVM, 0x21004, True),
    ("V", "5", PageKind.DOM0, 0x1004, True),
    ("V", "6", PageKind.PAGE_TABLE, 0x11004, True),
    ("V", "8", PageKind.SHARED_INFO, 0x11004, True),
    ("V", "9", PageKind.XEN_HEAP, 0x7FF20104, True),
    ("V", "10", PageKind.LOW, 0x7FF11004, False),
    ("V", "10a", PageKind.M2P, 0x7FF21004, False),
    ("R", "11", PageKind.COW, 0x7FF31004, True),
    ("V", "12", PageKind.ANONYMOUS, 0x7FF40408, True),
    ("R", "12", PageKind.PAGING_POOL, 0x7FF40408, True),
    ("R", "12", PageKind.HVM_STATE, 0x7FF40408, True),
)


def held(row: Row, number: str, how: Held) -> Row:
    """The same page while others hold it: `freed` is what it is once they have let go too."""
    return replace(row, number=number, held=how)


MAPPED = (
    held(in_use("V", "7", PageKind.PV, 0x11004), "7", Held.MAPPED),
    held(in_use("R", "7", PageKind.HVM, 0x21004), "7", Held.MAPPED),
    held(offlining("V", PageKind.PV, 0x11004), "15", Held.MAPPED),
)
OF_DYING = (
    held(in_use("R", "14", PageKind.PV, 0x11004), "14", Held.OF_DYING),
    held(in_use("R", "14", PageKind.PAGE_TABLE, 0x11004), "14", Held.OF_DYING),
    held(in_use("R", "14", PageKind.HVM, 0x21004), "14", Held.OF_DYING),
    held(offlining("R", PageKind.PV, 0x11004), "15", Held.OF_DYING),
)

ROWS: tuple[Row, ...] = (
    Row(
        "1",
        PageKind.FREE,
        FREE,
        offline=Cell("V", OFFLINED, 2),
        broken=Cell("R", OFFLINED, 0x2002),
        online=Cell("V", FREE, 0),
        query=Cell("V", FREE, 0),
    ),
    Row(
        "2",
        PageKind.FREE,
        OFFLINED,
        offline=Cell("V", OFFLINED, 2),
        broken=Cell("R", OFFLINED, 0x2002),
        online=Cell("V", FREE, 2),
        query=Cell("V", OFFLINED, 2),
    ),
    *(
        in_use(mark, number, kind, word, is_freed=is_freed)
        for mark, number, kind, word, is_freed in TENANTS
    ),
    *(offlining(mark, kind, word, is_freed=freed) for mark, _, kind, word, freed in TENANTS),
    *MAPPED,
    *OF_DYING,
    Row(
        "13",
        PageKind.POD_CACHE,
        IN_USE,
        offline=Cell("R", OFFLINED, 2),
        broken=Cell("R", OFFLINED, 0x2002),
        online=Cell("R", IN_USE, 0),
        query=Cell("R", IN_USE, 0),
    ),
    Row(
        "16",
        PageKind.PV,
        OFFLINING,
        offline=Cell("V", OFFLINING, 0x10),
        broken=Cell("R", OFFLINING, 0x10),
        online=Cell("V", OFFLINING, 0x2008, EINVAL),
        query=Cell("V", OFFLINING, 0x18),
        freed=OFFLINED,
        is_broken=True,
    ),
    untouchable(
        "17",
        PageKind.XEN_IMAGE,
        IN_USE,
        Cell("V", IN_USE, 0x7FF20108, EPERM),
        Cell("V", IN_USE, 0),
        Cell("V", IN_USE, 0),
    ),
    untouchable(
        "18",
        PageKind.NOT_RAM,
        IN_USE,
        Cell("V", IN_USE, 0x808, EINVAL),
        Cell("V", IN_USE, 0),
        Cell("V", IN_USE, FILLER, EINVAL),
    ),
    untouchable("19", PageKind.ABSENT, None, *[Cell("V", None, FILLER, EINVAL) for _ in range(3)]),
)

OF_GUESTS = (PageKind.PV, PageKind.HVM, PageKind.PAGE_TABLE, PageKind.SHARED_INFO)

# Row 3 stands alone, because its ONLINE has no answer: see the last test. Nor has its OFFLINE, for
# a page that headed a buddy of several; so this is a page that did not.
BROKEN_AND_OFFLINED = (
    ("offline", Cell("V", OFFLINED, 2)),
    ("broken", Cell("R", OFFLINED, 0x2002)),
    ("query", Cell("V", OFFLINED, 0x12)),
)

COMMANDS = {
    "offline": SysctlCommand.OFFLINE,
    "online": SysctlCommand.ONLINE,
    "query": SysctlCommand.QUERY,
}


def brought_to(row: Row) -> tuple[Xen, Mfn]:
    xen, mfn = Xen(), ON_SMALL[row.kind]
    if row.is_broken:
        xen.break_page(mfn)
    elif row.state in (OFFLINING, OFFLINED):
        xen.offline(mfn)
    if row.held is not None:
        hold(xen, mfn, row.held)
    return xen, mfn


def hold(xen: Xen, mfn: Mfn, how: Held) -> None:
    host = xen.host
    domain, gfn = host.domains[host.table.holder_of(mfn)], host.table.gfn_of(mfn)
    assert gfn is not None
    host.map_page(DOM0, domain, gfn, stays=True)
    if how is Held.OF_DYING:
        host.destroy(domain)


def asked(xen: Xen, mfn: Mfn, request: str, mark: str) -> Cell:
    """What the request comes to, as a cell."""
    if request == "broken":
        answer = xen.op.pages.offline(mfn, cpu=1, broken=True)
        assert isinstance(answer, Answer)
        word, errno = answer.word, answer.errno
        return Cell(mark, state(xen, mfn), FILLER if word is None else word, errno)
    reply = xen.ask(COMMANDS[request], mfn)
    return Cell(mark, state(xen, mfn), reply.words[0], reply.errno)


def state(xen: Xen, mfn: Mfn) -> FrameState | None:
    table: FrameTable = xen.host.table
    return None if table.kind_of(mfn) is PageKind.ABSENT else table.state_of(mfn)


def cells() -> Iterator[tuple[Row, str, Cell]]:
    for row in ROWS:
        for request in ("offline", "broken", "online", "query"):
            yield row, request, getattr(row, request)


def name(row: Row) -> str:
    return f"row {row.number}, {row.kind}{f', {row.held}' if row.held else ''}"


@pytest.mark.parametrize(
    ("row", "request_", "cell"),
    list(cells()),
    ids=[f"{name(row)}: {request}" for row, request, _ in cells()],
)
def test_a_request_leaves_the_state_and_gives_the_word_of_its_cell(
    row: Row, request_: str, cell: Cell, record_property: Callable[[str, object], None]
) -> None:
    record_property("evidence", cell.mark)
    assert asked(*brought_to(row), request_, cell.mark) == cell


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.freed is not None and row.held is None], ids=name
)
def test_a_page_becomes_what_its_row_says_once_its_owner_frees_it(
    row: Row, record_property: Callable[[str, object], None]
) -> None:
    """Executed for guests' pages that were pending; of the others it is known from the source."""
    record_property("evidence", "V" if row.state is OFFLINING and row.kind in OF_GUESTS else "R")
    xen, mfn = brought_to(row)
    xen.host.table.release(np.array([mfn], np.int64))
    assert state(xen, mfn) is row.freed


@pytest.mark.parametrize("row", [*MAPPED, *OF_DYING], ids=name)
def test_a_page_that_others_hold_becomes_it_only_when_the_last_of_them_lets_go(
    row: Row, record_property: Callable[[str, object], None]
) -> None:
    """Executed for a pending page of a guest that was destroyed."""
    record_property("evidence", "V" if row.state is OFFLINING else "R")
    xen, mfn = brought_to(row)
    if row.held is Held.MAPPED:
        xen.host.destroy(xen.host.domains[xen.host.table.holder_of(mfn)])
    before = state(xen, mfn)
    xen.host.unmap_page(DOM0, mfn)
    assert (before, state(xen, mfn)) == (row.state, row.freed)


@pytest.mark.parametrize("is_there_another", [True, False])
def test_a_frame_of_a_cache_is_replaced_from_its_node_or_the_cache_is_one_smaller(
    record_property: Callable[[str, object], None], *, is_there_another: bool
) -> None:
    record_property("evidence", "R")
    xen, mfn = Xen(), ON_SMALL[PageKind.POD_CACHE]
    domain = xen.host.domains[HVM_GUEST]
    before = len(domain.pod_cache)
    if not is_there_another:
        fill(xen.host)
    xen.offline(mfn)
    assert len(domain.pod_cache) == before - (not is_there_another)
    assert mfn not in domain.pod_cache


@pytest.mark.parametrize("number", ["1", "2"])
def test_nobody_can_free_a_page_that_nobody_has(
    number: str, record_property: Callable[[str, object], None]
) -> None:
    """Xen panics there, and the emulator says so too."""
    record_property("evidence", "R")
    xen, mfn = brought_to(next(row for row in ROWS if row.number == number))
    with pytest.raises(ImpossibleTransitionError):
        xen.host.table.release(np.array([mfn], np.int64))


@pytest.mark.parametrize(("request_", "cell"), BROKEN_AND_OFFLINED)
def test_a_broken_offlined_page_can_still_be_asked_about(
    request_: str, cell: Cell, record_property: Callable[[str, object], None]
) -> None:
    record_property("evidence", cell.mark)
    xen, mfn = Xen(), Mfn(ON_SMALL[PageKind.FREE] + 1)
    xen.break_page(mfn)
    assert asked(xen, mfn, request_, cell.mark) == cell


def test_a_broken_page_that_headed_a_buddy_of_several_takes_the_host_down_when_offlined_again(
    record_property: Callable[[str, object], None],
) -> None:
    record_property("evidence", "V")
    xen, mfn = Xen(), ON_SMALL[PageKind.FREE]
    xen.break_page(mfn)
    down = xen.call(SysctlCommand.OFFLINE, mfn)
    assert isinstance(down, HostDown)
    assert down.kind is Down.CRASHED


def test_a_broken_offlined_page_brought_online_takes_the_host_down(
    record_property: Callable[[str, object], None],
) -> None:
    record_property("evidence", "V")
    xen, mfn = Xen(), ON_SMALL[PageKind.FREE]
    xen.break_page(mfn)
    down = xen.call(SysctlCommand.ONLINE, mfn)
    assert isinstance(down, HostDown)
    assert down.kind is Down.CRASHED
