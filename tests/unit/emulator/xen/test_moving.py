"""Moving pages: every kind of page, every step of it failing half-way, undone or for good."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.random import Generator

from agent.contract.columns import I64
from agent.contract.frames import DomId, Gfn, Mfn
from agent.contract.hypercall import PageUse
from emulator.xen.defects import MENDED
from emulator.xen.domains import Domain
from emulator.xen.hypervisor import Hypervisor
from emulator.xen.layout import GuestSpec
from emulator.xen.moving import Move, Step, Trip
from emulator.xen.pagetables import WRITABLE, attributes_of, is_writable, walk
from emulator.xen.translation import Ept
from tests.support.hosts import (
    FIRST,
    HVM,
    L1,
    L2,
    L3,
    L4,
    PLAIN,
    PV,
    SHADOWED,
    fill,
    frame_of,
    host_of,
    pend,
)

STEPS = [step for step in Step if step is not Step.RELEASE]


@dataclass(frozen=True, slots=True)
class Case:
    """These pages of a guest of this kind, one of them perhaps a pinned table."""

    title: str
    spec: GuestSpec
    gfns: tuple[Gfn, ...]
    pinned: Gfn | None = None


CASES = (
    Case("a PV page", PV, (PLAIN,)),
    Case("PV pages", PV, tuple(map(Gfn, range(4, 24)))),
    *(Case(f"an L{n}", PV, (gfn,)) for n, gfn in enumerate((L1, L2, L3), 1)),
    *(Case(f"a pinned L{n}", PV, (gfn,), gfn) for n, gfn in enumerate((L1, L2, L3, L4), 1)),
    Case("all tables, and a page", PV, (PLAIN, *map(Gfn, range(595, 600))), L1),
    Case("part of a superpage", HVM, tuple(map(Gfn, range(600, 610)))),
    Case("a page behind a shadow", SHADOWED, (Gfn(7), Gfn(8))),
)
OF_PV = tuple(case for case in CASES if case.spec is PV)


def name(case: Case) -> str:
    return case.title


def begun(case: Case) -> tuple[Hypervisor, Domain, I64]:
    host = host_of(case.spec)
    domain = host.domains[FIRST]
    if case.pinned is not None:
        domain.pinned.add(case.pinned)
    return host, domain, pend(host, FIRST, *case.gfns)


def seen(host: Hypervisor) -> Iterator[object]:
    """All that a guest, its tools or the hypervisor could find of its memory."""
    domain = host.domains[FIRST]
    found = host.guests[FIRST].translation.find(np.arange(len(domain.p2m)))
    yield domain.p2m.tolist()
    yield host.table.gfns_of(domain.p2m).tolist()
    yield host.memory.read(domain.p2m).tolist()
    yield (found.frames.tolist(), found.writable.tolist())
    yield [host.table.kind_of(mfn) for mfn in map(Mfn, domain.p2m.tolist())]
    yield set(domain.pinned)
    yield host.host
    if domain.tables is not None:
        yield walk(host.memory, domain.tables, domain.root).tolist()


@pytest.fixture(params=CASES, ids=name)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


def test_a_moved_page_leaves_its_frame_and_the_frame_leaves_the_host(case: Case) -> None:
    host, domain, old = begun(case)
    host.move(domain, old)
    assert host.table.offlined_among(old).tolist() == old.tolist()


def test_after_a_move_everything_holds_together(case: Case) -> None:
    host, domain, old = begun(case)
    assert (host.move(domain, old), host.check()) == (Move.DONE, [])


def test_the_guest_reads_what_it_wrote_before_the_move(case: Case) -> None:
    host, domain, old = begun(case)
    host.move(domain, old)
    host.guests[FIRST].reread_p2m()
    assert host.guests[FIRST].verify() == 0


def test_what_was_pinned_is_pinned_after_the_move(case: Case) -> None:
    host, domain, old = begun(case)
    before = set(domain.pinned)
    host.move(domain, old)
    assert domain.pinned == before


def test_without_room_nothing_is_begun(case: Case) -> None:
    host, domain, old = begun(case)
    fill(host)
    before = list(seen(host))
    assert (host.move(domain, old), list(seen(host))) == (Move.NO_ROOM, before)


@pytest.mark.parametrize("step", STEPS)
def test_a_move_that_fails_at_any_step_leaves_everything_as_it_was(case: Case, step: Step) -> None:
    host, domain, old = begun(case)
    before = list(seen(host))
    assert (host.move(domain, old, Trip(step)), list(seen(host))) == (Move.UNDONE, before)


@pytest.mark.parametrize("step", STEPS)
def test_after_a_move_that_was_undone_everything_holds_together(case: Case, step: Step) -> None:
    host, domain, old = begun(case)
    host.move(domain, old, Trip(step))
    assert (host.check(), host.guests[FIRST].verify()) == ([], 0)


@pytest.mark.parametrize("step", STEPS)
def test_a_move_that_was_undone_can_be_made_again(case: Case, step: Step) -> None:
    host, domain, old = begun(case)
    host.move(domain, old, Trip(step))
    assert (host.move(domain, old), host.check()) == (Move.DONE, [])


@pytest.mark.parametrize("step", STEPS)
def test_a_torn_guest_has_both_frames_of_each_page_until_it_is_gone(case: Case, step: Step) -> None:
    host, domain, old = begun(case)
    pages = len(host.table.owned(FIRST))
    assert host.move(domain, old, Trip(step, is_final=True)) is Move.TORN
    assert len(host.table.owned(FIRST)) == pages + len(old)


@pytest.mark.parametrize("step", STEPS)
def test_all_frames_of_a_torn_guest_leave_with_it(case: Case, step: Step) -> None:
    host, domain, old = begun(case)
    host.move(domain, old, Trip(step, is_final=True))
    host.destroy(domain)
    counts = host.host
    assert (host.check(), counts.in_use, counts.offlining, counts.offlined) == ([], 0, 0, len(old))


@pytest.mark.parametrize("case", OF_PV, ids=name)
def test_a_guest_torn_between_its_tables_and_its_p2m_is_led_elsewhere(case: Case) -> None:
    host, domain, old = begun(case)
    host.move(domain, old, Trip(Step.RETARGET, is_final=True))
    assert len(host.check()) > 0


@pytest.mark.parametrize("case", [CASES[1], CASES[-3], CASES[-2]], ids=name)
def test_a_guest_torn_while_it_is_remapped_has_some_pages_here_and_some_there(case: Case) -> None:
    host, domain, old = begun(case)
    host.move(domain, old, Trip(Step.REMAP, is_final=True))
    stayed = np.isin(old, domain.p2m)
    assert stayed.any()
    assert not stayed.all()


def test_a_table_torn_after_it_was_unpinned_is_pinned_no_more() -> None:
    host, domain, old = begun(Case("", PV, (L1,), L1))
    host.move(domain, old, Trip(Step.UNPIN, is_final=True))
    assert domain.pinned == {L4}


def test_a_move_cannot_fail_once_all_is_done() -> None:
    with pytest.raises(ValueError, match="cannot fail at its release"):
        Trip(Step.RELEASE)


def test_a_moved_table_is_a_table_in_its_new_frame() -> None:
    host, domain, old = begun(Case("", PV, (L2,)))
    host.move(domain, old)
    assert host.table.use_of(frame_of(domain, L2)) is PageUse.PAGE_TABLE


def test_a_moved_plain_page_is_no_table_although_its_new_frame_was_one(rng: Generator) -> None:
    """The frame was a table of a guest that is gone."""
    host = host_of(PV, PV_TOO)
    second = host.domains[DomId(2)]
    table = frame_of(second, L1)
    host.destroy(second)
    old = pend(host, FIRST, PLAIN)
    fill(host)
    host.page_online([table])
    host.move(host.domains[FIRST], old)
    host.guests[FIRST].reread_p2m()
    host.guests[FIRST].run(1000, rng)
    assert not host.memory.tables(np.array([table])).any()
    assert host.guests[FIRST].verify() == 0


PV_TOO = replace(PV, name="db-too")


def test_an_entry_of_2_mib_goes_to_pieces_when_a_page_of_it_moves() -> None:
    host, domain, old = begun(Case("", HVM, (Gfn(600),)))
    translation = host.guests[FIRST].translation
    assert isinstance(translation, Ept)
    whole_before = translation.superpages[1] >= 0
    host.move(domain, old)
    assert (whole_before, translation.superpages.tolist()) == (True, [0, -1, -1])


def test_a_page_that_others_map_lingers_when_it_is_moved_from_under_them() -> None:
    host, domain, old = begun(Case("", HVM, (Gfn(7),)))
    host.table.references.map(Mfn(int(old[0])), DomId(0))
    host.move(domain, old)
    assert (set(host.table.references.lingering), host.check()) == (set(old.tolist()), [])


def test_defect_t2_the_guest_may_not_write_to_its_page_any_more() -> None:
    host = host_of(PV, defects=replace(MENDED, exchange_loses_attributes=True))
    domain, old = host.domains[FIRST], pend(host, FIRST, PLAIN)
    host.move(domain, old)
    assert domain.tables is not None
    entry = walk(host.memory, domain.tables, domain.root)[PLAIN : PLAIN + 1]
    assert (is_writable(entry).tolist(), host.guests[FIRST].verify()) == ([False], 1)


def test_defect_t2_the_bit_is_not_put_back_by_a_roll_back() -> None:
    host = host_of(PV, defects=replace(MENDED, exchange_loses_attributes=True))
    domain, old = host.domains[FIRST], pend(host, FIRST, PLAIN)
    assert domain.tables is not None
    before = attributes_of(walk(host.memory, domain.tables, domain.root)[PLAIN : PLAIN + 1])
    assert host.move(domain, old, Trip(Step.REMAP)) is Move.UNDONE
    after = attributes_of(walk(host.memory, domain.tables, domain.root)[PLAIN : PLAIN + 1])
    assert [int(before[0]) & WRITABLE, int(after[0]) & WRITABLE] == [WRITABLE, 0]


def test_defect_t3_the_m2p_says_page_0_for_the_new_frame() -> None:
    host = host_of(PV, defects=replace(MENDED, exchange_garbles_m2p=True))
    domain, old = host.domains[FIRST], pend(host, FIRST, PLAIN)
    host.move(domain, old)
    assert host.table.gfn_of(frame_of(domain, PLAIN)) == 0
