"""Real Xen's call: the invariants of words, ranges and errors, 23 to 34, by their numbers.

What is not said to be otherwise is how Xen 4.17 has it. How it ought to be is a test beside it:
with the defect mended, or in the 2008 design, which the `page_…` calls of the same host are.
"""

import pytest

from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import (
    Errno,
    PageStatus,
    Refusal,
    SysctlCommand,
    SysctlReply,
)
from emulator.xen.defects import Down, HostDown
from emulator.xen.frametable import FrameState
from emulator.xen.pages import PageKind
from emulator.xen.sysctl import Caller
from emulator.xen.words import FILLER, Offline, Query, Word, decode_offline, decode_query
from tests.support.xen import HVM_GUEST, ON_SMALL, PV_GUEST, Xen

OFFLINE = SysctlCommand.OFFLINE
GUEST = Caller(is_privileged=False)

FREE = ON_SMALL[PageKind.FREE]
PV = ON_SMALL[PageKind.PV]
HOLE = ON_SMALL[PageKind.NOT_RAM]
IMAGE = ON_SMALL[PageKind.XEN_IMAGE]
ANONYMOUS = ON_SMALL[PageKind.ANONYMOUS]

LAST_LOW = Mfn(0x9E)


def failed(errno: Errno) -> SysctlReply:
    return SysctlReply(ret=-1, errno=errno)


def crashed(answer: SysctlReply | HostDown) -> bool:
    return isinstance(answer, HostDown) and answer.kind is Down.CRASHED


def test_invariant_23_the_bit_that_says_failed_says_pending_in_a_query() -> None:
    assert (decode_offline(8), decode_query(8)) == (Word(Offline.FAILED), Query.PENDING)


def test_invariant_23_the_bit_that_says_pending_says_online_in_a_query() -> None:
    assert (decode_offline(4), decode_query(4)) == (Word(Offline.PENDING), Query.ONLINE)


@pytest.mark.parametrize("kind", PageKind)
def test_invariant_23_no_query_ever_has_the_bit_of_online(xen: Xen, kind: PageKind) -> None:
    word = decode_query(xen.query(ON_SMALL[kind]).words[0])
    assert word is None or Query.ONLINE not in word


def test_invariant_24_a_range_includes_both_its_ends(xen: Xen) -> None:
    assert xen.offline(FREE, FREE + 2).words == (2, 2, 2)


def test_invariant_24_a_range_stops_at_its_first_error_and_leaves_the_filler(xen: Xen) -> None:
    reply = xen.offline(LAST_LOW, LAST_LOW + 3)
    assert (reply.errno, reply.words) == (Errno.EINVAL, (0x7FF11004, 0x808, FILLER, FILLER))


def test_invariant_24_what_was_done_before_the_error_stays_done(xen: Xen) -> None:
    xen.offline(LAST_LOW, LAST_LOW + 3)
    assert xen.host.table.marked() == {LAST_LOW: FrameState.OFFLINING}


def test_invariant_24_pages_behind_the_error_are_not_touched(xen: Xen) -> None:
    xen.offline(IMAGE, 0x400)
    assert xen.host.table.marked() == {}


def test_invariant_24_the_design_refuses_the_whole_call_instead(xen: Xen) -> None:
    reply = xen.host.page_offline_pending([FREE, HOLE])
    assert (reply.changed, xen.host.table.marked()) == (False, {})


def test_invariant_24_whoever_must_change_all_or_none_can_undo_it_page_by_page(xen: Xen) -> None:
    """A safe call on top of Xen's: ask first, and bring back what went before the error."""
    reply = xen.offline(LAST_LOW, LAST_LOW + 3)
    for mfn in range(LAST_LOW, LAST_LOW + reply.words.index(0x808)):
        xen.online(mfn)
    assert xen.host.table.marked() == {}


@pytest.mark.parametrize("cmd", SysctlCommand)
def test_invariant_25_an_inverted_range_is_refused_and_no_word_written(
    xen: Xen, cmd: SysctlCommand
) -> None:
    assert xen.ask(cmd, 5, 4) == failed(Errno.EINVAL)


@pytest.mark.parametrize("cmd", [0, 4, (1 << 32) - 1])
def test_invariant_26_an_unknown_command_is_refused_and_changes_nothing(xen: Xen, cmd: int) -> None:
    reply = xen.ask(cmd, FREE)
    assert (reply.ret, reply.errno, xen.host.table.marked()) == (-1, Errno.EINVAL, {})


@pytest.mark.parametrize(
    ("cmd", "start", "end"), [(OFFLINE, FREE, FREE), (99, FREE, FREE), (OFFLINE, 5, 4)]
)
def test_invariant_27_whoever_is_not_privileged_hears_that_before_all_else(
    xen: Xen, cmd: int, start: int, end: int
) -> None:
    assert xen.call(cmd, start, end, GUEST) == failed(Errno.EPERM)


def test_invariant_27_whoever_is_not_privileged_cannot_crash_the_host(xen: Xen) -> None:
    assert xen.call(OFFLINE, 0, 0xFFFFFFFF, GUEST) == failed(Errno.EPERM)


