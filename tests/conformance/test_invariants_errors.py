"""Errors and telemetry, invariants 56 to 61: who is told, who pays, and what is forgotten."""

from array import array
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from agent.contract.frames import DOM0, Mfn
from agent.contract.toolstack import GuestKind
from emulator.machine.banks import Registers
from emulator.xen.defects import MENDED, Down, HostDown
from emulator.xen.frametable import FrameState
from emulator.xen.layout import GuestSpec, Layout
from emulator.xen.machinecheck import Fate, Handled, MachineCheck, Severity, Vendor
from emulator.xen.mctelem import Fetched, Record, Telemetry, Urgency
from emulator.xen.pages import PageKind
from emulator.xen.words import DOMID_INVALID
from tests.support.banks import bank
from tests.support.xen import HVM_GUEST, ON_SMALL, PV_GUEST, SMALL, Xen

ROOT = Path(__file__).parent.parent.parent
URGENT, NON_URGENT = Urgency
CORRECTED, _, SRAO, SRAR, _ = Severity

FREE, HVM, PV = ON_SMALL[PageKind.FREE], ON_SMALL[PageKind.HVM], ON_SMALL[PageKind.PV]


def a_record(address: int = 0) -> Record:
    return Record(Registers(0, address, 0), DOMID_INVALID)


def filled(urgent: int, non_urgent: int) -> Telemetry:
    telemetry = Telemetry()
    for address in range(urgent):
        telemetry.store(URGENT, a_record(address))
    for address in range(non_urgent):
        telemetry.store(NON_URGENT, a_record(address))
    return telemetry


def fetched(telemetry: Telemetry, urgency: Urgency) -> Fetched:
    found = telemetry.fetch(urgency)
    assert found is not None
    return found


def checks_of(xen: Xen, vendor: Vendor = Vendor.INTEL) -> MachineCheck:
    return MachineCheck(xen.host, xen.op, vendor)


def after(checks: MachineCheck, severity: Severity, mfn: int) -> Fate | Down:
    done = checks.handle(bank(severity, mfn))
    return done.fate if isinstance(done, Handled) else done.kind


def test_invariant_56_a_record_is_fetched_again_until_it_is_acknowledged() -> None:
    telemetry = filled(0, 2)
    first = fetched(telemetry, NON_URGENT)
    assert fetched(telemetry, NON_URGENT) == first
    telemetry.acknowledge(NON_URGENT, first.fetch_id)
    assert fetched(telemetry, NON_URGENT).record == a_record(1)


def test_invariant_56_acknowledging_a_wrong_id_does_nothing() -> None:
    telemetry = filled(1, 1)
    first, other = fetched(telemetry, NON_URGENT), fetched(telemetry, URGENT)
    telemetry.acknowledge(NON_URGENT, other.fetch_id)
    assert fetched(telemetry, NON_URGENT) == first


def test_invariant_56_acknowledging_what_was_not_fetched_does_nothing() -> None:
    telemetry = filled(0, 1)
    telemetry.acknowledge(NON_URGENT, 1)
    assert fetched(telemetry, NON_URGENT).fetch_id == 1


def test_invariant_56_acknowledging_twice_takes_one() -> None:
    telemetry = filled(0, 2)
    first = fetched(telemetry, NON_URGENT)
    telemetry.acknowledge(NON_URGENT, first.fetch_id)
    telemetry.acknowledge(NON_URGENT, first.fetch_id)
    assert fetched(telemetry, NON_URGENT).record == a_record(1)


def test_invariant_56_urgent_records_do_not_wait_for_the_others() -> None:
    telemetry = filled(1, 20)
    assert fetched(telemetry, URGENT).record == a_record()


def test_invariant_56_the_31st_record_is_dropped_and_counted() -> None:
    telemetry = filled(10, 20)
    assert [telemetry.store(each, a_record()) for each in Urgency] == [False, False]
    assert telemetry.dropped == 2


def test_invariant_56_urgent_records_may_take_all_thirty() -> None:
    assert (filled(30, 0).dropped, filled(30, 1).dropped) == (0, 1)


def test_invariant_56_ten_are_kept_for_the_urgent_ones() -> None:
    telemetry = filled(0, 21)
    assert telemetry.dropped == 1
    assert telemetry.store(URGENT, a_record())


def test_invariant_57_a_guest_on_ept_is_told_and_lives(xen: Xen) -> None:
    checks = checks_of(xen)
    assert after(checks, SRAO, HVM) is Fate.VMCE
    assert checks.vmces.is_unhandled(HVM_GUEST)
    assert not xen.host.domains[HVM_GUEST].has_crashed


def test_invariant_57_a_second_error_before_the_first_is_handled_crashes_the_guest(
    xen: Xen,
) -> None:
    checks = checks_of(xen)
    after(checks, SRAO, HVM)
    assert after(checks, SRAO, HVM + 1) is Fate.GUEST_CRASHED
    assert xen.host.domains[HVM_GUEST].has_crashed


def test_invariant_57_a_pv_guest_is_always_crashed(xen: Xen) -> None:
    assert after(checks_of(xen), SRAO, PV) is Fate.GUEST_CRASHED
    assert xen.host.domains[PV_GUEST].has_crashed


def test_invariant_57_the_page_of_a_crashed_guest_is_offlined_when_it_is_destroyed(
    xen: Xen,
) -> None:
    after(checks_of(xen), SRAO, PV)
    xen.host.destroy(xen.host.domains[PV_GUEST])
    assert (xen.query(PV).words, xen.host.check()) == ((0x12,), [])


