"""Each check: what it looks at, how that is, and what mends it. Pure.

    ok        as it should be
    warning   the agent works, and something will not be as one may think
    refused   do not enforce here before this is mended
    skipped   it does not apply to this host, or could not be looked at because of another line

Where the facts about Xen are from: `agent.adapters.xen.releases` and `words`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from agent.adapters.xen.cpus import safe_vcpus
from agent.adapters.xen.images import SPARE_BYTES
from agent.adapters.xen.listing import Guest
from agent.adapters.xen.releases import DRIVEN
from agent.contract.errors import PeerError
from agent.contract.toolstack import HERE, GuestKind
from agent.doctor.facts import STATE_FOLDER, Facts, Xen

GIB = 1 << 30


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    REFUSED = "refused"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Line:
    """`fix` is what mends it, where there is something to mend."""

    check: str
    level: Level
    what: str
    fix: str = ""


Judged = tuple[Level, str, str]
OfXen = Callable[[Facts, Xen], Judged]


def ok(what: str) -> Judged:
    return Level.OK, what, ""


def warning(what: str, fix: str) -> Judged:
    return Level.WARNING, what, fix


def refused(what: str, fix: str) -> Judged:
    return Level.REFUSED, what, fix


def skipped(what: str) -> Judged:
    return Level.SKIPPED, what, ""


def hypervisor(facts: Facts) -> Judged:
    if facts.kind == "emulated":
        if facts.hypervisor:
            return refused(facts.hypervisor, "start it: `pagewarden emulator`")
        return ok("the emulated one answers")
    if facts.xen is None:
        fix = 'boot this host with Xen, or set hypervisor.kind = "emulated"'
        return refused("this machine runs under no Xen", fix)
    if not facts.xen.is_dom0:
        fix = "run it in dom0, as root, after `mount -t xenfs xenfs /proc/xen`"
        return refused(f"Xen {facts.xen.release}, and this domain does not control it", fix)
    return ok(f"Xen {facts.xen.release}, seen from its dom0")


def release(_: Facts, xen: Xen) -> Judged:
    if xen.release.is_driven:
        return ok(f"what Xen {xen.release.name} answers about pages was recorded")
    known = ", ".join(f"{major}.{minor}" for major, minor in sorted(DRIVEN))
    return refused(f"nobody recorded what Xen {xen.release} answers", f"known are: {known}")


def rights(facts: Facts, xen: Xen) -> Judged:
    if not facts.is_root:
        return refused("this is not root", "run it as root: Xen's interface is root's alone")
    if xen.library:
        return refused(xen.library, "install the tools of the release that runs")
    return ok("root, with Xen's own libraries at hand")


def cpu_0(_: Facts, xen: Xen) -> Judged:
    if not xen.release.hangs_on_cpu_0:
        return ok(f"Xen {xen.release} does not hang there")
    if xen.vcpus is None:
        return skipped("xl does not answer")
    try:
        safe = safe_vcpus(xen.vcpus)
    except PeerError as error:
        what, fix = str(error).split(": ", 1)
        return refused(what, fix)
    return ok(f"vCPU {', '.join(map(str, sorted(safe)))} of dom0 never runs on physical CPU 0")


def corrected_errors(facts: Facts, xen: Xen) -> Judged:
    if not xen.release.polls_no_bank:
        return ok(f"Xen {xen.release} polls the machine's banks")
    silent = "none arrives" if "AMD" in facts.vendor else "only those that raise a CMCI arrive"
    return warning(
        f"Xen {xen.release} polls no bank for corrected errors: here {silent}",
        "take them from the firmware (SEL, GHES), or boot a Xen that has `x86/mcheck: fix "
        "mca_allbanks updating`, of September 2025",
    )


def put_back(_: Facts, xen: Xen) -> Judged:
    if not xen.release.hands_out_twice:
        return ok("a page that was taken can be put back")
    return warning(
        f"Xen {xen.release} may hand a page out twice that was taken and put back",
        "nothing to do: `pagewarden online` cancels what is pending, and leaves out what has left",
    )


def daemons(facts: Facts, _: Xen) -> Judged:
    """Under Xen, an error's address is the machine's; what these give it to takes dom0's own."""
    bad = [daemon for daemon in facts.daemons if not daemon.only_counts]
    if bad:
        named = ", ".join(f"{daemon.name} ({daemon.action})" for daemon in bad)
        return refused(
            f"in dom0 runs {named}: it takes pages by dom0's numbers, innocent ones",
            "have them only count: `memory-ce-action = account` in mcelog.conf, "
            "PAGE_CE_ACTION=account for rasdaemon; or stop them",
        )
    return ok("nobody else in dom0 acts on the machine's addresses")


