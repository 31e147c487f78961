"""The exchange: what is refused, in which order, and that it then harms nobody."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.random import Generator

from agent.contract.frames import DOM0, Gfn
from agent.contract.toolstack import DomainState, GuestKind, ResumePath, ToolOutcome
from emulator.xen.defects import MENDED, XEN_4_17, Defects
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import GuestSpec
from emulator.xen.moving import Step, Trip
from emulator.xen.toolstack import Toolstack
from emulator.xen.trouble import Trouble
from tests.support.hosts import (
    FIRST,
    HVM,
    L1,
    PLAIN,
    PV,
    SECOND,
    fill,
    frame_of,
    host_of,
    mark,
    pend,
)

DONE, REFUSED, FAILED = ToolOutcome.DONE, ToolOutcome.REFUSED, ToolOutcome.FAILED
TRY_AGAIN, DAMAGED = ToolOutcome.TRY_AGAIN, ToolOutcome.GUEST_MAY_BE_DAMAGED
FIXED = GuestSpec("web", GuestKind.HVM, 600, pool_pages=1, state_pages=1)
NIC = replace(PV, devices=("nic0",), buffer_pages=4)


class Stopped:
    """The first guest, suspended, and its page `PLAIN` pending."""

    def __init__(self, *specs: GuestSpec, defects: Defects = MENDED) -> None:
        self.host: Hypervisor = host_of(*specs, defects=defects)
        self.tools = Toolstack(self.host)
        self.domain = self.host.domains[FIRST]
        self.mfn = mark(self.host, FIRST, PLAIN)
        self.domain.state = DomainState.SUSPENDED

    def exchange(self, *mfns: int) -> tuple[ToolOutcome, str, tuple[int, ...]]:
        reply = self.tools.exchange(FIRST, mfns or (self.mfn,))
        return reply.outcome, reply.reason, reply.blamed


@dataclass(frozen=True, slots=True)
class Hindrance:
    """What stands in the way, in the order in which it is told."""

    spoil: Callable[[Stopped], object]
    outcome: ToolOutcome
    reason: str


def runs(it: Stopped) -> None:
    it.domain.state = DomainState.RUNNING


def has_device(it: Stopped) -> None:
    it.domain.devices = ("nic0",)


def is_cancelled(it: Stopped) -> None:
    it.host.page_online([it.mfn])


def is_broken(it: Stopped) -> None:
    it.host.table.mark_broken(it.mfn)


def is_mapped(it: Stopped) -> None:
    it.host.map_page(DOM0, it.domain, PLAIN)


def no_room(it: Stopped) -> None:
    fill(it.host)


IN_ORDER = (
    Hindrance(runs, REFUSED, "domain 1 must be suspended first"),
    Hindrance(has_device, REFUSED, "nic0 may write to its memory at any time"),
    Hindrance(is_cancelled, REFUSED, "page 0x5 is not offline pending"),
    Hindrance(is_broken, REFUSED, "page 0x5 is broken"),
    Hindrance(is_mapped, TRY_AGAIN, "page 0x5 is mapped by another domain"),
    Hindrance(no_room, TRY_AGAIN, "no 1 free pages to exchange for"),
)


@pytest.mark.parametrize("first", range(len(IN_ORDER)))
def test_of_all_that_stands_in_the_way_the_first_is_told(first: int) -> None:
    it = Stopped(PV)
    for hindrance in IN_ORDER[first:]:
        hindrance.spoil(it)
    told = IN_ORDER[first]
    assert it.exchange()[:2] == (told.outcome, told.reason)


@pytest.mark.parametrize("hindrance", IN_ORDER, ids=lambda each: each.spoil.__name__)
def test_a_refused_exchange_moves_nothing(hindrance: Hindrance) -> None:
    it = Stopped(PV)
    hindrance.spoil(it)
    before = it.host.host, it.domain.p2m.tolist()
    it.exchange()
    assert (it.host.host, it.domain.p2m.tolist()) == before


def test_the_pages_that_stand_in_the_way_are_named() -> None:
    it = Stopped(PV)
    mapped = pend(it.host, FIRST, 6, 7).tolist()
    for gfn in (6, 7):
        it.host.map_page(DOM0, it.domain, Gfn(gfn))
    assert it.exchange(it.mfn, *mapped)[2] == tuple(mapped)


def test_without_the_pages_that_stood_in_the_way_the_others_can_go() -> None:
    it = Stopped(PV)
    mapped = mark(it.host, FIRST, 6)
    it.host.map_page(DOM0, it.domain, Gfn(6))
    blamed = set(it.exchange(it.mfn, mapped)[2])
    assert it.exchange(*({it.mfn, mapped} - blamed)) == (DONE, "", ())


def test_what_is_wrong_with_the_guest_names_no_page() -> None:
    it = Stopped(PV)
    runs(it)
    assert it.exchange()[2] == ()


def test_a_page_that_its_mapper_has_let_go_of_can_be_exchanged() -> None:
    it = Stopped(PV)
    is_mapped(it)
    it.host.unmap_page(DOM0, frame_of(it.domain, PLAIN))
    assert it.exchange()[0] is DONE


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ("pool", "page {:#x} is a paging_pool page, and cannot be exchanged"),
        ("state_pages", "page {:#x} is a hvm_state page, and cannot be exchanged"),
    ],
)
def test_what_xen_keeps_for_a_guest_cannot_be_exchanged(frames: str, reason: str) -> None:
    it = Stopped(FIXED)
    mfn = int(getattr(it.domain, frames)[0])
    it.host.page_offline_pending([mfn])
    assert it.exchange(mfn) == (REFUSED, reason.format(mfn), (mfn,))


def test_what_xen_shares_with_a_guest_is_not_the_guests() -> None:
    it = Stopped(replace(PV, shared_pages=1))
    mfn = int(it.domain.shared[0])
    assert it.exchange(mfn) == (REFUSED, f"page {mfn:#x} is not of domain 1", (mfn,))


def test_what_others_keep_of_a_page_that_was_given_up_cannot_be_exchanged() -> None:
    it = Stopped(HVM)
    it.host.map_page(DOM0, it.domain, PLAIN, stays=True)
    it.host.balloon_out(it.domain, np.array([PLAIN]))
    assert it.exchange()[:2] == (REFUSED, "page 0x5 is a hvm page, and cannot be exchanged")


def test_another_guests_page_is_refused() -> None:
    it = Stopped(PV, HVM)
    mfn = mark(it.host, SECOND, 0)
    assert it.exchange(mfn) == (REFUSED, f"page {mfn:#x} is not of domain 1", (mfn,))


@pytest.mark.parametrize("step", [step for step in Step if step is not Step.RELEASE])
def test_a_failure_half_way_that_is_undone_says_that_all_is_where_it_was(step: Step) -> None:
    it = Stopped(PV)
    it.tools.trouble = Trouble(trip=Trip(step))
    assert it.exchange() == (FAILED, "it failed half-way, and all is where it was", ())
    assert it.host.check() == []


@pytest.mark.parametrize("step", [step for step in Step if step is not Step.RELEASE])
def test_a_failure_that_cannot_be_undone_says_another_thing(step: Step) -> None:
    it = Stopped(PV)
    it.tools.trouble = Trouble(trip=Trip(step, is_final=True))
    assert it.exchange() == (DAMAGED, "it failed half-way, and could not be undone", ())


def test_a_guest_with_a_device_can_be_exchanged_once_the_device_is_gone(rng: Generator) -> None:
    it = Stopped(NIC)
    it.tools.resume(FIRST)
    it.tools.detach(FIRST, "nic0")
    it.tools.suspend(FIRST)
    exchanged = it.exchange()[0]
    it.tools.resume(FIRST)
    it.tools.attach(FIRST, "nic0")
    it.host.work(rng)
    assert (exchanged, it.host.guests[FIRST].verify()) == (DONE, 0)


def test_resumed_by_the_fast_path_a_guest_writes_where_its_page_was(rng: Generator) -> None:
    it = Stopped(PV)
    it.exchange()
    it.tools.resume(FIRST, ResumePath.FAST)
    for _ in range(10):
        it.host.guests[FIRST].run(5000, rng)
    assert it.host.guests[FIRST].workload.corruptions > 0


def test_real_xens_tool_knows_no_guests_but_pv_ones() -> None:
    it = Stopped(HVM, defects=XEN_4_17)
    assert it.exchange() == (REFUSED, "only a PV guest's pages can be exchanged", ())


@pytest.mark.parametrize("gfn", [PLAIN, L1])
def test_defect_t1_every_page_that_the_guest_maps_is_refused(gfn: Gfn) -> None:
    it = Stopped(PV, defects=XEN_4_17)
    mfn = mark(it.host, FIRST, gfn)
    assert it.exchange(mfn) == (FAILED, "clear pte failed", ())


def test_defect_t1_leaves_the_guest_unharmed() -> None:
    it = Stopped(PV, defects=XEN_4_17)
    it.exchange()
    it.tools.resume(FIRST)
    assert (it.host.check(), it.host.guests[FIRST].verify()) == ([], 0)


def test_defect_t8_a_device_is_not_minded_and_goes_on_writing_to_the_old_frame(
    rng: Generator,
) -> None:
    it = Stopped(NIC, defects=replace(MENDED, exchange_ignores_devices=True))
    gfn = next(iter(NIC.buffers))
    mfn = mark(it.host, FIRST, gfn)
    exchanged = it.exchange(mfn)[0]
    it.tools.resume(FIRST)
    it.host.work(rng)
    assert (exchanged, it.host.guests[FIRST].verify()) == (DONE, 2)  # through both its views