@pytest.mark.parametrize(
    ("kind", "errno", "word"),
    [
        (PageKind.ABSENT, Errno.EINVAL, FILLER),
        (PageKind.NOT_RAM, Errno.EINVAL, 0x808),
        (PageKind.XEN_IMAGE, Errno.EPERM, 0x7FF20108),
        (PageKind.LOW, None, 0x7FF11004),
        (PageKind.M2P, None, 0x7FF21004),
    ],
)
def test_invariant_28_each_kind_of_page_that_is_no_guests_has_its_word(
    xen: Xen, kind: PageKind, errno: Errno | None, word: int
) -> None:
    reply = xen.offline(ON_SMALL[kind])
    assert (reply.errno, reply.words) == (errno, (word,))


@pytest.mark.parametrize("mfn", [HOLE, IMAGE])
def test_invariant_29_online_of_a_hole_or_of_the_image_succeeds_at_nothing(
    xen: Xen, mfn: Mfn
) -> None:
    assert xen.online(mfn) == SysctlReply(ret=0, words=(0,), buffer_touched=True)


@pytest.mark.parametrize(
    ("mfn", "refusal"), [(HOLE, Refusal.OUT_OF_RANGE), (IMAGE, Refusal.XEN_HEAP)]
)
def test_invariant_29_the_design_refuses_that(xen: Xen, mfn: Mfn, refusal: Refusal) -> None:
    assert xen.host.page_online([mfn]).pages[0].refusal is refusal


def test_invariant_30_a_number_of_more_than_32_bits_loses_the_rest(xen: Xen) -> None:
    xen.offline((1 << 32) + FREE)
    assert xen.query(FREE).words == (2,)


def test_invariant_30_once_mended_such_a_number_is_refused(mended: Xen) -> None:
    assert mended.offline((1 << 32) + FREE) == failed(Errno.EINVAL)
    assert mended.host.table.marked() == {}


def test_invariant_30_a_range_that_is_inverted_once_it_is_cut_is_refused(xen: Xen) -> None:
    assert xen.offline(0xFFFFFFFF, 1 << 32) == failed(Errno.EINVAL)


def test_invariant_30_a_range_that_is_inverted_until_it_is_cut_is_refused_too(xen: Xen) -> None:
    """The tools' library looks at the whole numbers, Xen at what is left of them."""
    assert xen.offline((1 << 32) + FREE, FREE) == failed(Errno.EINVAL)


@pytest.mark.parametrize("cmd", [*SysctlCommand, 99])
def test_invariant_30_the_range_of_all_numbers_crashes_the_host(xen: Xen, cmd: int) -> None:
    assert crashed(xen.call(cmd, 0, 0xFFFFFFFF))


def test_invariant_30_once_mended_the_range_of_all_numbers_is_refused(mended: Xen) -> None:
    assert mended.offline(0, 0xFFFFFFFF) == failed(Errno.EINVAL)


def test_invariant_31_a_page_without_an_owner_fails_and_is_marked_all_the_same(xen: Xen) -> None:
    assert (xen.offline(ANONYMOUS).ret, xen.query(ANONYMOUS).words) == (0, (8,))


def test_invariant_31_online_cancels_that(xen: Xen) -> None:
    xen.offline(ANONYMOUS)
    assert (xen.online(ANONYMOUS).words, xen.query(ANONYMOUS).words) == ((2,), (0,))


def test_invariant_31_the_design_leaves_what_it_fails_unchanged(xen: Xen) -> None:
    reply = xen.host.page_offline_pending([ANONYMOUS])
    assert (reply.pages[0].status, xen.host.table.marked()) == (PageStatus.FAILED, {})


@pytest.mark.parametrize(
    ("kind", "owner"),
    [
        (PageKind.PV, PV_GUEST),
        (PageKind.HVM, HVM_GUEST),
        (PageKind.PAGE_TABLE, PV_GUEST),
        (PageKind.SHARED_INFO, PV_GUEST),
        (PageKind.DOM0, DomId(0)),
    ],
)
def test_invariant_32_an_owned_page_names_its_domain(
    xen: Xen, kind: PageKind, owner: DomId
) -> None:
    word = decode_offline(xen.offline(ON_SMALL[kind]).words[0])
    assert word is not None
    assert (Offline.OWNED in word.flags, word.owner) == (True, owner)


def test_invariant_32_owner_0_without_owned_is_nobody(xen: Xen) -> None:
    word = decode_offline(xen.offline(FREE).words[0])
    assert word is not None
    assert (Offline.OWNED in word.flags, word.owner) == (False, 0)


def test_invariant_33_the_owner_can_be_another_one_when_asked_again(xen: Xen) -> None:
    """The first answer named domain 1; acting on that domain now would hit an innocent."""
    first = xen.offline(PV).words
    xen.host.destroy(xen.host.domains[PV_GUEST])
    assert (first, xen.offline(PV).words) == ((0x11004,), (2,))


@pytest.mark.parametrize("kind", PageKind)
def test_invariant_34_no_answer_ever_has_the_bit_of_dom0s_pages(xen: Xen, kind: PageKind) -> None:
    word = decode_offline(xen.offline(ON_SMALL[kind]).words[0])
    assert word is None or Offline.DOM0PAGE not in word.flags
