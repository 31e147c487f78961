"""The exchange: invariants 46 to 55, by their numbers.

What is not said to be otherwise is how it ought to be, with every defect mended; real Xen's tool is
tested beside it where it differs, one defect at a time, since each of them hides the next.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.random import Generator

from agent.contract.columns import U64
from agent.contract.frames import DOM0, DomId, Gfn, Mfn
from agent.contract.hypercall import PageStatus, PageUse
from agent.contract.toolstack import DomainState, ResumePath, ToolOutcome, ToolReply
from emulator.xen.defects import MENDED, XEN_4_17, Defects
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import GuestSpec
from emulator.xen.moving import Step, Trip
from emulator.xen.pagetables import attributes_of, frames_of, walk
from emulator.xen.toolstack import Toolstack
from emulator.xen.trouble import Trouble
from tests.support.hosts import (
    FIRST,
    HVM,
    L1,
    L2,
    L3,
    L4,
    PLAIN,
    PV,
    fill,
    frame_of,
    host_of,
    mark,
)

DONE, REFUSED, FAILED = ToolOutcome.DONE, ToolOutcome.REFUSED, ToolOutcome.FAILED
TRY_AGAIN, DAMAGED = ToolOutcome.TRY_AGAIN, ToolOutcome.GUEST_MAY_BE_DAMAGED
TABLES = (L1, L2, L3, L4)
STEPS = [step for step in Step if step is not Step.RELEASE]


@pytest.fixture
def rng() -> Generator:
    return np.random.default_rng(8412)


class Stopped:
    """A suspended guest whose page `gfn` is pending: a page table is pinned unless told not to."""

    def __init__(
        self, gfn: Gfn = PLAIN, spec: GuestSpec = PV, defects: Defects = MENDED, *, pin: bool = True
    ) -> None:
        self.host: Hypervisor = host_of(spec, defects=defects)
        self.tools = Toolstack(self.host)
        self.domain = self.host.domains[FIRST]
        self.gfn = gfn
        if pin and gfn in TABLES:
            self.domain.pinned.add(gfn)
        self.mfn = mark(self.host, FIRST, gfn)
        self.tools.suspend(FIRST)

    def exchange(self, mfn: int | None = None) -> ToolReply:
        return self.tools.exchange(FIRST, [self.mfn if mfn is None else mfn])

    @property
    def status(self) -> PageStatus:
        return self.host.page_query([self.mfn]).pages[0].status

    def entries(self) -> U64:
        """The guest's mappings, as the hardware finds them."""
        assert self.domain.tables is not None
        return walk(self.host.memory, self.domain.tables, self.domain.root)

    def attributes(self) -> list[int]:
        found: list[int] = attributes_of(self.entries()).tolist()
        return found


def made(**flaws: bool) -> Defects:
    """As it ought to be, but for this."""
    return replace(MENDED, **flaws)


# What may stand in the way, in the order of the tool's steps.


def is_nobody(it: Stopped) -> ToolReply:
    return it.tools.exchange(DomId(9), [it.mfn])


def is_running(it: Stopped) -> ToolReply:
    it.domain.state = DomainState.RUNNING
    return it.exchange()


def is_dom0(it: Stopped) -> ToolReply:
    return it.tools.exchange(DOM0, [it.mfn])


def is_not_pending(it: Stopped) -> ToolReply:
    it.host.page_online([it.mfn])
    return it.exchange()


def is_granted(it: Stopped) -> ToolReply:
    it.host.map_page(DOM0, it.domain, it.gfn)
    return it.exchange()


def is_without_room(it: Stopped) -> ToolReply:
    fill(it.host)
    return it.exchange()


Way = Callable[[Stopped], ToolReply]

IN_BOTH: tuple[tuple[Way, ToolOutcome, str], ...] = (
    (is_nobody, ToolOutcome.NO_SUCH_DOMAIN, "there is no domain 9"),
    (is_running, REFUSED, "domain 1 must be suspended first"),
    (is_dom0, ToolOutcome.NO_SUCH_DOMAIN, "there is no domain 0"),
    (is_not_pending, REFUSED, "page 0x5 is not offline pending"),
    (is_granted, TRY_AGAIN, "page 0x5 is mapped by another domain"),
)
IN_THE_DESIGN = (*IN_BOTH, (is_without_room, TRY_AGAIN, "no 1 free pages to exchange for"))
IN_XEN = (*IN_BOTH, (is_without_room, FAILED, "clear pte failed"))  # T1 comes before the room

