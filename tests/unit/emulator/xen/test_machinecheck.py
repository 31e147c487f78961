"""Machine checks: how severe an error is, whose the page is, and who pays for it."""

from dataclasses import replace

import pytest

from agent.contract.frames import DOM0, DomId, Gfn
from emulator.machine.banks import ADDRV, Registers
from emulator.xen.defects import MENDED, XEN_4_17, Defects, Down, HostDown
from emulator.xen.machinecheck import (
    ACTION,
    FATE,
    Fate,
    Handled,
    MachineCheck,
    Said,
    Severity,
    Vendor,
    severity_of,
)
from emulator.xen.mctelem import Urgency
from emulator.xen.pages import PageKind
from emulator.xen.words import DOMID_COW, DOMID_INVALID, DOMID_IO, DOMID_XEN
from tests.support.banks import STATUS, bank
from tests.support.xen import HVM_GUEST, ON_SMALL, PV_GUEST, SMALL, Xen

CORRECTED, UCNA, SRAO, SRAR, FATAL = Severity
FREE, HVM, PV = ON_SMALL[PageKind.FREE], ON_SMALL[PageKind.HVM], ON_SMALL[PageKind.PV]


class Host:
    """A host with a page of every kind, and its handler."""

    def __init__(self, vendor: Vendor = Vendor.INTEL, defects: Defects = MENDED) -> None:
        self.xen = Xen(SMALL, defects)
        self.checks = MachineCheck(self.xen.host, self.xen.op, vendor)

    def fate(self, severity: Severity, kind: PageKind) -> Fate | Down:
        done = self.checks.handle(bank(severity, ON_SMALL[kind]))
        return done.kind if isinstance(done, HostDown) else done.fate


def test_every_severity_has_an_action_on_every_vendors_processors() -> None:
    assert [set(ACTION[vendor]) for vendor in Vendor] == [set(Severity)] * len(Vendor)


def test_whatever_is_said_of_a_page_has_a_fate() -> None:
    assert set(FATE) == set(Said)


@pytest.mark.parametrize(("severity", "status"), STATUS.items())
def test_the_severity_is_read_from_the_status(severity: Severity, status: int) -> None:
    assert severity_of(Registers(status, 0, 0)) is severity


def test_an_error_of_the_last_level_cache_is_optional_to_act_on_too() -> None:
    assert severity_of(Registers(0xBD000000004000CF, 0, 0)) is SRAO


FATES: tuple[tuple[PageKind, Fate | Down, Fate | Down], ...] = (
    (PageKind.FREE, Fate.RECOVERED, Fate.RECOVERED),
    (PageKind.XEN_HEAP, Fate.UNCHANGED, Down.CRASHED),
    (PageKind.DOM0, Fate.VMCE, Fate.VMCE),
    (PageKind.HVM, Fate.VMCE, Fate.VMCE),
    (PageKind.PV, Fate.GUEST_CRASHED, Fate.GUEST_CRASHED),
    (PageKind.PAGE_TABLE, Fate.GUEST_CRASHED, Fate.GUEST_CRASHED),
    (PageKind.SHARED_INFO, Fate.GUEST_CRASHED, Fate.GUEST_CRASHED),
    (PageKind.POD_CACHE, Fate.RECOVERED, Fate.RECOVERED),
    (PageKind.PAGING_POOL, Fate.UNCHANGED, Down.CRASHED),
    (PageKind.HVM_STATE, Fate.UNCHANGED, Down.CRASHED),
    (PageKind.XEN_IMAGE, Fate.UNCHANGED, Down.CRASHED),
    (PageKind.M2P, Fate.UNCHANGED, Down.CRASHED),
    (PageKind.LOW, Fate.UNCHANGED, Down.CRASHED),
    (PageKind.ANONYMOUS, Fate.UNCHANGED, Down.CRASHED),
    (PageKind.COW, Fate.UNCHANGED, Down.CRASHED),
    (PageKind.NOT_RAM, Fate.UNCHANGED, Down.CRASHED),
    (PageKind.ABSENT, Fate.UNCHANGED, Down.CRASHED),
)


