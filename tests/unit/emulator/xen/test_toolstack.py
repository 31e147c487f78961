"""The toolstack: each call, each call twice, and each way to go wrong."""

import numpy as np
import pytest
from numpy.random import Generator

from agent.contract.frames import FIRST_RESERVED_DOMID
from agent.contract.hypercall import PageStatus
from agent.contract.toolstack import DomainState, ResumePath, ToolOutcome
from emulator.xen import images
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.toolstack import Toolstack, Trouble

WEB, DB = 1, 2  # HVM, PV
NOBODY = 9
PAGES = [600, 601, 602]  # of DB
OF_WEB = 400
FREE = 2000

DONE = ToolOutcome.DONE
REFUSED = ToolOutcome.REFUSED
FAILED = ToolOutcome.FAILED
TRY_AGAIN = ToolOutcome.TRY_AGAIN
DAMAGED = ToolOutcome.GUEST_MAY_BE_DAMAGED


@pytest.fixture
def rng() -> Generator:
    return np.random.default_rng(8412)


@pytest.fixture
def ready(toolstack: Toolstack, host: Hypervisor) -> Toolstack:
    """DB is suspended, and `PAGES` of it are pending."""
    host.page_offline_pending(PAGES)
    toolstack.suspend(DB)
    return toolstack


def fill(host: Hypervisor) -> None:
    """Offline every free page, so that nothing can move."""
    host.page_offline_pending(range(832, host.layout.frames))


def states(toolstack: Toolstack) -> dict[int, DomainState]:
    return {info.domid: info.state for info in toolstack.domains().domains}


def test_domains_are_listed_with_kind_and_size(toolstack: Toolstack):
    infos = [(d.domid, d.name, d.kind, d.pages) for d in toolstack.domains().domains]
    assert infos == [(1, "web", "hvm", 256), (2, "db", "pv", 256)]


def test_no_call_knows_how_long_it_took(ready: Toolstack):
    replies = [ready.exchange(DB, PAGES), ready.resume(DB), ready.save(DB, "a")]
    assert [reply.pause_seconds for reply in (*replies, ready.restore("a"))] == [None] * 4


def test_nothing_can_be_done_to_a_domain_that_is_not_there(toolstack: Toolstack):
    replies = [
        toolstack.suspend(NOBODY),
        toolstack.exchange(NOBODY, PAGES),
        toolstack.resume(NOBODY),
        toolstack.save(NOBODY, "a"),
    ]
    assert {(reply.outcome, reply.reason) for reply in replies} == {
        (REFUSED, "there is no domain 9")
    }


def test_dom0_is_no_guest(toolstack: Toolstack):
    assert toolstack.suspend(0).outcome is REFUSED


def test_suspending_stops_one_guest(toolstack: Toolstack):
    toolstack.suspend(DB)
    assert states(toolstack) == {WEB: DomainState.RUNNING, DB: DomainState.SUSPENDED}


def test_suspending_twice_is_done(toolstack: Toolstack):
    toolstack.suspend(DB)
    assert toolstack.suspend(DB).outcome is DONE


def test_an_exchanged_page_is_offlined(ready: Toolstack, host: Hypervisor):
    reply = ready.exchange(DB, PAGES)
    assert reply.outcome is DONE
    assert {page.status for page in host.page_query(PAGES).pages} == {PageStatus.OFFLINED}


def test_the_guest_keeps_as_many_pages_as_it_had(ready: Toolstack, host: Hypervisor):
    ready.exchange(DB, PAGES)
    assert (host.check(), host.host.in_use) == ([], host.layout.frames_needed)


def test_a_guest_resumed_by_the_slow_path_is_well(
    ready: Toolstack, host: Hypervisor, rng: Generator
):
    ready.exchange(DB, PAGES)
    ready.resume(DB, ResumePath.SLOW)
    guest = host.guests[host.domains[2].domid]
    guest.run(10_000, rng)
    assert (guest.workload.corruptions, guest.verify()) == (0, 0)