REFUSALS = [
    *((MENDED, *refusal) for refusal in IN_THE_DESIGN),
    *((XEN_4_17, *refusal) for refusal in IN_XEN),
]
NAMES = [f"{'xen' if row[0] is XEN_4_17 else 'design'}: {row[1].__name__}" for row in REFUSALS]


@pytest.mark.parametrize(("defects", "way", "outcome", "reason"), REFUSALS, ids=NAMES)
def test_invariant_46_each_refusal_says_what_is_wrong(
    defects: Defects, way: Way, outcome: ToolOutcome, reason: str
) -> None:
    reply = way(Stopped(defects=defects))
    assert (reply.outcome, reply.reason) == (outcome, reason)


@pytest.mark.parametrize(("defects", "way", "outcome", "reason"), REFUSALS, ids=NAMES)
def test_invariant_46_after_a_refusal_the_page_is_where_it_was(
    defects: Defects, way: Way, outcome: ToolOutcome, reason: str
) -> None:
    it = Stopped(defects=defects)
    before = it.domain.p2m.tolist(), it.entries().tolist(), it.status
    assert way(it).outcome is outcome, reason
    status = PageStatus.ONLINE if way is is_not_pending else PageStatus.OFFLINE_PENDING
    assert (it.domain.p2m.tolist(), it.entries().tolist(), it.status) == (*before[:2], status)
    assert it.host.check() == []


@pytest.mark.parametrize(("defects", "way", "outcome", "reason"), REFUSALS, ids=NAMES)
def test_invariant_46_after_a_refusal_the_guest_can_be_resumed_and_is_well(
    defects: Defects, way: Way, outcome: ToolOutcome, reason: str, rng: Generator
) -> None:
    it = Stopped(defects=defects)
    assert way(it).outcome is outcome, reason
    assert it.tools.resume(FIRST).outcome is DONE
    guest = it.host.guests[FIRST]
    guest.run(5000, rng)
    assert (guest.workload.corruptions, guest.workload.faults, guest.verify()) == (0, 0, 0)


@pytest.mark.parametrize("defects", [MENDED, XEN_4_17])
def test_invariant_46_what_comes_first_in_the_order_is_what_is_told(defects: Defects) -> None:
    """Everything is wrong, and is put right one thing after the other."""
    it = Stopped(defects=defects)
    is_granted(it)
    is_not_pending(it)
    fill(it.host)
    told = [is_running(it).reason]
    it.tools.suspend(FIRST)
    told.append(it.exchange().reason)
    it.host.page_offline_pending([it.mfn])
    told.append(it.exchange().reason)
    it.host.unmap_page(DOM0, it.mfn)
    told.append(it.exchange().reason)
    assert told == [
        "domain 1 must be suspended first",
        "page 0x5 is not offline pending",
        "page 0x5 is mapped by another domain",
        "clear pte failed" if defects is XEN_4_17 else "no 1 free pages to exchange for",
    ]


def test_invariant_46_real_xens_tool_refuses_translated_guests_before_it_looks_at_pages() -> None:
    it = Stopped(spec=HVM, defects=XEN_4_17)
    reply = is_not_pending(it)
    assert (reply.outcome, reply.reason) == (REFUSED, "only a PV guest's pages can be exchanged")


def test_invariant_46_the_design_exchanges_them_too() -> None:
    it = Stopped(spec=HVM)
    assert (it.exchange().outcome, it.status) == (DONE, PageStatus.OFFLINED)


@dataclass(frozen=True, slots=True)
class Page:
    """A page that is exchanged, with its guest."""

    title: str
    gfn: Gfn
    spec: GuestSpec = PV
    pin: bool = False


PAGES = (
    Page("ordinary", PLAIN),
    *(Page(f"L{n}", gfn) for n, gfn in enumerate(TABLES[:3], 1)),
    *(Page(f"pinned L{n}", gfn, pin=True) for n, gfn in enumerate(TABLES, 1)),
    Page("of a superpage", Gfn(600), HVM),
)


@pytest.fixture(params=PAGES, ids=lambda page: page.title)
def page(request: pytest.FixtureRequest) -> Page:
    found: Page = request.param
    return found