def test_every_kind_of_page_is_among_them() -> None:
    assert {kind for kind, _, _ in FATES} == set(PageKind)


@pytest.mark.parametrize(("kind", "srao", "srar"), FATES)
def test_each_kind_of_page_has_its_fate(
    kind: PageKind, srao: Fate | Down, srar: Fate | Down
) -> None:
    assert (Host().fate(SRAO, kind), Host().fate(SRAR, kind)) == (srao, srar)


@pytest.mark.parametrize("severity", [CORRECTED, UCNA])
def test_what_needs_no_action_is_only_logged(severity: Severity) -> None:
    host = Host()
    assert (host.fate(severity, PageKind.PV), host.xen.host.table.marked()) == (Fate.LOGGED, {})


@pytest.mark.parametrize("vendor", Vendor)
def test_a_fatal_error_panics_and_the_host_answers_nothing_any_more(vendor: Vendor) -> None:
    host = Host(vendor)
    assert host.fate(FATAL, PageKind.FREE) is Down.CRASHED
    assert isinstance(host.xen.call(3, FREE), HostDown)
    assert host.fate(CORRECTED, PageKind.FREE) is Down.CRASHED


@pytest.mark.parametrize(("severity", "fate"), [(SRAO, Fate.UNCHANGED), (SRAR, Down.CRASHED)])
def test_an_error_without_an_address_blames_no_page(severity: Severity, fate: Fate | Down) -> None:
    """Not even page 0, which the address would name."""
    host = Host()
    done = host.checks.handle(Registers(STATUS[severity] & ~ADDRV, 0, 0))
    found = done.kind if isinstance(done, HostDown) else done.fate
    assert (found, host.xen.host.table.marked()) == (fate, {})


@pytest.mark.parametrize(("severity", "fate"), [(SRAO, Fate.UNCHANGED), (SRAR, Down.CRASHED)])
def test_an_error_that_is_not_of_memory_offlines_no_page(
    severity: Severity, fate: Fate | Down
) -> None:
    host = Host()
    done = host.checks.handle(replace(bank(severity, FREE), status=STATUS[severity] ^ 0x1000))
    found = done.kind if isinstance(done, HostDown) else done.fate
    assert (found, host.xen.host.table.marked()) == (fate, {})


@pytest.mark.parametrize("defects", [XEN_4_17, MENDED])
def test_nobody_pays_for_a_page_whose_domain_is_dying(defects: Defects) -> None:
    """Somebody else still maps it, so that it is not freed yet."""
    host = Host(defects=defects)
    domain = host.xen.host.domains[PV_GUEST]
    host.xen.host.map_page(DOM0, domain, Gfn(5), stays=True)
    host.xen.host.destroy(domain)
    assert host.fate(SRAO, PageKind.PV) is Fate.RECOVERED


def test_a_guest_is_told_its_own_number_of_the_page() -> None:
    host = Host()
    host.fate(SRAO, PageKind.HVM)
    assert host.checks.vmces.address_told(HVM_GUEST) == host.xen.host.table.gfn_of(HVM) == 5


def test_a_guest_that_saw_to_the_first_error_survives_a_second() -> None:
    host = Host()
    host.fate(SRAO, PageKind.HVM)
    host.checks.vmces.seen_to(HVM_GUEST)
    done = host.checks.handle(bank(SRAO, HVM + 1))
    assert isinstance(done, Handled)
    assert done.fate is Fate.VMCE


def test_touching_a_broken_page_is_the_end_of_the_guest() -> None:
    host = Host()
    host.fate(SRAO, PageKind.HVM)
    host.checks.touch(HVM_GUEST, Gfn(5))
    assert host.xen.host.domains[HVM_GUEST].has_crashed


def test_touching_another_page_is_not() -> None:
    host = Host()
    host.fate(SRAO, PageKind.HVM)
    host.checks.touch(HVM_GUEST, Gfn(6))
    assert not host.xen.host.domains[HVM_GUEST].has_crashed


