"""One host: the same seed is the same life, and whatever the bank logs is reported once."""

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest

from agent.contract.columns import Batch, Kind
from agent.contract.frames import DomId, Mfn
from agent.contract.hypercall import PageStatus, PageUse
from agent.contract.toolstack import GuestKind, ResumePath, ToolOutcome
from emulator.config import EmulatorConfig, Personality
from emulator.machine.banks import Uncorrected
from emulator.machine.faults import Flaw, Mode, Persistence, site_of
from emulator.machine.queue import Fault
from emulator.plan import layout_of
from emulator.scenario import FaultSettings, GuestSettings, On, Scenario
from emulator.world import World
from emulator.xen.defects import MENDED, XEN_4_17, Defects
from emulator.xen.frametable import FrameState
from emulator.xen.layout import Layout
from tests.support.flaws import DDR4

BOOT, NEXT_BOOT = UUID(int=1), UUID(int=2)
STARTED_NS = 1_700_000_000_000_000_000


def a_world(
    *faults: FaultSettings,
    seed: int = 1,
    personality: Personality = Personality.THREAD,
    defects: dict[str, bool] | None = None,
) -> World:
    """A host of 64 MiB with guests of all kinds, small enough to be made often."""
    config = EmulatorConfig.model_validate(
        {
            "seed": seed,
            "host": {
                "memory": "64 MiB",
                "xen_heap": "2 MiB",
                "dom0": "4 MiB",
                "personality": personality,
                "defects": defects or {},
            },
            "workload": {"working_set": "1 MiB"},
        }
    )
    guests = (
        GuestSettings(name="a", kind=GuestKind.HVM, memory=4 << 20),
        GuestSettings(name="b", kind=GuestKind.PV, memory=4 << 20, rings=2),
        GuestSettings(name="c", kind=GuestKind.PV, memory=4 << 20, devices=("nic",)),
        GuestSettings(
            name="d",
            kind=GuestKind.PVH,
            memory=8 << 20,
            populate_on_demand=1 << 20,
            shared_memory=64 << 10,
        ),
    )
    scenario = Scenario(title="A small host.", guests=guests, faults=faults)
    return World(config, scenario, layout_of(config, scenario), BOOT, STARTED_NS)


def life_of(world: World, since: int = 0, seconds: int = 10) -> Iterator[Batch]:
    """Its batches in `seconds` from `since` on, stepped ten times a second."""
    for tenth in range(since * 10, (since + seconds) * 10):
        world.work(tenth / 10)
        batch = world.step(tenth / 10)
        if batch is not None:
            yield batch


def a_fault(on: On, errors_max: int | None = None) -> FaultSettings:
    return FaultSettings(on=on, errors_per_second=20.0, errors_max=errors_max)


# Wherever this host has pages: none of its guests is dying, and it is not real Xen.
EVERYWHERE = {
    On.FREE: PageUse.FREE,
    On.HVM: PageUse.HVM,
    On.PV: PageUse.PV,
    On.PAGE_TABLE: PageUse.PAGE_TABLE,
    On.SUPERPAGE: PageUse.HVM,
    On.MAPPED: PageUse.PV,
    On.DEVICE: PageUse.PV,
    On.ON_DEMAND: PageUse.HVM,
    On.SHADOW: PageUse.SHADOW,
    On.HVM_STATE: PageUse.HVM_STATE,
    On.SHARED: PageUse.SHARED,
    On.SHARED_INFO: PageUse.XEN_HEAP,
    On.DOM0: PageUse.DOM0,
    On.XEN_HEAP: PageUse.XEN_HEAP,
}
FAULTS = tuple(map(a_fault, EVERYWHERE))


def test_the_same_seed_is_the_same_life() -> None:
    lives = zip(life_of(a_world(*FAULTS)), life_of(a_world(*FAULTS)), strict=True)
    assert all(one.same_as(other) for one, other in lives)


