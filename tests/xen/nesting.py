"""The third chapter: a PVH guest, on a processor with nested paging.

The words of its pages, and the two rungs that a Xen has for it: local live migration, which needs
the log of written pages that a PV guest cannot have in Debian's build, and save and restore. The
errors come by the broker. The guest's kernel is ours (`inside/living.py`); what is judged of it is
its heartbeat, and the content of its pages, the bad ones among them.
"""

from tests.xen import emulated
from tests.xen.comparing import compared
from tests.xen.conforming import HOST, answers_of
from tests.xen.dom0 import AGENT, AGENT_LOG, INSIDE, PVH_BEATS, Dom0
from tests.xen.machine import Machine
from tests.xen.report import Report
from tests.xen.retiring import GUESTS, START_SECONDS, judge_pages, last, silence
from tests.xen.table import PVH_CASES

BYSTANDERS = (0x700, 0x7FF, 0xA00)  # pages of the guest that nothing happens to
MIGRATED, SAVED = 0x900, 0x980  # and those that have errors, each for one rung
HERE = "env PAGEWARDEN_RETIREMENT__MIGRATE_TO=here"
STATES = {"migrate": "migrating", "save_restore": "saving"}  # of a case that takes that rung


def chapter(machine: Machine, report: Report) -> None:
    dom0 = Dom0(machine)
    report.title("a PVH guest: the page-offline call, case by case")
    domid = dom0.told("pvh", "PVH", "start")
    report.tell(f"domain {domid} is PVH")
    compare(dom0, report)
    dom0.start("beating", f"python3 -m tests.xen.inside.beating {PVH_BEATS}")
    dom0.wait(lambda: len(dom0.beats(PVH_BEATS)) > 50, START_SECONDS, "the guest's heartbeat")
    quiet = silence(dom0, 0.0, PVH_BEATS)
    report.tell(f"PVH, without any stop, the longest silence of its heartbeat: {quiet:.2f} s")
    dom0.told("pvh", "PVH", "fill", MIGRATED, SAVED, *BYSTANDERS)
    dom0.text("mkdir -p /var/lib/pagewarden /run/pagewarden")
    dom0.start("mosquitto", f"mosquitto -c {INSIDE}/mosquitto.conf")
    retired_by(dom0, report, "migrate", f"{HERE} {AGENT}", MIGRATED)
    dom0.kill("agent")
    retired_by(dom0, report, "save_restore", AGENT, SAVED)


def compare(dom0: Dom0, report: Report) -> None:
    given = answers_of(dom0.told("pvh", "PVH", "words"))
    for host, told in ((HOST, given), (emulated.HOST, emulated.asked_all(PVH_CASES))):
        for finding in compared(host, PVH_CASES, told):
            report.check(finding.agrees, f"{host}: {finding.line}")


def retired_by(dom0: Dom0, report: Report, rung: str, agent: str, page: int) -> None:
    report.title(f"two errors in a page of the PVH guest; rung {rung}")
    starts = len(dom0.lines("broker_connected", AGENT_LOG))
    dom0.start("agent", agent)
    dom0.wait(
        lambda: len(dom0.lines("broker_connected", AGENT_LOG)) > starts, START_SECONDS, "the agent"
    )
    (mfn,) = dom0.told("pvh", "PVH", "frames", page).values()
    begun = dom0.clock()
    dom0.told("erring", "ERRORS", mfn)
    judge_pages(dom0, report, {mfn: GUESTS.as_kind("the PVH guest's page")})
    taken = last(dom0.lines(f'"to": "{STATES[rung]}"', AGENT_LOG))
    report.check(bool(taken), f"it went by that rung: {taken}")
    beats = len(dom0.beats(PVH_BEATS))
    dom0.wait(lambda: len(dom0.beats(PVH_BEATS)) > beats + 20, 60.0, "the heartbeat to go on")
    changed = dom0.told("pvh", "PVH", "changed", MIGRATED, SAVED, *BYSTANDERS)
    report.check(not changed, f"its pages are as they were, changed: {changed or 'none'}")
    paused = silence(dom0, begun, PVH_BEATS)
    report.tell(f"PVH, rung {rung}: the heartbeat was silent for {paused:.2f} s")