def test_a_second_error_before_dom0_saw_to_the_first_takes_the_host_down() -> None:
    host = Host()
    host.fate(SRAO, PageKind.DOM0)
    assert isinstance(host.checks.handle(bank(SRAO, ON_SMALL[PageKind.DOM0] + 1)), HostDown)


@pytest.mark.parametrize(("defects", "has_crashed"), [(XEN_4_17, True), (MENDED, False)])
def test_a_second_error_on_the_same_page_finds_it_broken(
    defects: Defects, has_crashed: bool
) -> None:
    """D8: where it is not mended, the guest pays for that, and dom0 takes the host with it."""
    host = Host(defects=defects)
    host.fate(SRAO, PageKind.HVM)
    host.checks.vmces.seen_to(HVM_GUEST)
    assert host.fate(SRAO, PageKind.HVM) is Fate.CONTINUED
    assert host.xen.host.domains[HVM_GUEST].has_crashed == has_crashed


def test_a_second_error_on_the_same_page_of_dom0_takes_the_host_down() -> None:
    host = Host(defects=XEN_4_17)
    host.fate(SRAO, PageKind.DOM0)
    assert host.fate(SRAO, PageKind.DOM0) is Down.CRASHED


def test_an_error_handled_on_cpu_0_trips_over_the_lock_that_is_not_initialised() -> None:
    """D7: the page is a PV guest's, and the next request for one of its pages hangs the host."""
    host = Host(defects=XEN_4_17)
    host.checks.handle(bank(SRAO, PV), cpu=0)
    done = host.checks.handle(bank(SRAO, PV + 1), cpu=1)
    assert isinstance(done, HostDown)
    assert done.kind is Down.HUNG


@pytest.mark.parametrize(("defects", "fate"), [(XEN_4_17, Down.CRASHED), (MENDED, Fate.UNCHANGED)])
def test_an_error_in_a_page_that_guests_share_is_a_bug_until_it_is_mended(
    defects: Defects, fate: Fate | Down
) -> None:
    assert Host(defects=defects).fate(SRAO, PageKind.COW) is fate


@pytest.mark.parametrize(
    ("severity", "urgency"), [(CORRECTED, Urgency.NON_URGENT), (SRAO, Urgency.URGENT)]
)
def test_errors_are_kept_by_their_urgency(severity: Severity, urgency: Urgency) -> None:
    host = Host()
    host.fate(severity, PageKind.FREE)
    found = [each for each in Urgency if host.checks.telemetry.fetch(each) is not None]
    assert found == [urgency]


@pytest.mark.parametrize(
    ("kind", "owner"),
    [
        (PageKind.FREE, DOMID_INVALID),
        (PageKind.DOM0, DOM0),
        (PageKind.PV, PV_GUEST),
        (PageKind.HVM, HVM_GUEST),
        (PageKind.SHARED_INFO, PV_GUEST),
        (PageKind.XEN_HEAP, DOMID_XEN),
        (PageKind.LOW, DOMID_IO),
        (PageKind.COW, DOMID_COW),
        (PageKind.NOT_RAM, DOMID_INVALID),
        (PageKind.ABSENT, DOMID_INVALID),
    ],
)
def test_a_record_names_the_owner_at_the_moment_of_the_error(kind: PageKind, owner: DomId) -> None:
    host = Host()
    host.fate(CORRECTED, kind)
    fetched = host.checks.telemetry.fetch(Urgency.NON_URGENT)
    assert fetched is not None
    assert fetched.record.owner == owner


def test_a_record_says_what_was_done_to_the_page() -> None:
    host = Host()
    host.fate(SRAO, PageKind.HVM)
    fetched = host.checks.telemetry.fetch(Urgency.URGENT)
    assert fetched is not None
    assert fetched.record.recovery is not None
    assert (fetched.record.recovery.mfn, fetched.record.recovery.word) == (HVM, 0x23004)
