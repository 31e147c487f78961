"""Real Xen's call: the invariants of words, ranges and errors, by their numbers.

F is how Xen 4.17 has it. S is how it ought to be: so with the defect mended, or in the 2008 design,
which the `page_…` calls of the same host are.
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
from emulator.xen.defects import MENDED, Defects, Down, HostDown
from emulator.xen.frametable import FrameState
from emulator.xen.pages import PageKind
from emulator.xen.sysctl import WORDS_MAX, Caller
from emulator.xen.words import FILLER, Offline, Online, decode_offline, decode_query
from tests.support.xen import GOLDEN, HVM_GUEST, ON_SMALL, PV_GUEST, SMALL, Xen

OFFLINE, ONLINE, QUERY = SysctlCommand
CPU_0, CPU_1, GUEST = Caller(cpu=0), Caller(cpu=1), Caller(is_privileged=False)

FREE = ON_SMALL[PageKind.FREE]
DOM0 = ON_SMALL[PageKind.DOM0]
PV = ON_SMALL[PageKind.PV]
HVM = ON_SMALL[PageKind.HVM]
HOLE = ON_SMALL[PageKind.NOT_RAM]
IMAGE = ON_SMALL[PageKind.XEN_IMAGE]
ANONYMOUS = ON_SMALL[PageKind.ANONYMOUS]

LAST_LOW = Mfn(0x9E)


@pytest.fixture
def xen() -> Xen:
    return Xen()


@pytest.fixture
def mended() -> Xen:
    return Xen(SMALL, MENDED)


def failed(errno: Errno) -> SysctlReply:
    return SysctlReply(ret=-1, errno=errno)


def crashed(answer: SysctlReply | HostDown) -> bool:
    return isinstance(answer, HostDown) and answer.kind is Down.CRASHED


def hung(answer: SysctlReply | HostDown) -> bool:
    return isinstance(answer, HostDown) and answer.kind is Down.HUNG


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


def test_a_range_with_more_words_than_xen_can_allocate_is_refused() -> None:
    xen = Xen(GOLDEN)
    assert xen.query(0x40000, 0x40000 + WORDS_MAX) == failed(Errno.ENOMEM)
    assert len(xen.query(0x40000, 0x40000 + WORDS_MAX - 1).words) == WORDS_MAX


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


@pytest.mark.parametrize(
    ("kind", "domid"),
    [
        (PageKind.PV, PV_GUEST),
        (PageKind.PAGE_TABLE, PV_GUEST),
        (PageKind.SHARED_INFO, PV_GUEST),
        (PageKind.HVM, HVM_GUEST),
    ],
)
def test_invariant_35_a_domains_pending_pages_are_offlined_when_it_is_destroyed(
    xen: Xen, kind: PageKind, domid: DomId
) -> None:
    xen.offline(ON_SMALL[kind])
    xen.host.destroy(xen.host.domains[domid])
    assert xen.query(ON_SMALL[kind]).words == (2,)


def test_invariant_35_all_pages_of_a_domain_can_leave_with_it(xen: Xen) -> None:
    domain = xen.host.domains[PV_GUEST]
    xen.offline(0x300, 0x33F)
    xen.host.destroy(domain)
    assert xen.query(0x300, 0x33F).words == (2,) * 64
    assert xen.host.check() == []


def test_invariant_44_asking_again_about_a_broken_page_crashes_its_owner(xen: Xen) -> None:
    xen.break_page(PV)
    reply = xen.offline(PV)
    assert (reply.ret, reply.words) == (0, (0x10,))
    assert xen.host.domains[PV_GUEST].has_crashed


def test_invariant_44_a_query_of_a_broken_page_harms_nobody(xen: Xen) -> None:
    xen.break_page(PV)
    assert xen.query(PV).words == (0x18,)
    assert not xen.host.domains[PV_GUEST].has_crashed


def test_invariant_44_dom0_takes_the_host_with_it(xen: Xen) -> None:
    xen.break_page(DOM0)
    assert crashed(xen.call(OFFLINE, DOM0))


@pytest.mark.parametrize("kind", [PageKind.LOW, PageKind.M2P, PageKind.COW])
def test_invariant_44_an_owner_that_is_no_domain_cannot_be_crashed(
    xen: Xen, kind: PageKind
) -> None:
    xen.break_page(ON_SMALL[kind])
    assert xen.offline(ON_SMALL[kind]).words == (0x10,)


@pytest.mark.parametrize("mfn", [PV, DOM0])
def test_invariant_44_once_mended_it_is_only_reported(mended: Xen, mfn: Mfn) -> None:
    mended.break_page(mfn)
    assert mended.offline(mfn).words == (0x10,)
    assert not any(domain.has_crashed for domain in mended.host.domains.values())


def test_invariant_44_in_the_design_asking_again_harms_nobody(xen: Xen) -> None:
    xen.break_page(PV)
    xen.host.page_offline_pending([PV])
    assert not xen.host.domains[PV_GUEST].has_crashed


def test_a_crashed_guest_runs_no_more_and_keeps_its_pages(xen: Xen) -> None:
    xen.break_page(PV)
    xen.offline(PV)
    assert not xen.host.domains[PV_GUEST].is_running
    assert decode_query(xen.query(PV).words[0]) == 0x18


@pytest.mark.parametrize("mfn", [PV, DOM0, ON_SMALL[PageKind.SHARED_INFO]])
def test_defect_7_after_a_first_request_from_cpu_0_the_second_hangs_the_host(
    xen: Xen, mfn: Mfn
) -> None:
    first = xen.call(OFFLINE, mfn, caller=CPU_0)
    assert isinstance(first, SysctlReply)
    assert hung(xen.call(OFFLINE, mfn, caller=CPU_1))


def test_defect_7_a_first_request_from_another_cpu_repairs_the_lock(xen: Xen) -> None:
    for caller in (CPU_1, CPU_0, CPU_0):
        assert isinstance(xen.call(OFFLINE, PV, caller=caller), SysctlReply)


def test_defect_7_each_domain_has_a_lock_of_its_own(xen: Xen) -> None:
    xen.call(OFFLINE, PV, caller=CPU_0)
    assert isinstance(xen.call(OFFLINE, DOM0, caller=CPU_0), SysctlReply)


@pytest.mark.parametrize("mfn", [HVM, FREE, ANONYMOUS, Mfn(0x50), ON_SMALL[PageKind.M2P]])
def test_defect_7_only_pages_of_pv_domains_have_it(xen: Xen, mfn: Mfn) -> None:
    xen.call(OFFLINE, mfn, caller=CPU_0)
    assert isinstance(xen.call(OFFLINE, mfn, caller=CPU_0), SysctlReply)


def test_defect_7_once_mended_the_second_request_from_cpu_0_is_answered(mended: Xen) -> None:
    mended.call(OFFLINE, PV, caller=CPU_0)
    assert isinstance(mended.call(OFFLINE, PV, caller=CPU_0), SysctlReply)


def test_defect_1_once_mended_online_of_a_broken_page_is_refused_and_the_host_lives(
    mended: Xen,
) -> None:
    mended.break_page(FREE)
    reply = mended.online(FREE)
    assert (reply.errno, reply.words) == (Errno.EINVAL, (Online.FAILED | Online.BROKEN,))
    assert mended.query(FREE).words == (0x12,)


@pytest.mark.parametrize(("leaves", "is_scrubbed"), [(True, False), (False, True)])
def test_defect_3_a_page_brought_back_holds_what_was_in_it(leaves: bool, is_scrubbed: bool) -> None:
    xen = Xen(SMALL, Defects(online_leaves_content=leaves))
    page = xen.host.domains[PV_GUEST].p2m[5:6].copy()
    xen.offline(int(page[0]))
    xen.host.destroy(xen.host.domains[PV_GUEST])
    xen.online(int(page[0]))
    assert (xen.host.memory.read(page)[0] == 0) == is_scrubbed


def test_a_host_that_is_down_answers_nothing_any_more(xen: Xen) -> None:
    down = xen.call(OFFLINE, 0, 0xFFFFFFFF)
    assert xen.call(QUERY, FREE) is down