def test_a_guest_resumed_by_the_fast_path_goes_wrong(
    ready: Toolstack, host: Hypervisor, rng: Generator
):
    """It still makes mappings from the p2m it knew, and these lead to the old frames."""
    ready.exchange(DB, PAGES)
    ready.resume(DB, ResumePath.FAST)
    guest = host.guests[host.domains[2].domid]
    guest.run(10_000, rng)
    assert guest.workload.corruptions > 0


def test_an_hvm_guest_can_be_exchanged_too(toolstack: Toolstack, host: Hypervisor, rng: Generator):
    host.page_offline_pending([OF_WEB])
    toolstack.suspend(WEB)
    toolstack.exchange(WEB, [OF_WEB])
    toolstack.resume(WEB)
    guest = host.guests[host.domains[1].domid]
    guest.run(10_000, rng)
    assert (host.host.offlined, guest.workload.corruptions) == (1, 0)


def test_exchanging_twice_is_done_and_moves_nothing(ready: Toolstack, host: Hypervisor):
    ready.exchange(DB, PAGES)
    counts = host.host
    assert (ready.exchange(DB, PAGES).outcome, host.host) == (DONE, counts)


def test_exchanging_again_after_the_resume_is_done(ready: Toolstack):
    ready.exchange(DB, PAGES)
    ready.resume(DB)
    assert ready.exchange(DB, PAGES).outcome is DONE


def test_exchanging_the_rest_of_what_is_half_done_is_done(ready: Toolstack, host: Hypervisor):
    ready.exchange(DB, PAGES[:1])
    ready.exchange(DB, PAGES)
    assert host.host.offlined == 3


def test_a_page_named_twice_is_exchanged_once(ready: Toolstack, host: Hypervisor):
    ready.exchange(DB, [PAGES[0], PAGES[0]])
    assert host.host.offlined == 1


def test_a_running_guest_cannot_be_exchanged(toolstack: Toolstack, host: Hypervisor):
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
def test_a_page_that_cannot_be_exchanged_is_refused(ready: Toolstack, mfn: int, reason: str):
    reply = ready.exchange(DB, [mfn])
    assert (reply.outcome, reply.reason) == (REFUSED, reason)


def test_one_refused_page_keeps_the_others_where_they_were(ready: Toolstack, host: Hypervisor):
    ready.exchange(DB, [*PAGES, 700])
    assert (host.host.offlining, host.host.offlined) == (3, 0)


def test_without_room_an_exchange_is_for_later(ready: Toolstack, host: Hypervisor):
    fill(host)
    assert (ready.exchange(DB, PAGES).outcome, host.host.offlining) == (TRY_AGAIN, 3)


def test_resuming_twice_is_done(toolstack: Toolstack):
    toolstack.suspend(DB)
    toolstack.resume(DB)
    assert (toolstack.resume(DB).outcome, states(toolstack)[DB]) == (DONE, DomainState.RUNNING)


def test_resuming_a_running_guest_by_the_slow_path_tells_it_nothing(
    ready: Toolstack, host: Hypervisor, rng: Generator
):
    """It has to be suspended to read its p2m again."""
    ready.exchange(DB, PAGES)
    ready.resume(DB, ResumePath.FAST)
    ready.resume(DB, ResumePath.SLOW)
    guest = host.guests[host.domains[2].domid]
    guest.run(10_000, rng)
    assert guest.workload.corruptions > 0


def test_a_saved_domain_is_gone_and_its_image_waits(toolstack: Toolstack):
    toolstack.save(DB, "a")
    reply = toolstack.domains()
    assert ([d.domid for d in reply.domains], reply.images) == ([WEB], ("a",))


def test_saving_frees_the_pages_and_offlines_the_pending_ones(
    toolstack: Toolstack, host: Hypervisor
):
    host.page_offline_pending(PAGES)
    before = host.host
    toolstack.save(DB, "a")
    assert (host.host.free, host.host.offlined) == (before.free + 253, 3)


