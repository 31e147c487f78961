"""What the hypervisor keeps for a guest's sake: pools that can be emptied, state that cannot."""

from dataclasses import replace

import numpy as np
import pytest

from agent.contract.hypercall import PageStatus, PageUse
from agent.contract.toolstack import ToolOutcome
from emulator.xen.defects import MENDED, Defects
from emulator.xen.domains import Domain
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import GuestSpec
from emulator.xen.toolstack import Toolstack
from tests.support.hosts import FIRST, HVM, PV, SECOND, SHADOWED, fill, host_of

POOLED = replace(SHADOWED, pool_pages=8, state_pages=2)


def marked(defects: Defects = MENDED) -> tuple[Hypervisor, Domain, list[int]]:
    """A guest of whose pool the first two frames are pending."""
    host = host_of(POOLED, frames=1024, defects=defects)
    domain = host.domains[FIRST]
    mfns = domain.pool[:2].tolist()
    host.page_offline_pending(mfns)
    return host, domain, mfns


def statuses(host: Hypervisor, mfns: list[int]) -> set[PageStatus]:
    return {page.status for page in host.page_query(mfns).pages}


@pytest.mark.parametrize(
    ("frames", "use"), [("pool", PageUse.SHADOW), ("state_pages", PageUse.HVM_STATE)]
)
def test_such_a_page_is_pending_and_names_its_guest(frames: str, use: PageUse) -> None:
    host, domain, _ = marked()
    mfn = int(getattr(domain, frames)[0])
    (page,) = host.page_offline_pending([mfn]).pages
    assert (page.status, page.use, page.owner) == (PageStatus.OFFLINE_PENDING, use, FIRST)


def test_marked_pages_leave_when_shadows_are_dropped() -> None:
    host, domain, mfns = marked()
    host.drop_shadows(domain)
    assert statuses(host, mfns) == {PageStatus.OFFLINED}


def test_others_take_their_place() -> None:
    host, domain, mfns = marked()
    host.drop_shadows(domain)
    assert (len(domain.pool), set(mfns) & set(domain.pool.tolist()), host.check()) == (8, set(), [])


def test_without_others_the_pool_is_smaller() -> None:
    host, domain, _ = marked()
    fill(host)
    host.drop_shadows(domain)
    assert (len(domain.pool), host.check()) == (6, [])


def test_the_pool_gets_as_many_as_there_are() -> None:
    host, domain, _ = marked()
    host.page_offline_pending(host.table.free_within(0, 1024).tolist()[1:])
    host.drop_shadows(domain)
    assert (len(domain.pool), host.host.free) == (7, 0)


def test_what_others_claim_is_not_taken_for_a_pool() -> None:
    host, domain, _ = marked()
    host.table.claims.stake(SECOND, host.host.free - 1, host.host.free)
    host.drop_shadows(domain)
    assert len(domain.pool) == 7


def test_a_pool_without_marked_pages_stays_as_it_is() -> None:
    host = host_of(POOLED, frames=1024)
    domain = host.domains[FIRST]
    before = domain.pool.tolist()
    host.drop_shadows(domain)
    assert domain.pool.tolist() == before


def test_the_guest_does_not_notice() -> None:
    host, domain, _ = marked()
    host.drop_shadows(domain)
    assert host.guests[FIRST].verify() == 0


def test_shadows_are_built_anew_from_the_p2m() -> None:
    host, domain, _ = marked()
    domain.p2m[[3, 4]] = domain.p2m[[4, 3]]
    host.drop_shadows(domain)
    found = host.guests[FIRST].translation.find(np.array([3, 4])).frames
    assert found.tolist() == domain.p2m[[3, 4]].tolist()


def test_state_pages_leave_with_their_domain_only() -> None:
    host, domain, _ = marked()
    mfns = domain.state_pages.tolist()
    host.page_offline_pending(mfns)
    host.drop_shadows(domain)
    between = statuses(host, mfns)
    host.destroy(domain)
    assert (between, statuses(host, mfns)) == (
        {PageStatus.OFFLINE_PENDING},
        {PageStatus.OFFLINED},
    )


def test_dropping_shadows_twice_is_done() -> None:
    host, _, mfns = marked()
    tools = Toolstack(host)
    replies = [tools.drop_shadows(FIRST).outcome for _ in range(2)]
    assert (replies, statuses(host, mfns)) == ([ToolOutcome.DONE] * 2, {PageStatus.OFFLINED})


@pytest.mark.parametrize("spec", [PV, HVM])
def test_a_guest_without_shadows_has_none_to_drop(spec: GuestSpec) -> None:
    host = host_of(spec)
    reply = Toolstack(host).drop_shadows(FIRST)
    assert (reply.outcome, reply.reason) == (
        ToolOutcome.REFUSED,
        f"domain 1 has no shadows: its paging is {host.domains[FIRST].paging}",
    )


def test_nobody_has_no_shadows() -> None:
    assert Toolstack(host_of(PV)).drop_shadows(9).outcome is ToolOutcome.NO_SUCH_DOMAIN


def test_defect_5_marked_pages_go_back_into_the_pool() -> None:
    host, domain, mfns = marked(replace(MENDED, pools_keep_marked=True))
    host.drop_shadows(domain)
    assert (domain.pool[:2].tolist(), statuses(host, mfns)) == (mfns, {PageStatus.OFFLINE_PENDING})