def test_another_seed_is_another_life() -> None:
    one = next(life_of(a_world(*FAULTS)))
    assert not one.same_as(next(life_of(a_world(*FAULTS, seed=2))))


def test_every_error_that_the_bank_logs_is_reported() -> None:
    world = a_world(*FAULTS)
    assert sum(int(batch.count.sum()) for batch in life_of(world)) == world.errors > 0


def test_more_errors_than_the_banks_counter_holds_are_reported_in_portions() -> None:
    """The count has 15 bits; a burst beyond it is more than one ereport, and not one error less."""
    world = a_world(FaultSettings(on=On.DOM0, errors_per_second=1e5, errors_max=40_000))
    world.step(0.0)
    batch = world.step(60.0)
    assert batch is not None
    assert (batch.count.tolist(), world.errors) == ([32_767, 7_233], 40_000)


def test_numbers_run_on_from_0_without_a_gap() -> None:
    seqs = [int(seq) for batch in life_of(a_world(*FAULTS)) for seq in batch.seq]
    assert seqs == list(range(len(seqs)))


@pytest.mark.parametrize(("on", "use"), EVERYWHERE.items())
def test_a_fault_is_on_a_page_of_the_kind_that_was_asked_for(on: On, use: PageUse) -> None:
    world = a_world(a_fault(on))
    mfns = {int(mfn) for batch in life_of(world, seconds=2) for mfn in batch.mfn}
    assert {reply.use for reply in world.hypervisor.page_query(sorted(mfns)).pages} == {use}


def test_a_page_that_is_offlined_falls_silent() -> None:
    world = a_world(a_fault(On.FREE))
    mfn = int(next(life_of(world)).mfn[0])
    world.hypervisor.page_offline_pending([mfn])
    assert list(life_of(world, since=10)) == []


def test_a_page_that_is_only_pending_is_still_read_and_still_errs() -> None:
    world = a_world(a_fault(On.HVM))
    mfn = int(next(life_of(world)).mfn[0])
    world.hypervisor.page_offline_pending([mfn])
    assert len(list(life_of(world, since=10))) > 0


def test_a_world_is_done_once_its_faults_are_spent_or_offlined() -> None:
    world = a_world(a_fault(On.FREE), a_fault(On.DOM0, errors_max=3))
    first = next(life_of(world))
    assert not world.is_done
    free = [int(mfn) for mfn in first.mfn if world.hypervisor.table.use_of(Mfn(mfn)) == "free"]
    world.hypervisor.page_offline_pending(free)
    list(life_of(world, since=10))
    assert world.is_done


def test_a_fault_waits_for_a_guest_that_is_away() -> None:
    """A guest that is being saved has no page to break; the fault comes when it is back."""
    world = a_world(a_fault(On.PV))
    world.toolstack.save(2, "image")
    assert list(life_of(world)) == []
    world.toolstack.restore("image")
    assert len(list(life_of(world, since=10))) > 0


def test_a_fault_can_be_put_on_one_address() -> None:
    world = a_world()
    world.add_fault_at(Fault(0x2345_678, errors_per_second=20.0), now=0.0)
    assert {int(a) for batch in life_of(world) for a in batch.address} == {0x2345_640}


def test_guests_that_are_left_alone_are_well() -> None:
    world = a_world(*FAULTS)
    list(life_of(world))
    assert {guest.workload.corruptions for guest in world.guests} == {0}


def exchanged_page_of_the_pv_guest(world: World, path: ResumePath) -> None:
    domid = 2
    mfn = int(world.hypervisor.guests[world.guests[1].domain.domid].domain.p2m[0])
    world.hypervisor.page_offline_pending([mfn])
    world.toolstack.suspend(domid)
    world.toolstack.exchange(domid, [mfn])
    world.toolstack.resume(domid, path)
    assert world.hypervisor.page_query([mfn]).pages[0].status is PageStatus.OFFLINED