def test_saving_twice_is_done(toolstack: Toolstack):
    toolstack.save(DB, "a")
    assert toolstack.save(DB, "a").outcome is DONE


def test_an_image_of_another_domain_is_not_overwritten(toolstack: Toolstack):
    toolstack.save(DB, "a")
    reply = toolstack.save(WEB, "a")
    assert (reply.outcome, reply.reason) == (REFUSED, "image a holds domain 2")


def test_images_that_wait_are_bounded(toolstack: Toolstack, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(images, "IMAGES_MAX", 1)
    toolstack.save(DB, "a")
    assert toolstack.save(WEB, "b").outcome is REFUSED


def test_the_oldest_restored_image_is_forgotten(
    toolstack: Toolstack, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(images, "IMAGES_MAX", 1)
    for domid, image in ((DB, "a"), (WEB, "b")):
        toolstack.save(domid, image)
        toolstack.restore(image)
    assert toolstack.restore("a").reason == "there is no image a"


def test_a_restored_guest_has_a_new_id_and_runs(toolstack: Toolstack):
    toolstack.save(DB, "a")
    assert toolstack.restore("a").domid == 3
    assert states(toolstack) == {WEB: DomainState.RUNNING, 3: DomainState.RUNNING}


def test_a_restored_guest_goes_on_where_it_was(
    toolstack: Toolstack, host: Hypervisor, rng: Generator
):
    guest = host.guests[host.domains[2].domid]
    guest.run(10_000, rng)
    toolstack.save(DB, "a")
    toolstack.restore("a")
    (again,) = [g for g in host.guests.values() if g.domain.name == "db"]
    again.run(10_000, rng)
    done = again.workload.reads + again.workload.writes
    assert (done, again.workload.corruptions, again.verify()) == (20_000, 0, 0)


def test_a_restored_guest_has_none_of_the_retired_pages(toolstack: Toolstack, host: Hypervisor):
    host.page_offline_pending(PAGES)
    toolstack.save(DB, "a")
    toolstack.restore("a")
    assert (host.check(), host.host.offlined) == ([], 3)


def test_restoring_heals_a_pv_guest_whose_pages_moved(
    ready: Toolstack, host: Hypervisor, rng: Generator
):
    """It was saved before it could write through a stale mapping, and a restore reads the p2m."""
    ready.exchange(DB, PAGES)
    ready.save(DB, "a")
    ready.restore("a")
    (guest,) = [g for g in host.guests.values() if g.domain.name == "db"]
    guest.run(10_000, rng)
    assert guest.workload.corruptions == 0


def test_restoring_twice_answers_with_the_domain_it_became(toolstack: Toolstack, host: Hypervisor):
    toolstack.save(DB, "a")
    first, again = toolstack.restore("a"), toolstack.restore("a")
    assert (first, len(host.domains)) == (again, 2)


def test_saving_again_after_the_restore_is_done_and_saves_nothing(
    toolstack: Toolstack, host: Hypervisor
):
    toolstack.save(DB, "a")
    toolstack.restore("a")
    assert (toolstack.save(DB, "a").outcome, len(host.domains)) == (DONE, 2)


def test_an_image_that_was_restored_can_be_written_anew(toolstack: Toolstack):
    toolstack.save(DB, "a")
    toolstack.restore("a")
    toolstack.save(3, "a")
    assert toolstack.restore("a").domid == 4


def test_an_image_that_is_not_there_cannot_be_restored(toolstack: Toolstack):
    reply = toolstack.restore("a")
    assert (reply.outcome, reply.reason) == (REFUSED, "there is no image a")


def test_without_room_a_restore_is_for_later(toolstack: Toolstack, host: Hypervisor):
    fill(host)
    host.page_offline_pending(PAGES)
    toolstack.save(DB, "a")
    assert (toolstack.restore("a").outcome, toolstack.domains().images) == (TRY_AGAIN, ("a",))


def test_a_restore_that_found_no_room_succeeds_once_there_is(
    toolstack: Toolstack, host: Hypervisor
):
    fill(host)
    host.page_offline_pending(PAGES)
    toolstack.save(DB, "a")
    toolstack.restore("a")
    host.page_online(range(2000, 2100))
    assert toolstack.restore("a").outcome is DONE


def test_without_a_domain_id_left_a_restore_is_refused(toolstack: Toolstack, host: Hypervisor):
    toolstack.save(DB, "a")
    host._next_domid = FIRST_RESERVED_DOMID
    assert toolstack.restore("a").reason == "all domain ids are used up"


@pytest.mark.parametrize("outcome", [REFUSED, FAILED, TRY_AGAIN])
def test_a_troubled_exchange_leaves_the_pages_where_they_were(
    ready: Toolstack, host: Hypervisor, outcome: ToolOutcome
):
    ready.trouble = Trouble(exchange=outcome)
    assert (ready.exchange(DB, PAGES).outcome, host.host.offlining) == (outcome, 3)


def test_an_exchange_that_may_damage_the_guest_does(ready: Toolstack, host: Hypervisor):
    ready.trouble = Trouble(exchange=DAMAGED)
    assert ready.exchange(DB, PAGES).outcome is DAMAGED
    assert host.guests[host.domains[2].domid].verify() > 0


def test_a_damaged_guest_is_still_accounted_for(ready: Toolstack, host: Hypervisor):
    ready.trouble = Trouble(exchange=DAMAGED)
    ready.exchange(DB, PAGES)
    assert (host.check(), host.host.offlined) == ([], 3)


def test_a_toolstack_may_lie_and_say_done(ready: Toolstack, host: Hypervisor):
    ready.trouble = Trouble(exchange=DONE)
    assert (ready.exchange(DB, PAGES).outcome, host.host.offlining) == (DONE, 3)


def test_trouble_ends_when_it_is_taken_away(ready: Toolstack, host: Hypervisor):
    ready.trouble = Trouble(exchange=FAILED)
    ready.exchange(DB, PAGES)
    ready.trouble = Trouble()
    ready.exchange(DB, PAGES)
    assert host.host.offlined == 3


def test_a_troubled_suspend_leaves_the_guest_running(toolstack: Toolstack):
    toolstack.trouble = Trouble(suspend=TRY_AGAIN)
    assert (toolstack.suspend(DB).outcome, states(toolstack)[DB]) == (
        TRY_AGAIN,
        DomainState.RUNNING,
    )


def test_a_troubled_resume_leaves_the_guest_suspended(ready: Toolstack):
    ready.trouble = Trouble(resume=FAILED)
    assert (ready.resume(DB).outcome, states(ready)[DB]) == (FAILED, DomainState.SUSPENDED)


def test_a_troubled_save_leaves_the_domain(toolstack: Toolstack, host: Hypervisor):
    toolstack.trouble = Trouble(save=FAILED)
    assert (toolstack.save(DB, "a").outcome, len(host.domains)) == (FAILED, 2)


def test_a_troubled_restore_leaves_the_image(toolstack: Toolstack):
    toolstack.save(DB, "a")
    toolstack.trouble = Trouble(restore=FAILED)
    assert (toolstack.restore("a").outcome, toolstack.domains().images) == (FAILED, ("a",))


def test_a_forced_path_is_taken_whatever_was_asked_for(
    ready: Toolstack, host: Hypervisor, rng: Generator
):
    ready.trouble = Trouble(force_resume_path=ResumePath.FAST)
    ready.exchange(DB, PAGES)
    ready.resume(DB, ResumePath.SLOW)
    guest = host.guests[host.domains[2].domid]
    guest.run(10_000, rng)
    assert guest.workload.corruptions > 0
