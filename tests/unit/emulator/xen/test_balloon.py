"""Ballooning: the guest gives pages up, and the marked ones retire at once."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.random import Generator

from agent.contract.frames import DOM0, DomId, Mfn
from agent.contract.hypercall import PageStatus
from agent.contract.toolstack import ToolOutcome, ToolReply
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.toolstack import Toolstack
from tests.support.hosts import (
    FIRST,
    HVM,
    L1,
    PLAIN,
    PV,
    SECOND,
    frame_of,
    holes,
    host_of,
    mark,
    pend,
)

DONE, REFUSED, TRY_AGAIN = ToolOutcome.DONE, ToolOutcome.REFUSED, ToolOutcome.TRY_AGAIN
SPEC = replace(
    HVM,
    pages=64,
    devices=("nic0",),
    buffer_pages=2,
    cow_pages=2,
    pod_pages=2,
    pool_pages=1,
    state_pages=1,
    shared_pages=1,
)


@pytest.fixture
def host() -> Hypervisor:
    return host_of(PV, SPEC)


@pytest.fixture
def tools(host: Hypervisor) -> Toolstack:
    return Toolstack(host)


def blamed(reply: ToolReply) -> tuple[ToolOutcome, tuple[int, ...]]:
    return reply.outcome, reply.blamed


def status(host: Hypervisor, mfn: int) -> PageStatus:
    return host.page_query([mfn]).pages[0].status


@pytest.mark.parametrize("domid", [FIRST, SECOND])
def test_a_marked_page_retires_at_once(
    host: Hypervisor, tools: Toolstack, domid: DomId, rng: Generator
) -> None:
    mfn = mark(host, domid, PLAIN)
    assert tools.balloon(domid, [mfn]).outcome is DONE
    guest = host.guests[domid]
    guest.run(5000, rng)
    assert (status(host, mfn), guest.workload.corruptions, host.check()) == (
        PageStatus.OFFLINED,
        0,
        [],
    )


def test_the_guest_is_smaller_by_it(host: Hypervisor, tools: Toolstack) -> None:
    tools.balloon(FIRST, pend(host, FIRST, PLAIN, 6).tolist())
    assert (host.domains[FIRST].info().pages, holes(host.domains[FIRST])) == (598, [PLAIN, 6])


def test_a_page_that_is_not_marked_is_free(host: Hypervisor, tools: Toolstack) -> None:
    free = host.host.free
    tools.balloon(FIRST, [frame_of(host.domains[FIRST], PLAIN)])
    assert host.host.free == free + 1


@pytest.mark.parametrize("is_marked", [True, False])
def test_giving_a_page_up_twice_is_done(
    host: Hypervisor, tools: Toolstack, *, is_marked: bool
) -> None:
    mfn = frame_of(host.domains[FIRST], PLAIN)
    if is_marked:
        pend(host, FIRST, PLAIN)
    outcomes = [tools.balloon(FIRST, [mfn]).outcome for _ in range(2)]
    assert (outcomes, holes(host.domains[FIRST])) == ([DONE, DONE], [PLAIN])


def test_giving_up_twice_what_others_still_map_is_done(host: Hypervisor, tools: Toolstack) -> None:
    mfn = mark(host, FIRST, PLAIN)
    host.map_page(DOM0, host.domains[FIRST], PLAIN)
    outcomes = [tools.balloon(FIRST, [mfn]).outcome for _ in range(2)]
    assert (outcomes, status(host, mfn)) == ([DONE, DONE], PageStatus.OFFLINE_PENDING)


def test_what_others_map_retires_when_they_let_go(host: Hypervisor, tools: Toolstack) -> None:
    mfn = mark(host, FIRST, PLAIN)
    host.map_page(DOM0, host.domains[FIRST], PLAIN)
    tools.balloon(FIRST, [mfn])
    host.unmap_page(DOM0, Mfn(mfn))
    assert status(host, mfn) is PageStatus.OFFLINED


def test_a_page_table_cannot_be_given_up(host: Hypervisor, tools: Toolstack) -> None:
    mfn = mark(host, FIRST, L1)
    reply = tools.balloon(FIRST, [mfn])
    assert (reply.reason, blamed(reply)) == (
        f"domain 1 cannot give up page {mfn:#x}",
        (REFUSED, (mfn,)),
    )


def test_another_guests_page_cannot_be_given_up(host: Hypervisor, tools: Toolstack) -> None:
    mfn = frame_of(host.domains[SECOND], PLAIN)
    assert blamed(tools.balloon(FIRST, [mfn])) == (REFUSED, (mfn,))


def test_a_page_beyond_the_host_cannot_be_given_up(tools: Toolstack) -> None:
    assert blamed(tools.balloon(FIRST, [1 << 20])) == (REFUSED, (1 << 20,))


@pytest.mark.parametrize("gfn", [SPEC.buffers[0], SPEC.cows[0]])
def test_a_buffer_or_a_shared_page_cannot_be_given_up(
    host: Hypervisor, tools: Toolstack, gfn: int
) -> None:
    mfn = frame_of(host.domains[SECOND], gfn)
    assert blamed(tools.balloon(SECOND, [mfn])) == (REFUSED, (mfn,))


@pytest.mark.parametrize("frames", ["shared", "pool", "state_pages", "pod_cache"])
def test_what_xen_keeps_for_a_guest_is_not_its_to_give(
    host: Hypervisor, tools: Toolstack, frames: str
) -> None:
    mfn = int(getattr(host.domains[SECOND], frames)[0])
    assert blamed(tools.balloon(SECOND, [mfn])) == (REFUSED, (mfn,))


def test_a_buffer_can_be_given_up_once_its_device_is_gone(
    host: Hypervisor, tools: Toolstack
) -> None:
    tools.detach(SECOND, "nic0")
    mfn = frame_of(host.domains[SECOND], SPEC.buffers[0])
    assert tools.balloon(SECOND, [mfn]).outcome is DONE


def test_one_refused_page_keeps_the_others(host: Hypervisor, tools: Toolstack) -> None:
    mfns = pend(host, FIRST, PLAIN, L1).tolist()
    assert blamed(tools.balloon(FIRST, mfns)) == (REFUSED, tuple(mfns[1:]))
    assert holes(host.domains[FIRST]) == []


def test_a_suspended_guest_does_not_hear_of_it(host: Hypervisor, tools: Toolstack) -> None:
    mfn = mark(host, FIRST, PLAIN)
    tools.suspend(FIRST)
    reply = tools.balloon(FIRST, [mfn])
    assert (reply.outcome, reply.reason) == (TRY_AGAIN, "domain 1 is suspended")


def test_a_page_named_twice_is_given_up_once(host: Hypervisor, tools: Toolstack) -> None:
    mfn = mark(host, FIRST, PLAIN)
    tools.balloon(FIRST, [mfn, mfn])
    assert (holes(host.domains[FIRST]), host.check()) == ([PLAIN], [])


def test_nobody_gives_nothing_up(tools: Toolstack) -> None:
    assert tools.balloon(9, [1]).outcome is ToolOutcome.NO_SUCH_DOMAIN


def test_a_guest_goes_on_through_many_balloonings(
    host: Hypervisor, tools: Toolstack, rng: Generator
) -> None:
    guest = host.guests[FIRST]
    for gfns in np.split(rng.permutation(500), 10):
        mfns = pend(host, FIRST, *gfns[:20].tolist())
        tools.balloon(FIRST, mfns.tolist())
        guest.run(500, rng)
    assert (guest.workload.corruptions, guest.workload.faults, host.host.offlined) == (0, 0, 200)