def test_the_slow_path_keeps_a_guest_well() -> None:
    world = a_world()
    exchanged_page_of_the_pv_guest(world, ResumePath.SLOW)
    list(life_of(world))
    assert world.guests[1].workload.corruptions == 0


def test_the_fast_path_is_noticed_by_the_guest() -> None:
    world = a_world()
    exchanged_page_of_the_pv_guest(world, ResumePath.FAST)
    list(life_of(world))
    assert world.guests[1].workload.corruptions > 0


def test_a_quiet_world_makes_no_errors_and_does_no_work() -> None:
    world = a_world(*FAULTS)
    world.quiesce()
    assert list(life_of(world)) == []
    assert {guest.workload.reads for guest in world.guests} == {0}


def test_times_are_those_of_the_hosts_own_clock() -> None:
    world = a_world(a_fault(On.FREE))
    world.step(0.0)
    batch = world.step(2.5)
    assert batch is not None
    assert set(batch.time_ns.tolist()) == {STARTED_NS + 2_500_000_000}


def test_what_a_dead_guest_left_is_scrubbed_as_time_goes_by() -> None:
    world = a_world()
    world.hypervisor.destroy(world.hypervisor.domains[DomId(1)])
    scrubber = world.hypervisor.table.scrubber
    assert scrubber.busy_nodes() == [0]
    world.work(0.1)
    assert scrubber.busy_nodes() == []


def rebooted(world: World, at: int, unwritten: frozenset[str] = frozenset()) -> World:
    world.stand_still()
    world.reboot(NEXT_BOOT, float(at), unwritten)
    return world


@pytest.mark.parametrize(
    ("personality", "defects"), [(Personality.THREAD, MENDED), (Personality.XEN_4_17, XEN_4_17)]
)
def test_a_host_has_the_defects_of_its_personality_and_a_reboot_mends_none(
    personality: Personality, defects: Defects
) -> None:
    world = a_world(personality=personality)
    before = world.hypervisor.defects
    assert (before, rebooted(world, at=10).hypervisor.defects) == (defects, defects)


def test_a_single_defect_can_be_switched_whatever_the_personality() -> None:
    world = a_world(personality=Personality.XEN_4_17, defects={"d7": False})
    assert world.hypervisor.defects == replace(XEN_4_17, pod_lock_hangs=False)


def test_a_rebooted_host_has_forgotten_which_pages_were_offlined() -> None:
    world = a_world(a_fault(On.FREE))
    mfn = int(next(life_of(world)).mfn[0])
    world.hypervisor.page_offline_pending([mfn])
    rebooted(world, at=10)
    assert world.hypervisor.offlined() == []
    assert world.hypervisor.check() == []


def test_faulty_memory_is_faulty_after_a_reboot_too() -> None:
    """At the same address: it had fallen silent because its page was offlined."""
    world = a_world(a_fault(On.FREE))
    before = next(life_of(world))
    world.hypervisor.page_offline_pending([int(before.mfn[0])])
    rebooted(world, at=10)
    assert not world.is_done
    after = next(life_of(world, since=10))
    assert set(after.address.tolist()) == set(before.address.tolist())


def another_dimm_under(world: World, batch: Batch) -> str:
    """Have the DIMM replaced that this batch tells of; its slot."""
    slot = world.firmware.geometry.labels[int(batch.dimm[0])]
    world.replace_dimm(slot)
    return slot


def test_what_is_faulty_goes_with_its_dimm() -> None:
    world = a_world(a_fault(On.DOM0))
    another_dimm_under(world, next(life_of(world)))
    rebooted(world, at=10)
    assert (world.is_done, list(life_of(world, since=10))) == (True, [])


def test_faults_on_the_other_dimms_stay() -> None:
    world = a_world(a_fault(On.DOM0))
    faulty = int(next(life_of(world)).dimm[0])
    world.replace_dimm(world.firmware.geometry.labels[faulty - 1])
    rebooted(world, at=10)
    assert next(life_of(world, since=10)).dimm[0] == faulty


