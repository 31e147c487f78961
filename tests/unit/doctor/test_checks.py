"""Each check is a function of facts: what it says of them, and what it says mends them."""

from dataclasses import replace
from uuid import UUID

import pytest

from agent.adapters.xen.listing import Guest
from agent.adapters.xen.releases import Release
from agent.contract.toolstack import DomainInfo, DomainState, GuestKind
from agent.doctor.checks import Level, Line, examined, is_fit
from agent.doctor.facts import Daemon, Disk, Facts, Xen
from tests.support.xl import PINNED

OK, WARNING, REFUSED, SKIPPED = Level
DEBIAN = Release(4, 17, 7)
DB = Guest(
    DomainInfo(
        domid=1, name="db", kind=GuestKind.PV, state=DomainState.RUNNING, pages=4 << 30 >> 12
    ),
    UUID(int=1),
    is_paused=False,
)
XEN = Xen(DEBIAN, is_dom0=True, vcpus=PINNED, guests=(DB,), free_pages=8 << 30 >> 12)
GOOD = Facts(
    kind="xen",
    is_root=True,
    xen=XEN,
    is_clock_set=True,
    vendor="GenuineIntel",
    disk=Disk("/var/lib/pagewarden/images", 100 << 30),
    migrate_to="here",
)


def line(check: str, **changes: object) -> Line:
    """What is said of `check` on a good host that is changed so."""
    facts = replace(GOOD, **changes)  # type: ignore[arg-type] # names of fields
    return next(each for each in examined(facts) if each.check == check)


def xen(**changes: object) -> Xen:
    return replace(XEN, **changes)  # type: ignore[arg-type] # names of fields


def test_debians_xen_is_driven_and_has_its_defects_told() -> None:
    told = {each.check: each.level for each in examined(GOOD)}
    assert told == {
        "hypervisor": OK,
        "release": OK,
        "rights": OK,
        "cpu 0": OK,
        "corrected errors": WARNING,
        "putting back": WARNING,
        "other daemons": OK,
        "local migration": OK,
        "disk for a save": OK,
        "folder of xl": OK,
        "broker": OK,
        "clock": OK,
    }
    assert is_fit(examined(GOOD))


@pytest.mark.parametrize(
    ("check", "changes", "level", "fix"),
    [
        ("hypervisor", {"xen": None}, REFUSED, "boot this host with Xen"),
        ("hypervisor", {"xen": xen(is_dom0=False)}, REFUSED, "mount -t xenfs"),
        ("hypervisor", {"kind": "emulated", "hypervisor": "x"}, REFUSED, "pagewarden emulator"),
        ("hypervisor", {"kind": "emulated"}, OK, ""),
        ("release", {"xen": xen(release=Release(4, 18))}, REFUSED, "known are: 4.17"),
        ("rights", {"is_root": False}, REFUSED, "as root"),
        ("rights", {"xen": xen(library="libxenctrl.so.4.17 is not here")}, REFUSED, "the tools"),
        ("cpu 0", {"xen": xen(vcpus=PINNED.replace("1 / all", "all / all"))}, REFUSED, "vcpu-pin"),
        ("cpu 0", {"xen": xen(vcpus=None)}, SKIPPED, ""),
        ("cpu 0", {"xen": xen(release=Release(4, 16), vcpus=None)}, OK, ""),
        ("corrected errors", {"xen": xen(release=Release(4, 21))}, OK, ""),
        ("putting back", {"xen": xen(release=Release(4, 22))}, OK, ""),
        ("other daemons", {"daemons": (Daemon("mcelog", "soft"),)}, REFUSED, "account"),
        ("other daemons", {"daemons": (Daemon("mcelog", "account"),)}, OK, ""),
        ("local migration", {"migrate_to": ""}, SKIPPED, ""),
        ("local migration", {"xen": xen(free_pages=1)}, WARNING, "room"),
        ("local migration", {"xen": xen(guests=())}, SKIPPED, ""),
        ("disk for a save", {"disk": None}, REFUSED, "hypervisor.images"),
        ("disk for a save", {"disk": Disk("/tmp/x", 1 << 40, is_memory=True)}, REFUSED, "a disk"),
        ("disk for a save", {"disk": Disk("/x", 4 << 30)}, WARNING, "not saved"),
        ("disk for a save", {"xen": xen(guests=None)}, OK, ""),
        ("broker", {"broker": "mqtt://x does not answer"}, REFUSED, "broker.url"),
        ("clock", {"is_clock_set": False}, WARNING, "chrony"),
        ("clock", {"is_clock_set": None}, SKIPPED, ""),
    ],
)
def test_a_line_says_how_it_is_and_what_mends_it(
    check: str, changes: dict[str, object], level: Level, fix: str
) -> None:
    told = line(check, **changes)
    assert told.level is level
    assert fix in told.fix
    assert bool(told.fix) is (level in {WARNING, REFUSED})


def test_on_amd_no_corrected_error_arrives_at_all() -> None:
    assert "none arrives" in line("corrected errors", vendor="AuthenticAMD").what
    assert "only those that raise a CMCI" in line("corrected errors").what


def test_a_pv_guest_migrates_only_where_xen_was_built_for_it() -> None:
    hvm = replace(DB, info=DB.info.model_copy(update={"kind": GuestKind.HVM}))
    assert "log-dirty" in line("local migration").what
    assert "log-dirty" not in line("local migration", xen=xen(guests=(hvm,))).what


def test_a_host_with_anything_refused_is_not_fit() -> None:
    assert not is_fit(examined(replace(GOOD, is_root=False)))


@pytest.mark.parametrize("seen", [None, Xen(DEBIAN, is_dom0=False)])
def test_without_a_xen_to_look_at_its_lines_are_skipped(seen: Xen | None) -> None:
    lines = examined(replace(GOOD, xen=seen))
    levels = {each.level for each in lines if each.check not in {"hypervisor", "broker", "clock"}}
    assert levels == {SKIPPED}


@pytest.mark.parametrize(
    ("release", "twice", "silent", "hangs"),
    [
        (Release(4, 12, 4), True, False, False),
        (Release(4, 13), True, True, False),
        (Release(4, 16, 9), True, True, False),
        (Release(4, 17, 7), True, True, True),
        (Release(4, 20, 3), True, True, True),
        (Release(4, 20, 4), False, True, True),
        (Release(4, 21, 1), True, False, True),
        (Release(4, 21, 2), False, False, True),
        (Release(4, 22), False, False, True),
        (Release(5, 0), False, False, True),
    ],
)
def test_each_release_has_the_defects_that_it_has(
    release: Release, twice: bool, silent: bool, hangs: bool
) -> None:
    found = (release.hands_out_twice, release.polls_no_bank, release.hangs_on_cpu_0)
    assert found == (twice, silent, hangs)


def test_without_the_folder_of_xl_a_saved_guest_would_keep_its_memory() -> None:
    """Seen on 4.17.7: `xl save` ends with an error, and a domain without a name is left."""
    found = line("folder of xl", xen=xen(keeps_state=False))
    assert (found.level, "mkdir /var/run/xen" in found.fix) == (REFUSED, True)