class Places:
    """Where a page is by each account of it."""

    def __init__(self, page: Page) -> None:
        self.it = Stopped(page.gfn, page.spec, pin=page.pin)
        self.old, self.page = self.it.mfn, page
        self._word = self._content(self.old)

    def told(self) -> set[str]:
        """`old` or `new`, or both if they differ."""
        it = self.it
        behind = frame_of(it.domain, it.gfn)
        led = Mfn(int(it.host.guests[FIRST].translation.find(np.array([it.gfn])).frames[0]))
        back = it.host.table.gfn_of(behind)
        kind = it.host.table.use_of(behind)
        fits = kind is (PageUse.PAGE_TABLE if it.gfn in TABLES else it.domain.tenant.use)
        fits &= back == it.gfn and self._content(behind) == self._word
        fits &= not self.page.pin or it.gfn in it.domain.pinned
        return {self._name(behind), self._name(led), self._name(behind if fits else Mfn(-1))}

    def _content(self, mfn: Mfn) -> list[int]:
        """What it holds; if that is a table, the check of the host looks at what it says."""
        word: list[int] = self.it.host.memory.read(np.array([mfn])).tolist()
        return word

    def _name(self, mfn: Mfn) -> str:
        if mfn < 0:
            return "lost"
        return "old" if mfn == self.old else "new"


@pytest.mark.parametrize("step", STEPS)
def test_invariant_47_whichever_step_fails_the_old_page_is_there_everywhere(
    page: Page, step: Step
) -> None:
    places = Places(page)
    places.it.tools.trouble = Trouble(trip=Trip(step))
    assert places.it.exchange().outcome is FAILED
    assert (places.told(), places.it.status) == ({"old"}, PageStatus.OFFLINE_PENDING)
    assert places.it.host.check() == []


def test_invariant_47_if_none_fails_the_new_page_is_there_everywhere(page: Page) -> None:
    places = Places(page)
    assert places.it.exchange().outcome is DONE
    assert (places.told(), places.it.host.check()) == ({"new"}, [])


@pytest.mark.parametrize("step", STEPS)
def test_invariant_47_after_a_failure_the_guest_goes_on(
    page: Page, step: Step, rng: Generator
) -> None:
    it = Places(page).it
    it.tools.trouble = Trouble(trip=Trip(step))
    it.exchange()
    it.tools.resume(FIRST)
    guest = it.host.guests[FIRST]
    guest.run(5000, rng)
    assert (guest.workload.corruptions, guest.workload.faults, guest.verify()) == (0, 0, 0)


@pytest.mark.parametrize("step", STEPS)
def test_invariant_47_a_mixture_is_never_called_a_failure(page: Page, step: Step) -> None:
    """What could not be undone says another thing, because another thing is to be done then."""
    it = Places(page).it
    it.tools.trouble = Trouble(trip=Trip(step, is_final=True))
    assert it.exchange().outcome is DAMAGED


@pytest.mark.parametrize("gfn", [PLAIN, *TABLES])
def test_invariant_48_all_attributes_are_kept_by_an_exchange(gfn: Gfn) -> None:
    it = Stopped(gfn)
    before = it.attributes()
    it.exchange()
    assert it.attributes() == before


@pytest.mark.parametrize("gfn", [PLAIN, *TABLES])
@pytest.mark.parametrize("step", STEPS)
def test_invariant_48_all_attributes_are_kept_by_a_roll_back(gfn: Gfn, step: Step) -> None:
    it = Stopped(gfn)
    before = it.attributes()
    it.tools.trouble = Trouble(trip=Trip(step))
    it.exchange()
    assert it.attributes() == before


@pytest.mark.parametrize("trip", [None, Trip(Step.REMAP)])
def test_invariant_48_real_xens_tool_takes_the_right_to_write_from_the_guest(
    trip: Trip | None, rng: Generator
) -> None:
    """By an exchange as by its roll-back; the guest finds out when it writes."""
    it = Stopped(defects=made(exchange_loses_attributes=True))
    it.tools.trouble = Trouble(trip=trip)
    it.exchange()
    it.tools.resume(FIRST)
    guest = it.host.guests[FIRST]
    guest.run(20_000, rng)
    assert (guest.workload.faults > 0, guest.workload.corruptions) == (True, 0)


