"""The page calls: each page's answer, and all pages or none."""

import numpy as np
import pytest

from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PAGES_MAX, PageReply, PagesReply, PageStatus, PageUse, Refusal
from emulator.xen import offline
from emulator.xen.frametable import FrameState
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.offline import to_the_unprivileged

XEN, DOM0, HVM, PV, FREE, BEYOND = 10, 100, 400, 600, 2000, 4096


def only(reply: PagesReply) -> PageReply:
    assert len(reply.pages) == 1
    return reply.pages[0]


def test_a_free_page_is_offlined_at_once(host: Hypervisor) -> None:
    assert only(host.page_offline_pending([FREE])) == PageReply(
        mfn=FREE, status=PageStatus.OFFLINED, use=PageUse.FREE
    )


@pytest.mark.parametrize(("mfn", "use", "owner"), [(HVM, PageUse.HVM, 1), (PV, PageUse.PV, 2)])
def test_a_guests_page_is_pending_and_names_its_owner(
    host: Hypervisor, mfn: int, use: PageUse, owner: int
) -> None:
    assert only(host.page_offline_pending([mfn])) == PageReply(
        mfn=mfn, status=PageStatus.OFFLINE_PENDING, use=use, owner=owner
    )


@pytest.mark.parametrize(
    ("mfn", "use", "owner", "refusal"),
    [
        (XEN, PageUse.XEN_HEAP, None, Refusal.XEN_HEAP),
        (DOM0, PageUse.DOM0, 0, Refusal.DOM0),
        (BEYOND, PageUse.UNKNOWN, None, Refusal.OUT_OF_RANGE),
    ],
)
def test_some_pages_cannot_be_offlined(
    host: Hypervisor, mfn: int, use: PageUse, owner: int | None, refusal: Refusal
) -> None:
    assert only(host.page_offline_pending([mfn])) == PageReply(
        mfn=mfn, status=PageStatus.FAILED, use=use, owner=owner, refusal=refusal
    )


@pytest.mark.parametrize("mfn", [FREE, HVM, PV])
def test_asking_again_gives_the_same_answer(host: Hypervisor, mfn: int) -> None:
    first = host.page_offline_pending([mfn])
    assert host.page_offline_pending([mfn]).pages == first.pages


@pytest.mark.parametrize("mfn", [FREE, HVM, PV])
def test_asking_again_changes_nothing(host: Hypervisor, mfn: int) -> None:
    first, counts = host.page_offline_pending([mfn]), host.host
    again = host.page_offline_pending([mfn])
    assert (first.changed, again.changed, host.host) == (True, False, counts)


@pytest.mark.parametrize("refused", [XEN, DOM0, BEYOND])
def test_one_refused_page_keeps_every_page_as_it_was(host: Hypervisor, refused: int) -> None:
    before = host.host
    reply = host.page_offline_pending([FREE, HVM, refused, PV])
    assert (reply.changed, host.host, host.offlined()) == (False, before, [])


def test_the_innocent_pages_of_a_refused_call_say_so(host: Hypervisor) -> None:
    reply = host.page_offline_pending([FREE, XEN, HVM])
    assert [(page.status, page.refusal) for page in reply.pages] == [
        (PageStatus.FAILED, Refusal.PEER_FAILED),
        (PageStatus.FAILED, Refusal.XEN_HEAP),
        (PageStatus.FAILED, Refusal.PEER_FAILED),
    ]


def test_a_broken_page_is_taken_out_like_any_other_and_the_answer_says_so(host: Hypervisor) -> None:
    host.table.mark_broken(Mfn(FREE))
    page = only(host.page_offline_pending([FREE]))
    assert (page.status, page.is_broken) == (PageStatus.OFFLINED, True)


def test_no_other_page_is_called_broken(host: Hypervisor) -> None:
    host.table.mark_broken(Mfn(FREE))
    assert not only(host.page_query([HVM])).is_broken


def test_a_broken_page_never_comes_back_and_keeps_the_whole_call(host: Hypervisor) -> None:
    host.page_offline_pending([FREE, HVM])
    host.table.mark_broken(Mfn(FREE))
    reply = host.page_online([HVM, FREE])
    assert [page.refusal for page in reply.pages] == [Refusal.PEER_FAILED, Refusal.BROKEN]
    assert (reply.changed, host.offlined()) == (False, [FREE, HVM])


@pytest.mark.parametrize("call", ["page_offline_pending", "page_query", "page_online", "p2m_swap"])
def test_every_answer_has_the_owners_of_its_pages_once_and_rising(
    host: Hypervisor, call: str
) -> None:
    reply = getattr(host, call)([PV, HVM, FREE, PV + 1, HVM + 1])
    assert reply.owners == (1, 2)


def test_dom0_is_among_the_owners_and_xen_is_nobody(host: Hypervisor) -> None:
    assert host.page_query([XEN, DOM0, BEYOND]).owners == (0,)