def test_a_replaced_dimm_has_another_serial_number_from_the_next_boot_on() -> None:
    world = a_world(a_fault(On.DOM0))
    before = world.firmware.modules
    slot = another_dimm_under(world, next(life_of(world)))
    assert world.firmware.modules == before
    rebooted(world, at=10)
    after = world.firmware.modules
    assert [new.label for old, new in zip(before, after, strict=True) if new != old] == [slot]
    assert len({module.serial for module in (*before, *after)}) == len(before) + 1


def test_dimms_have_the_serial_numbers_of_the_seed() -> None:
    one, other = a_world(seed=1).firmware.modules, a_world(seed=2).firmware.modules
    assert a_world(seed=1).firmware.modules == one
    assert not {module.serial for module in one} & {module.serial for module in other}


def test_what_a_fault_has_spent_stays_spent() -> None:
    world = a_world(a_fault(On.DOM0, errors_max=5))
    list(life_of(world))
    rebooted(world, at=10)
    assert (world.is_done, list(life_of(world, since=10))) == (True, [])


def test_no_error_shows_while_the_host_is_down() -> None:
    world = a_world(a_fault(On.DOM0))
    list(life_of(world, seconds=1))
    world.stand_still()
    world.reboot(NEXT_BOOT, 1000.0)
    assert sum(int(batch.errors.sum()) for batch in life_of(world, since=1000, seconds=1)) < 100


def test_ereports_are_numbered_anew_under_the_new_boot() -> None:
    world = a_world(a_fault(On.DOM0))
    list(life_of(world))
    after = next(life_of(rebooted(world, at=10), since=10))
    assert (after.boot_id, int(after.seq[0])) == (NEXT_BOOT, 0)


def test_guests_boot_afresh_and_their_content_is_gone() -> None:
    world = a_world()
    list(life_of(world))
    mfn = int(world.guests[0].domain.p2m[0])
    old_word = world.hypervisor.memory.read(world.guests[0].domain.p2m)[0]
    rebooted(world, at=10)
    assert [guest.domain.domid for guest in world.guests] == [1, 2, 3, 4]
    assert [guest.workload.reads for guest in world.guests] == [0, 0, 0, 0]
    assert [guest.verify() for guest in world.guests] == [0, 0, 0, 0]
    assert world.hypervisor.memory.read(world.guests[0].domain.p2m)[0] != old_word
    assert int(world.guests[0].domain.p2m[0]) == mfn


def test_a_guest_that_was_whole_on_disk_waits_there_after_a_reboot() -> None:
    world = a_world()
    list(life_of(world))
    world.toolstack.save(2, "image")
    rebooted(world, at=10)
    assert world.toolstack.domains().images == ("image",)
    assert [guest.domain.name for guest in world.guests] == ["a", "c", "d"]
    world.toolstack.restore("image")
    list(life_of(world, since=10))
    assert [guest.workload.corruptions for guest in world.guests] == [0, 0, 0, 0]


def test_the_device_of_a_guest_on_the_disk_is_still_of_the_host_after_a_reboot() -> None:
    world = a_world()
    world.toolstack.detach(3, "nic")
    world.toolstack.save(3, "image")
    rebooted(world, at=10)
    domid = world.toolstack.restore("image").domid
    assert domid is not None
    assert world.toolstack.attach(domid, "nic").outcome is ToolOutcome.DONE


def test_a_guest_whose_image_was_not_whole_boots_afresh() -> None:
    world = a_world()
    world.toolstack.save(2, "image")
    rebooted(world, at=10, unwritten=frozenset({"image"}))
    assert world.toolstack.domains().images == ()
    assert [guest.domain.name for guest in world.guests] == ["a", "b", "c", "d"]


