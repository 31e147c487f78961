"""A toolstack that misbehaves on purpose."""

import pytest
from numpy.random import Generator

from agent.contract.frames import DomId
from agent.contract.toolstack import DomainState, ResumePath, ToolOutcome
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.toolstack import Toolstack
from emulator.xen.trouble import Trouble

WEB, DB = DomId(1), DomId(2)  # HVM, PV
PAGES = [600, 601, 602]  # of DB

DONE = ToolOutcome.DONE
REFUSED = ToolOutcome.REFUSED
FAILED = ToolOutcome.FAILED
TRY_AGAIN = ToolOutcome.TRY_AGAIN
DAMAGED = ToolOutcome.GUEST_MAY_BE_DAMAGED


def states(toolstack: Toolstack) -> dict[int, DomainState]:
    return {info.domid: info.state for info in toolstack.domains().domains}


@pytest.mark.parametrize("outcome", [REFUSED, FAILED, TRY_AGAIN])
def test_a_troubled_exchange_leaves_the_pages_where_they_were(
    ready: Toolstack, host: Hypervisor, outcome: ToolOutcome
) -> None:
    ready.trouble = Trouble(exchange=outcome)
    assert (ready.exchange(DB, PAGES).outcome, host.host.offlining) == (outcome, 3)


def test_an_exchange_that_may_damage_the_guest_does(
    ready: Toolstack, host: Hypervisor, rng: Generator
) -> None:
    """Some of its mappings lead to the new frames by now, and its p2m to the old ones."""
    ready.trouble = Trouble(exchange=DAMAGED)
    assert ready.exchange(DB, PAGES).outcome is DAMAGED
    ready.resume(DB)
    host.guests[DB].run(10_000, rng)
    assert host.guests[DB].workload.corruptions > 0


def test_a_damaged_guest_is_told_by_the_check(ready: Toolstack, host: Hypervisor) -> None:
    ready.trouble = Trouble(exchange=DAMAGED)
    ready.exchange(DB, PAGES)
    assert "domain 2 maps another frame than its p2m has" in host.check()


def test_all_frames_of_a_damaged_guest_are_freed_with_it(
    ready: Toolstack, host: Hypervisor
) -> None:
    ready.trouble = Trouble(exchange=DAMAGED)
    ready.exchange(DB, PAGES)
    ready.destroy(DB)
    assert (host.check(), host.host.offlined, len(host.table.owned(DB))) == ([], 3, 0)


def test_a_toolstack_may_lie_and_say_done(ready: Toolstack, host: Hypervisor) -> None:
    ready.trouble = Trouble(exchange=DONE)
    assert (ready.exchange(DB, PAGES).outcome, host.host.offlining) == (DONE, 3)


def test_trouble_ends_when_it_is_taken_away(ready: Toolstack, host: Hypervisor) -> None:
    ready.trouble = Trouble(exchange=FAILED)
    ready.exchange(DB, PAGES)
    ready.trouble = Trouble()
    ready.exchange(DB, PAGES)
    assert host.host.offlined == 3


def test_a_troubled_suspend_leaves_the_guest_running(toolstack: Toolstack) -> None:
    toolstack.trouble = Trouble(suspend=TRY_AGAIN)
    assert (toolstack.suspend(DB).outcome, states(toolstack)[DB]) == (
        TRY_AGAIN,
        DomainState.RUNNING,
    )


def test_a_troubled_resume_leaves_the_guest_suspended(ready: Toolstack) -> None:
    ready.trouble = Trouble(resume=FAILED)
    assert (ready.resume(DB).outcome, states(ready)[DB]) == (FAILED, DomainState.SUSPENDED)


def test_a_troubled_save_leaves_the_domain(toolstack: Toolstack, host: Hypervisor) -> None:
    toolstack.trouble = Trouble(save=FAILED)
    assert (toolstack.save(DB, "a").outcome, len(host.domains)) == (FAILED, 2)


def test_a_troubled_restore_leaves_the_image(toolstack: Toolstack) -> None:
    toolstack.save(DB, "a")
    toolstack.trouble = Trouble(restore=FAILED)
    assert (toolstack.restore("a").outcome, toolstack.domains().images) == (FAILED, ("a",))


def test_a_forced_path_is_taken_whatever_was_asked_for(
    ready: Toolstack, host: Hypervisor, rng: Generator
) -> None:
    ready.trouble = Trouble(force_resume_path=ResumePath.FAST)
    ready.exchange(DB, PAGES)
    ready.resume(DB, ResumePath.SLOW)
    guest = host.guests[DB]
    guest.run(10_000, rng)
    assert guest.workload.corruptions > 0