def test_invariant_57_a_free_page_is_offlined_and_nobody_affected(xen: Xen) -> None:
    assert after(checks_of(xen), SRAO, FREE) is Fate.RECOVERED
    assert xen.host.table.state_of(FREE) is FrameState.OFFLINED
    assert not any(domain.has_crashed for domain in xen.host.domains.values())


@pytest.mark.parametrize(("severity", "fate"), [(SRAO, Fate.UNCHANGED), (SRAR, Down.CRASHED)])
def test_invariant_57_a_page_of_xens_is_logged_or_the_host_panics_by_class(
    xen: Xen, severity: Severity, fate: Fate | Down
) -> None:
    assert after(checks_of(xen), severity, ON_SMALL[PageKind.XEN_HEAP]) is fate


@pytest.mark.parametrize(
    ("mfn", "owner"), [(PV, PV_GUEST), (HVM, HVM_GUEST), (ON_SMALL[PageKind.DOM0], DOM0)]
)
def test_invariant_58_a_corrected_errors_record_has_the_machine_address_and_the_owner(
    xen: Xen, mfn: Mfn, owner: int
) -> None:
    checks = checks_of(xen)
    after(checks, CORRECTED, mfn)
    record = fetched(checks.telemetry, NON_URGENT).record
    assert (record.bank.address >> 12, record.owner) == (mfn, owner)


def test_invariant_58_the_machines_number_of_a_page_is_another_page_in_a_guests_numbers(
    xen: Xen,
) -> None:
    """Whoever hands the one to an interface that takes the other retires an innocent page."""
    mfns = xen.host.domains[PV_GUEST].p2m
    assert not (xen.host.table.gfns_of(mfns) == mfns).any()


@pytest.mark.parametrize("interface", ["soft_offline_page", "hard_offline_page"])
def test_invariant_58_nothing_here_writes_to_dom0s_own_interface(interface: str) -> None:
    """Linux takes its own frame numbers there, and a machine address means another page to it."""
    sources = [*(ROOT / "agent").rglob("*.py"), *(ROOT / "emulator").rglob("*.py")]
    code = "".join(path.read_text(encoding="utf-8") for path in sources)
    assert f"/memory/{interface}" not in code


@pytest.mark.parametrize("severity", [SRAO, SRAR])
@pytest.mark.parametrize("mfn", [FREE, HVM, PV])
def test_invariant_59_on_amds_processors_nothing_is_offlined_automatically(
    xen: Xen, severity: Severity, mfn: Mfn
) -> None:
    assert after(checks_of(xen, Vendor.AMD), severity, mfn) is Fate.LOGGED
    assert (xen.host.table.marked(), xen.host.table.is_broken(mfn)) == ({}, False)


@pytest.mark.parametrize("mfn", [FREE, PV])
def test_invariant_60_a_host_that_starts_again_has_forgotten_everything(xen: Xen, mfn: Mfn) -> None:
    xen.break_page(mfn)
    again = Xen()
    assert (again.query(mfn).words, again.host.table.is_broken(mfn)) == ((0,), False)


def test_invariant_60_offlining_the_same_pages_after_a_reboot_is_the_same_twice() -> None:
    again = Xen(Layout(SMALL.frames, 0, 0))
    assert [again.offline(FREE).words, again.offline(FREE).words] == [(2,), (2,)]
    assert again.host.host.offlined == 1


STORM = 1000


class CountedLists(defaultdict[int, "array[int]"]):
    """Free lists that count how often somebody looks into one."""

    looks = 0

    def __getitem__(self, key: int) -> "array[int]":
        self.looks += 1
        return super().__getitem__(key)


def looks_of_a_storm(xen: Xen, first: int) -> int:
    """How often a free list is looked into while 1,000 pages are offlined, one a call."""
    free_lists = xen.host.table.lists
    free_lists._lists = lists = CountedLists(free_lists._lists.default_factory, free_lists._lists)
    for mfn in range(first, first + STORM):
        xen.offline(mfn)
    return lists.looks


def fragmented(every: int) -> Xen:
    """A host whose free memory is in pieces: every so many frames one is gone. Its guest is low."""
    guest = GuestSpec("db", GuestKind.PV, STORM, tuple(map(Mfn, range(STORM))))
    xen = Xen(Layout(1 << 15, 0, 0, (guest,)), MENDED)
    xen.host.table.offline_all(np.arange(1 << 14, 1 << 15, every))
    return xen


def test_invariant_61_a_storm_on_one_guests_pages_looks_into_no_free_list() -> None:
    assert looks_of_a_storm(fragmented(2), first=0) == 0


def test_invariant_61_a_storm_on_free_pages_works_no_more_where_free_lists_are_long() -> None:
    """Xen walks the list of each order to find the buddy of a page."""
    long, short = fragmented(4), fragmented(1 << 14)
    assert len(long.host.table.lists.buddies().heads) > 100 * len(
        short.host.table.lists.buddies().heads
    )
    assert looks_of_a_storm(long, first=1 << 13) == looks_of_a_storm(short, first=1 << 13)


def test_invariant_61_the_guest_lives_through_the_storm() -> None:
    xen = fragmented(2)
    looks_of_a_storm(xen, first=0)
    (guest,) = xen.host.guests.values()
    assert (guest.verify(), xen.host.host.offlining) == (0, STORM)


def test_a_host_that_is_down_handles_no_machine_check(xen: Xen) -> None:
    xen.op.down = HostDown(Down.HUNG, "it spins")
    assert after(checks_of(xen), CORRECTED, FREE) is Down.HUNG