def test_an_image_of_the_boot_before_is_of_no_domain_of_this_one() -> None:
    world = a_world()
    world.toolstack.save(1, "image")
    rebooted(world, at=10)
    assert world.toolstack.save(1, "image").outcome is ToolOutcome.REFUSED


def test_a_page_that_was_broken_before_is_known_to_be_and_goes_on_to_err() -> None:
    world = a_world(a_fault(On.BROKEN))
    (mfn,) = world.hypervisor.table.broken
    (batch, *_) = life_of(world)
    assert set(batch.mfn.tolist()) == {mfn}
    assert set(batch.kind.tolist()) == {Kind.CE}
    assert sum(guest.workload.harm for guest in world.guests) == 0


def struck(on: On, severity: Uncorrected = Uncorrected.SRAO) -> tuple[World, Batch, Mfn]:
    """A world some seconds after an uncorrected error, what it reported, and the page."""
    world = a_world(FaultSettings(on=on, at_seconds=1.0, uncorrected=True, severity=severity))
    (batch,) = life_of(world)
    return world, batch, Mfn(int(batch.mfn[0]))


@pytest.mark.parametrize(
    ("on", "severity"), [(On.FREE, Uncorrected.SRAO), (On.PV, Uncorrected.SRAR)]
)
def test_an_uncorrected_error_is_reported_once_and_as_what_it_is(
    on: On, severity: Uncorrected
) -> None:
    world, batch, _ = struck(on, severity)
    assert (batch.kind.tolist(), batch.errors.tolist(), world.errors) == ([Kind.UE], [1], 1)
    assert world.is_done


@pytest.mark.parametrize(
    ("on", "state"), [(On.FREE, FrameState.OFFLINED), (On.HVM, FrameState.OFFLINING)]
)
def test_xen_itself_takes_a_broken_page_out(on: On, state: FrameState) -> None:
    world, _, mfn = struck(on)
    table = world.hypervisor.table
    assert (table.state_of(mfn), table.is_broken(mfn)) == (state, True)


def test_a_pv_guest_is_crashed_by_an_uncorrected_error_and_no_other_is() -> None:
    world, _, _ = struck(On.PV)
    crashed = [g.domain.name for g in world.guests if g.domain.has_crashed]
    assert crashed == ["b"]


def test_an_hvm_guest_is_told_and_touches_the_page_no_more() -> None:
    world, _, mfn = struck(On.HVM)
    owner, gfn = world.hypervisor.table.owner_of(mfn), world.hypervisor.table.gfn_of(mfn)
    assert owner is not None
    guest = world.hypervisor.guests[owner]
    assert guest.workload.in_use(np.array([gfn])).tolist() == []
    assert (guest.domain.is_running, world.checks.vmces.is_unhandled(owner)) == (True, False)


def test_it_is_well_wherever_it_goes_then() -> None:
    """Its broken page does not travel with it, and it does not look for it."""
    world, _, mfn = struck(On.HVM)
    world.toolstack.save(world.hypervisor.table.owner_of(mfn) or 0, "image")
    world.toolstack.restore("image")
    list(life_of(world, since=10))
    assert [guest.workload.harm + guest.verify() for guest in world.guests] == [0, 0, 0, 0]


def test_a_guest_that_stands_still_is_told_when_it_goes_on() -> None:
    world = a_world(FaultSettings(on=On.HVM, uncorrected=True))
    for guest in world.guests:
        world.toolstack.suspend(guest.domain.domid)
    list(life_of(world))
    told = [domid for domid, _ in world.checks.vmces.unhandled()]
    for domid in told:
        world.toolstack.resume(domid)
    list(life_of(world, since=10))
    assert (len(told), world.checks.vmces.unhandled()) == (1, ())


def test_an_error_in_xens_own_data_that_somebody_needs_is_the_end_of_the_host() -> None:
    world, _, _ = struck(On.XEN_HEAP, Uncorrected.SRAR)
    assert world.down is not None
    assert rebooted(world, at=10).down is None