@pytest.mark.parametrize("gfn", [PLAIN, *TABLES])
def test_invariant_49_the_m2p_of_the_new_frame_is_right_and_of_the_old_one_empty(gfn: Gfn) -> None:
    it = Stopped(gfn)
    it.exchange()
    table = it.host.table
    assert (table.gfn_of(frame_of(it.domain, gfn)), table.gfn_of(it.mfn)) == (gfn, None)


def test_invariant_49_real_xens_tool_has_it_say_page_0() -> None:
    it = Stopped(defects=made(exchange_garbles_m2p=True))
    it.exchange()
    new = frame_of(it.domain, PLAIN)
    assert it.host.table.gfn_of(new) == 0
    assert "domain 1 finds another page behind one of its frames" in it.host.check()


def test_invariant_49_then_the_guest_loses_the_page_when_it_is_saved() -> None:
    """Its tables travel with its own numbers, which the M2P has to tell."""
    it = Stopped(defects=made(exchange_garbles_m2p=True))
    it.exchange()
    it.tools.save(FIRST, "a")
    it.tools.restore("a")
    restored = it.host.guests[DomId(2)]
    assert restored.translation.find(np.array([PLAIN])).frames.tolist() == [-1]


@pytest.mark.parametrize("gfn", [PLAIN, *TABLES])
def test_invariant_50_a_page_that_the_guest_maps_can_be_exchanged(gfn: Gfn) -> None:
    it = Stopped(gfn)
    assert (it.exchange().outcome, it.status) == (DONE, PageStatus.OFFLINED)


@pytest.mark.parametrize("gfn", [PLAIN, *TABLES])
def test_invariant_50_real_xens_tool_asks_for_dom0s_tables_and_is_refused(gfn: Gfn) -> None:
    it = Stopped(gfn, defects=XEN_4_17)
    reply = it.exchange()
    assert (reply.outcome, reply.reason, it.status) == (
        FAILED,
        "clear pte failed",
        PageStatus.OFFLINE_PENDING,
    )


@pytest.mark.parametrize("gfn", TABLES)
def test_invariant_51_what_was_pinned_is_pinned_again_and_nothing_else(gfn: Gfn) -> None:
    it = Stopped(gfn)
    before = set(it.domain.pinned)
    it.exchange()
    assert it.domain.pinned == before


@pytest.mark.parametrize("gfn", TABLES[:3])
def test_invariant_51_what_was_not_pinned_is_not_pinned_by_it(gfn: Gfn) -> None:
    it = Stopped(gfn, pin=False)
    it.exchange()
    assert it.domain.pinned == {L4}


@pytest.mark.parametrize("gfn", TABLES)
def test_invariant_51_what_was_pinned_is_pinned_again_by_a_roll_back(gfn: Gfn) -> None:
    it = Stopped(gfn)
    before = set(it.domain.pinned)
    for step in STEPS:
        it.tools.trouble = Trouble(trip=Trip(step))
        it.exchange()
        assert it.domain.pinned == before, step


@pytest.mark.parametrize("gfn", TABLES)
def test_invariant_51_the_content_is_in_place_before_anything_leads_to_it(gfn: Gfn) -> None:
    """Torn between the two: the copy is whole, and is no table of the guest's yet."""
    it = Stopped(gfn)
    before = it.entries().tolist()
    it.tools.trouble = Trouble(trip=Trip(Step.COPY, is_final=True))
    it.exchange()
    (copy,) = it.domain.strays.tolist()
    tables = it.host.memory.tables(np.array([it.mfn, copy]))
    assert np.array_equal(tables[0], tables[1])
    assert (it.entries().tolist(), copy in frames_of(it.entries())) == (
        before,
        False,
    )


def is_exchanged(it: Stopped) -> ToolReply:
    return it.exchange()


def is_undone(it: Stopped) -> ToolReply:
    it.tools.trouble = Trouble(trip=Trip(Step.REMAP))
    return it.exchange()


def is_torn(it: Stopped) -> ToolReply:
    it.tools.trouble = Trouble(trip=Trip(Step.REMAP, is_final=True))
    return it.exchange()


PATHS = (is_exchanged, is_undone, is_torn, is_granted, is_not_pending, is_without_room)


