"""Saving and restoring guests, and asking for either again."""

import pytest
from numpy.random import Generator

from agent.contract.frames import FIRST_RESERVED_DOMID, DomId
from agent.contract.toolstack import DomainState, ToolOutcome
from emulator.xen import images
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.toolstack import Toolstack

WEB, DB = DomId(1), DomId(2)  # HVM, PV
PAGES = [600, 601, 602]  # of DB

DONE = ToolOutcome.DONE
REFUSED = ToolOutcome.REFUSED
TRY_AGAIN = ToolOutcome.TRY_AGAIN


def fill(host: Hypervisor) -> None:
    """Offline every free page, so that nothing can move."""
    host.page_offline_pending(range(832, host.layout.frames))


def states(toolstack: Toolstack) -> dict[int, DomainState]:
    return {info.domid: info.state for info in toolstack.domains().domains}


def test_a_saved_domain_is_gone_and_its_image_waits(toolstack: Toolstack) -> None:
    toolstack.save(DB, "a")
    reply = toolstack.domains()
    assert ([d.domid for d in reply.domains], reply.images) == ([WEB], ("a",))


def test_saving_frees_the_pages_and_offlines_the_pending_ones(
    toolstack: Toolstack, host: Hypervisor
) -> None:
    host.page_offline_pending(PAGES)
    before = host.host
    toolstack.save(DB, "a")
    assert (host.host.free, host.host.offlined) == (before.free + 253, 3)


def test_saving_twice_is_done(toolstack: Toolstack) -> None:
    toolstack.save(DB, "a")
    assert toolstack.save(DB, "a").outcome is DONE


def test_an_image_of_another_domain_is_not_overwritten(toolstack: Toolstack) -> None:
    toolstack.save(DB, "a")
    reply = toolstack.save(WEB, "a")
    assert (reply.outcome, reply.reason) == (REFUSED, "image a holds domain 2")


def test_images_that_wait_are_bounded(
    toolstack: Toolstack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "IMAGES_MAX", 1)
    toolstack.save(DB, "a")
    assert toolstack.save(WEB, "b").outcome is REFUSED


def test_the_oldest_restored_image_is_forgotten(
    toolstack: Toolstack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "IMAGES_MAX", 1)
    for domid, image in ((DB, "a"), (WEB, "b")):
        toolstack.save(domid, image)
        toolstack.restore(image)
    assert toolstack.restore("a").reason == "there is no image a"


def test_a_restored_guest_has_a_new_id_and_runs(toolstack: Toolstack) -> None:
    toolstack.save(DB, "a")
    assert toolstack.restore("a").domid == 3
    assert states(toolstack) == {WEB: DomainState.RUNNING, 3: DomainState.RUNNING}


def test_a_restored_guest_goes_on_where_it_was(
    toolstack: Toolstack, host: Hypervisor, rng: Generator
) -> None:
    guest = host.guests[DB]
    guest.run(10_000, rng)
    toolstack.save(DB, "a")
    toolstack.restore("a")
    (again,) = [g for g in host.guests.values() if g.domain.name == "db"]
    again.run(10_000, rng)
    done = again.workload.reads + again.workload.writes
    assert (done, again.workload.corruptions, again.verify()) == (20_000, 0, 0)


def test_a_restored_guest_has_none_of_the_retired_pages(
    toolstack: Toolstack, host: Hypervisor
) -> None:
    host.page_offline_pending(PAGES)
    toolstack.save(DB, "a")
    toolstack.restore("a")
    assert (host.check(), host.host.offlined) == ([], 3)


def test_restoring_heals_a_pv_guest_whose_pages_moved(
    ready: Toolstack, host: Hypervisor, rng: Generator
) -> None:
    """It was saved before it could write through a stale mapping, and a restore reads the p2m."""
    ready.exchange(DB, PAGES)
    ready.save(DB, "a")
    ready.restore("a")
    (guest,) = [g for g in host.guests.values() if g.domain.name == "db"]
    guest.run(10_000, rng)
    assert guest.workload.corruptions == 0


def test_restoring_twice_answers_with_the_domain_it_became(
    toolstack: Toolstack, host: Hypervisor
) -> None:
    toolstack.save(DB, "a")
    first, again = toolstack.restore("a"), toolstack.restore("a")
    assert (first, len(host.domains)) == (again, 2)


def test_saving_again_after_the_restore_is_done_and_saves_nothing(
    toolstack: Toolstack, host: Hypervisor
) -> None:
    toolstack.save(DB, "a")
    toolstack.restore("a")
    assert (toolstack.save(DB, "a").outcome, len(host.domains)) == (DONE, 2)


def test_an_image_that_was_restored_can_be_written_anew(toolstack: Toolstack) -> None:
    toolstack.save(DB, "a")
    toolstack.restore("a")
    toolstack.save(3, "a")
    assert toolstack.restore("a").domid == 4


def test_an_image_that_is_not_there_cannot_be_restored(toolstack: Toolstack) -> None:
    reply = toolstack.restore("a")
    assert (reply.outcome, reply.reason) == (ToolOutcome.NO_SUCH_DOMAIN, "there is no image a")


def test_without_room_a_restore_is_for_later(toolstack: Toolstack, host: Hypervisor) -> None:
    fill(host)
    host.page_offline_pending(PAGES)
    toolstack.save(DB, "a")
    assert (toolstack.restore("a").outcome, toolstack.domains().images) == (TRY_AGAIN, ("a",))


def test_a_restore_that_found_no_room_succeeds_once_there_is(
    toolstack: Toolstack, host: Hypervisor
) -> None:
    fill(host)
    host.page_offline_pending(PAGES)
    toolstack.save(DB, "a")
    toolstack.restore("a")
    host.page_online(range(2000, 2100))
    assert toolstack.restore("a").outcome is DONE


def test_without_a_domain_id_left_a_restore_is_refused(
    toolstack: Toolstack, host: Hypervisor
) -> None:
    toolstack.save(DB, "a")
    host._next_domid = FIRST_RESERVED_DOMID
    assert toolstack.restore("a").reason == "all domain ids are used up"