def migration(facts: Facts, xen: Xen) -> Judged:
    if facts.migrate_to != HERE:
        return skipped('retirement.migrate_to is not "here"')
    if xen.largest is None or xen.free_pages is None:
        return skipped("there is no guest, or xl does not answer")
    name, pages = xen.largest.info.name, xen.largest.info.pages
    if pages > xen.free_pages:
        what = f"{_gib(xen.free_pages << 12)} free, and {name} has {_gib(pages << 12)}"
        return warning(what, "leave room for a second copy, or it is saved and restored")
    needs = ", if this Xen has log-dirty mode (Debian's has not)" if is_pv(xen.largest) else ""
    return ok(f"there is room for a second {name}, the largest guest{needs}")


def is_pv(guest: Guest) -> bool:
    """True for a guest that cannot be migrated by every build of Xen."""
    return guest.info.kind is GuestKind.PV


def disk(facts: Facts, xen: Xen) -> Judged:
    if facts.disk is None:
        return refused(f"{facts.images} cannot be looked at", "set hypervisor.images to a folder")
    if facts.disk.is_memory:
        return refused(f"{facts.disk.folder} is in memory", "set hypervisor.images to a disk")
    free = _gib(facts.disk.free_bytes)
    if xen.largest is None:
        return ok(f"{facts.disk.folder} has {free} free, and there is no guest")
    guest = xen.largest
    if facts.disk.free_bytes < guest.bytes + SPARE_BYTES:
        what = f"{facts.disk.folder} has {free} free, and {guest.info.name} has {_gib(guest.bytes)}"
        return warning(what, "make room, or set hypervisor.images: such a guest is not saved")
    return ok(f"{facts.disk.folder} has {free} free, enough for {guest.info.name}, the largest")


def broker(facts: Facts) -> Judged:
    if facts.broker:
        return refused(facts.broker, "start it, or correct broker.url")
    return ok(f"{facts.broker_url} accepts connections")


def clock(facts: Facts) -> Judged:
    if facts.is_clock_set is None:
        return skipped("the kernel does not say whether its clock is kept")
    if not facts.is_clock_set:
        return warning(
            "nothing keeps this host's clock: errors are counted within a time",
            "run chrony or systemd-timesyncd",
        )
    return ok("it is kept by a time service")


def state(_: Facts, xen: Xen) -> Judged:
    """Without it `xl save` fails at its very end: the domain has no name, and all its memory."""
    if xen.keeps_state:
        return ok(f"xl has its {STATE_FOLDER}")
    fix = f"mkdir {STATE_FOLDER}, and have tmpfiles.d make it at each boot"
    return refused(f"there is no {STATE_FOLDER}: a saved guest would keep its memory", fix)


OF_XEN: dict[str, OfXen] = {
    "release": release,
    "rights": rights,
    "cpu 0": cpu_0,
    "corrected errors": corrected_errors,
    "putting back": put_back,
    "other daemons": daemons,
    "local migration": migration,
    "disk for a save": disk,
    "folder of xl": state,
}
OF_ALL: dict[str, Callable[[Facts], Judged]] = {"broker": broker, "clock": clock}


def examined(facts: Facts) -> tuple[Line, ...]:
    """Every line, in the order in which things are to be mended."""
    lines = [Line("hypervisor", *hypervisor(facts))]
    lines += [Line(name, *_of_xen(facts, check)) for name, check in OF_XEN.items()]
    return (*lines, *(Line(name, *check(facts)) for name, check in OF_ALL.items()))


def is_fit(lines: tuple[Line, ...]) -> bool:
    return all(line.level is not Level.REFUSED for line in lines)


def _of_xen(facts: Facts, check: OfXen) -> Judged:
    if facts.kind != "xen":
        return skipped("of a real Xen alone")
    if facts.xen is None or not facts.xen.is_dom0:
        return skipped("no Xen to look at")
    return check(facts, facts.xen)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