@pytest.mark.parametrize("way", PATHS)
def test_invariant_52_no_exchange_resumes_the_guest_by_itself(way: Way) -> None:
    it = Stopped()
    way(it)
    assert it.domain.state is DomainState.SUSPENDED


@pytest.mark.parametrize("way", PATHS)
def test_invariant_52_the_first_resume_counts_and_the_second_changes_nothing(way: Way) -> None:
    """A second one by the slow path would have a running guest read its p2m."""
    it = Stopped()
    way(it)
    replies = [it.tools.resume(FIRST, path).outcome for path in (ResumePath.FAST, ResumePath.SLOW)]
    known = it.host.guests[FIRST]._known
    assert known is not None
    assert (replies, it.domain.is_running) == ([DONE, DONE], True)
    assert known.p2m[PLAIN] == it.mfn


@pytest.mark.parametrize("way", PATHS)
def test_invariant_52_after_it_the_guest_can_be_suspended_again(way: Way) -> None:
    it = Stopped()
    way(it)
    it.tools.resume(FIRST)
    assert (it.tools.suspend(FIRST).outcome, it.domain.state) == (DONE, DomainState.SUSPENDED)


NIC = replace(PV, devices=("nic0",), buffer_pages=4)


@pytest.mark.parametrize("path", ResumePath)
def test_invariant_53_devices_stay_up_through_suspend_and_resume(
    path: ResumePath, rng: Generator
) -> None:
    it = Stopped(spec=NIC)
    it.tools.resume(FIRST, path)
    before = it.host.guests[FIRST].workload.words[list(NIC.buffers)].tolist()
    it.host.work(rng)
    after = it.host.guests[FIRST].workload.words[list(NIC.buffers)].tolist()
    assert (it.domain.devices, it.host.guests[FIRST].verify()) == (("nic0",), 0)
    assert not set(before) & set(after)


def test_invariant_53_a_guest_resumed_by_the_fast_path_goes_on_as_if_nothing_had_been(
    rng: Generator,
) -> None:
    """For a cancelled suspend that is right; after an exchange it is what corrupts the guest."""
    cancelled, exchanged = Stopped(), Stopped()
    exchanged.exchange()
    for it in (cancelled, exchanged):
        it.tools.resume(FIRST, ResumePath.FAST)
        for _ in range(5):
            it.host.guests[FIRST].run(20_000, rng)
    wrong = [it.host.guests[FIRST].workload.corruptions > 0 for it in (cancelled, exchanged)]
    assert wrong == [False, True]


def test_invariant_54_the_old_page_is_offlined_and_the_guest_has_as_many_as_before(
    page: Page,
) -> None:
    it = Places(page).it
    before = it.domain.info().pages
    it.exchange()
    assert (it.status, it.domain.info().pages) == (PageStatus.OFFLINED, before)


def test_invariant_54_a_lack_of_room_is_told_before_anybody_is_suspended() -> None:
    it = Stopped()
    it.tools.resume(FIRST)
    fill(it.host)
    assert it.tools.domains().free_pages == 0


def test_invariant_54_without_room_the_refusal_is_a_clean_one(page: Page) -> None:
    places = Places(page)
    fill(places.it.host)
    assert places.it.exchange().outcome is TRY_AGAIN
    assert (places.told(), places.it.host.check()) == ({"old"}, [])


def test_invariant_55_a_guest_that_never_acknowledges_runs_on_with_its_page_pending(
    rng: Generator,
) -> None:
    """How long that is waited for is the caller's deadline; the answer is that it did not stop."""
    host = host_of(PV)
    tools, mfn = Toolstack(host, Trouble(suspend=TRY_AGAIN)), mark(host, FIRST, PLAIN)
    assert tools.suspend(FIRST).outcome is TRY_AGAIN
    guest = host.guests[FIRST]
    guest.run(5000, rng)
    assert (guest.domain.is_running, guest.workload.corruptions) == (True, 0)
    assert host.page_query([mfn]).pages[0].status is PageStatus.OFFLINE_PENDING


def test_invariant_55_its_pages_cannot_be_exchanged_then() -> None:
    host = host_of(PV)
    tools, mfn = Toolstack(host, Trouble(suspend=TRY_AGAIN)), mark(host, FIRST, PLAIN)
    tools.suspend(FIRST)
    assert tools.exchange(FIRST, [mfn]).reason == "domain 1 must be suspended first"