PRONTO = replace(
    DDR4, arrivals=replace(DDR4.arrivals, burst_gap_ns=1e8, burst_errors=dict.fromkeys(Mode, 1e6))
)


def flawed(mode: Mode, mfn: int, uncorrected_at: int | None = None) -> World:
    """A world in whose memory something is wrong at a page, from its third second on."""
    world = a_world()
    site = site_of(mfn << 12, world.firmware.geometry)
    flaw = Flaw(mode, Persistence.PERMANENT, site, 3 * 10**9, 1000, uncorrected_at)
    world.add_flaw(flaw, PRONTO)
    return world


FREE_PAGE = 16_000


def test_a_flaw_shows_from_when_it_begins_and_where_it_is() -> None:
    world = flawed(Mode.CELL, FREE_PAGE)
    assert list(life_of(world, seconds=3)) == []
    batches = list(life_of(world, since=3))
    assert {int(mfn) for batch in batches for mfn in batch.mfn} == {FREE_PAGE}
    assert sum(int(batch.errors.sum()) for batch in batches) == world.errors > 10


def test_a_flaw_of_a_row_shows_on_both_of_its_pages_and_falls_silent_on_an_offlined_one() -> None:
    world = flawed(Mode.ROW, FREE_PAGE)
    pages = {int(mfn) for batch in life_of(world) for mfn in batch.mfn}
    assert len(pages) == 2
    world.hypervisor.page_offline_pending([FREE_PAGE])
    left = {int(mfn) for batch in life_of(world, since=10) for mfn in batch.mfn}
    assert left == pages - {FREE_PAGE}


def test_what_ereports_say_of_a_flaws_place_is_where_it_is() -> None:
    world = flawed(Mode.ROW, FREE_PAGE)
    site = site_of(FREE_PAGE << 12, world.firmware.geometry)
    batches = list(life_of(world))
    for name in ("dimm", "rank", "row"):
        assert {int(each) for b in batches for each in getattr(b, name)} == {getattr(site, name)}
    bank = site.bank_group * world.firmware.geometry.banks_per_group + site.bank
    assert {int(each) for batch in batches for each in batch.bank} == {bank}


def test_a_flaw_that_cannot_be_corrected_any_more_strikes() -> None:
    world = flawed(Mode.CELL, FREE_PAGE, uncorrected_at=2)
    kinds = [kind for batch in life_of(world, seconds=20) for kind in batch.kind.tolist()]
    assert kinds.count(Kind.UE) == 1
    assert world.hypervisor.table.is_broken(Mfn(FREE_PAGE))


def test_what_a_flaw_made_while_the_host_was_down_never_shows() -> None:
    world = flawed(Mode.CELL, FREE_PAGE)
    rebooted(world, at=1000)
    assert list(life_of(world, since=1000)) == []
    assert world.is_done


def test_a_flaw_goes_with_its_dimm() -> None:
    world = flawed(Mode.ROW, FREE_PAGE)
    another_dimm_under(world, next(life_of(world)))
    rebooted(world, at=10)
    assert (world.is_done, list(life_of(world, since=10))) == (True, [])


def test_a_flaw_beyond_the_hosts_memory_shows_nowhere() -> None:
    """What the DIMMs have above it, up to a whole number of rows, nobody reads."""
    config = EmulatorConfig.model_validate({"host": {"memory": "65 MiB"}})
    scenario = Scenario(title="An odd size.")
    layout = Layout((65 << 20) >> 12, 512, 1024)
    world = World(config, scenario, layout, BOOT, STARTED_NS)
    geometry = world.firmware.geometry
    assert geometry.capacity > 65 << 20
    site = site_of(geometry.capacity - 4096, geometry)
    world.add_flaw(Flaw(Mode.CELL, Persistence.PERMANENT, site, 0, 1000), PRONTO)
    assert list(life_of(world)) == []