def test_the_unprivileged_are_told_everything_but_whose_each_page_is(host: Hypervisor) -> None:
    reply = host.page_query([PV, HVM])
    seen = to_the_unprivileged(reply)
    assert seen.owners == reply.owners == (1, 2)
    assert [page.owner for page in seen.pages] == [None, None]
    assert [(page.mfn, page.use) for page in seen.pages] == [(PV, PageUse.PV), (HVM, PageUse.HVM)]


def test_the_unprivileged_are_not_told_who_maps_a_page() -> None:
    page = PageReply(mfn=PV, status=PageStatus.ONLINE, use=PageUse.PV, owner=2, mappers=(1,))
    reply = PagesReply(changed=False, pages=(page,), owners=(2,))
    assert only(to_the_unprivileged(reply)).mappers == ()


def test_answers_come_in_the_order_of_the_request(host: Hypervisor) -> None:
    reply = host.page_offline_pending([PV, FREE, HVM])
    assert [page.mfn for page in reply.pages] == [PV, FREE, HVM]


def test_a_page_named_twice_is_answered_twice(host: Hypervisor) -> None:
    reply = host.page_offline_pending([FREE, FREE])
    assert [page.status for page in reply.pages] == [PageStatus.OFFLINED] * 2


def test_the_offlined_and_the_pending_are_listed(host: Hypervisor) -> None:
    host.page_offline_pending([HVM, FREE])
    assert host.offlined() == [HVM, FREE]


def test_the_list_of_what_is_marked_rises_and_says_what_a_query_says(host: Hypervisor) -> None:
    host.page_offline_pending([HVM, PV, FREE])
    listed = host.page_marked(0)
    assert listed.pages == host.page_query(sorted([HVM, PV, FREE])).pages
    assert listed.more_from is None


def test_what_broke_is_listed_as_broken(host: Hypervisor) -> None:
    host.page_offline_pending([HVM])
    host.table.mark_broken(Mfn(HVM))
    assert [page.is_broken for page in host.page_marked(0).pages] == [True]


def test_what_came_back_is_listed_no_more(host: Hypervisor) -> None:
    host.page_offline_pending([HVM, FREE])
    host.page_online([HVM, FREE])
    assert host.page_marked(0).pages == ()


def test_a_list_begins_where_it_is_asked_to(host: Hypervisor) -> None:
    host.page_offline_pending([HVM, PV, FREE])
    first, *others = sorted([HVM, PV, FREE])
    assert [page.mfn for page in host.page_marked(first + 1).pages] == others


def test_a_long_list_says_where_it_goes_on(
    host: Hypervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offline, "PAGES_MAX", 2)
    host.page_offline_pending([HVM, PV, FREE])
    listed = host.page_marked(0)
    assert len(listed.pages) == 2 < PAGES_MAX
    assert listed.more_from is not None
    assert [page.mfn for page in host.page_marked(listed.more_from).pages] == [max(HVM, PV, FREE)]


def test_offlining_takes_a_page_from_the_free_ones_only(host: Hypervisor) -> None:
    before = host.host
    host.page_offline_pending([FREE])
    assert (host.host.free, host.host.frames) == (before.free - 1, before.frames)


def test_a_query_says_where_each_page_stands(host: Hypervisor) -> None:
    host.page_offline_pending([FREE, HVM])
    reply = host.page_query([FREE, HVM, PV, XEN])
    assert [page.status for page in reply.pages] == [
        PageStatus.OFFLINED,
        PageStatus.OFFLINE_PENDING,
        PageStatus.ONLINE,
        PageStatus.ONLINE,
    ]


def test_a_query_never_says_changed(host: Hypervisor) -> None:
    assert not host.page_query([FREE]).changed


def test_a_query_beyond_the_host_spoils_only_its_own_answer(host: Hypervisor) -> None:
    reply = host.page_query([BEYOND, FREE])
    assert [page.refusal for page in reply.pages] == [Refusal.OUT_OF_RANGE, None]


@pytest.mark.parametrize(
    ("mfn", "state"), [(FREE, FrameState.FREE), (HVM, FrameState.IN_USE), (PV, FrameState.IN_USE)]
)
def test_online_undoes_offline(host: Hypervisor, mfn: Mfn, state: FrameState) -> None:
    host.page_offline_pending([mfn])
    reply = host.page_online([mfn])
    assert (only(reply).status, host.table.state_of(mfn)) == (PageStatus.ONLINE, state)


def test_online_of_what_is_online_changes_nothing(host: Hypervisor) -> None:
    assert not host.page_online([FREE, HVM]).changed


def test_online_is_all_or_nothing_too(host: Hypervisor) -> None:
    host.page_offline_pending([FREE])
    host.page_online([FREE, BEYOND])
    assert host.offlined() == [FREE]


def test_a_cancelled_request_leaves_the_content_alone(host: Hypervisor) -> None:
    host.page_offline_pending([HVM])
    host.page_online([HVM])
    assert host.guests[DomId(1)].verify() == 0


def test_a_page_brought_back_does_not_hold_what_a_dead_guest_left(host: Hypervisor) -> None:
    host.page_offline_pending([HVM])
    host.destroy(host.domains[DomId(1)])
    host.page_online([HVM])
    assert host.memory.read(np.array([HVM], np.int64)).tolist() == [0]
