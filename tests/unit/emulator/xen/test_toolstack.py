"""The toolstack: suspend, exchange, resume, and each of them twice."""

import pytest
from numpy.random import Generator

from agent.contract.frames import DomId
from agent.contract.hypercall import PageStatus
from agent.contract.toolstack import DomainState, ResumePath, ToolOutcome
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.toolstack import Toolstack

WEB, DB = DomId(1), DomId(2)  # HVM, PV
NOBODY = 9
PAGES = [600, 601, 602]  # of DB
OF_WEB = 400
FREE = 2000

DONE = ToolOutcome.DONE
REFUSED = ToolOutcome.REFUSED
TRY_AGAIN = ToolOutcome.TRY_AGAIN


def fill(host: Hypervisor) -> None:
    """Offline every free page, so that nothing can move."""
    host.page_offline_pending(range(832, host.layout.frames))


def states(toolstack: Toolstack) -> dict[int, DomainState]:
    return {info.domid: info.state for info in toolstack.domains().domains}


def test_domains_are_listed_with_kind_and_size(toolstack: Toolstack) -> None:
    infos = [(d.domid, d.name, d.kind, d.pages) for d in toolstack.domains().domains]
    assert infos == [(1, "web", "hvm", 256), (2, "db", "pv", 256)]


def test_no_call_knows_how_long_it_took(ready: Toolstack) -> None:
    replies = [ready.exchange(DB, PAGES), ready.resume(DB), ready.save(DB, "a")]
    assert [reply.pause_seconds for reply in (*replies, ready.restore("a"))] == [None] * 4


def test_nothing_can_be_done_to_a_domain_that_is_not_there(toolstack: Toolstack) -> None:
    replies = [
        toolstack.suspend(NOBODY),
        toolstack.exchange(NOBODY, PAGES),
        toolstack.resume(NOBODY),
        toolstack.save(NOBODY, "a"),
    ]
    assert {(reply.outcome, reply.reason) for reply in replies} == {
        (ToolOutcome.NO_SUCH_DOMAIN, "there is no domain 9")
    }


def test_dom0_is_no_guest(toolstack: Toolstack) -> None:
    assert toolstack.suspend(0).outcome is ToolOutcome.NO_SUCH_DOMAIN


def test_suspending_stops_one_guest(toolstack: Toolstack) -> None:
    toolstack.suspend(DB)
    assert states(toolstack) == {WEB: DomainState.RUNNING, DB: DomainState.SUSPENDED}


def test_suspending_twice_is_done(toolstack: Toolstack) -> None:
    toolstack.suspend(DB)
    assert toolstack.suspend(DB).outcome is DONE


def test_an_exchanged_page_is_offlined(ready: Toolstack, host: Hypervisor) -> None:
    reply = ready.exchange(DB, PAGES)
    assert reply.outcome is DONE
    assert {page.status for page in host.page_query(PAGES).pages} == {PageStatus.OFFLINED}


def test_the_guest_keeps_as_many_pages_as_it_had(ready: Toolstack, host: Hypervisor) -> None:
    ready.exchange(DB, PAGES)
    assert (host.check(), host.host.in_use) == ([], host.layout.frames_needed)


def test_a_guest_resumed_by_the_slow_path_is_well(
    ready: Toolstack, host: Hypervisor, rng: Generator
) -> None:
    ready.exchange(DB, PAGES)
    ready.resume(DB, ResumePath.SLOW)
    guest = host.guests[DB]
    guest.run(10_000, rng)
    assert (guest.workload.corruptions, guest.verify()) == (0, 0)


def test_a_guest_resumed_by_the_fast_path_goes_wrong(
    ready: Toolstack, host: Hypervisor, rng: Generator
) -> None:
    """It still makes mappings from the p2m it knew, and these lead to the old frames."""
    ready.exchange(DB, PAGES)
    ready.resume(DB, ResumePath.FAST)
    guest = host.guests[DB]
    guest.run(10_000, rng)
    assert guest.workload.corruptions > 0


def test_an_hvm_guest_can_be_exchanged_too(
    toolstack: Toolstack, host: Hypervisor, rng: Generator
) -> None:
    host.page_offline_pending([OF_WEB])
    toolstack.suspend(WEB)
    toolstack.exchange(WEB, [OF_WEB])
    toolstack.resume(WEB)
    guest = host.guests[WEB]
    guest.run(10_000, rng)
    assert (host.host.offlined, guest.workload.corruptions) == (1, 0)


def test_exchanging_twice_is_done_and_moves_nothing(ready: Toolstack, host: Hypervisor) -> None:
    ready.exchange(DB, PAGES)
    counts = host.host
    assert (ready.exchange(DB, PAGES).outcome, host.host) == (DONE, counts)


def test_exchanging_again_after_the_resume_is_done(ready: Toolstack) -> None:
    ready.exchange(DB, PAGES)
    ready.resume(DB)
    assert ready.exchange(DB, PAGES).outcome is DONE


def test_exchanging_the_rest_of_what_is_half_done_is_done(
    ready: Toolstack, host: Hypervisor
) -> None:
    ready.exchange(DB, PAGES[:1])
    ready.exchange(DB, PAGES)
    assert host.host.offlined == 3


def test_a_page_named_twice_is_exchanged_once(ready: Toolstack, host: Hypervisor) -> None:
    ready.exchange(DB, [PAGES[0], PAGES[0]])
    assert host.host.offlined == 1


def test_a_running_guest_cannot_be_exchanged(toolstack: Toolstack, host: Hypervisor) -> None:
    host.page_offline_pending(PAGES)
    reply = toolstack.exchange(DB, PAGES)
    assert (reply.outcome, reply.reason) == (REFUSED, "domain 2 must be suspended first")


@pytest.mark.parametrize(
    ("mfn", "reason"),
    [
        (700, "page 0x2bc is not offline pending"),
        (OF_WEB, "page 0x190 is not of domain 2"),
        (FREE, "page 0x7d0 is not of domain 2"),
        (4096, "page 0x1000 is not on this host"),
    ],
)
def test_a_page_that_cannot_be_exchanged_is_refused(
    ready: Toolstack, mfn: int, reason: str
) -> None:
    reply = ready.exchange(DB, [mfn])
    assert (reply.outcome, reply.reason) == (REFUSED, reason)


def test_one_refused_page_keeps_the_others_where_they_were(
    ready: Toolstack, host: Hypervisor
) -> None:
    ready.exchange(DB, [*PAGES, 700])
    assert (host.host.offlining, host.host.offlined) == (3, 0)


def test_without_room_an_exchange_is_for_later(ready: Toolstack, host: Hypervisor) -> None:
    fill(host)
    assert (ready.exchange(DB, PAGES).outcome, host.host.offlining) == (TRY_AGAIN, 3)


def test_resuming_twice_is_done(toolstack: Toolstack) -> None:
    toolstack.suspend(DB)
    toolstack.resume(DB)
    assert (toolstack.resume(DB).outcome, states(toolstack)[DB]) == (DONE, DomainState.RUNNING)


def test_resuming_a_running_guest_by_the_slow_path_tells_it_nothing(
    ready: Toolstack, host: Hypervisor, rng: Generator
) -> None:
    """It has to be suspended to read its p2m again."""
    ready.exchange(DB, PAGES)
    ready.resume(DB, ResumePath.FAST)
    ready.resume(DB, ResumePath.SLOW)
    guest = host.guests[DB]
    guest.run(10_000, rng)
    assert guest.workload.corruptions > 0
