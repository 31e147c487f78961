"""The fourth chapter: the agent as a service of dom0's systemd, with the drop-in for Xen.

The unit and its drop-in are the shipped ones. What they shut, `xl` and its helpers find shut too:
so a page of a guest is retired by save and restore, the service is stopped, and the guest is judged
by its heartbeat and its memory, which checks itself. The errors come by the broker.
"""

from tests.xen.dom0 import AGENT_LOG, CONFIG, INSIDE, Dom0
from tests.xen.machine import Machine
from tests.xen.report import Report
from tests.xen.retiring import (
    GUESTS,
    START_SECONDS,
    judge_guest,
    judge_pages,
    living_guest,
    silence,
)

UNIT = "pagewarden.service"
UNITS = "/payload/config/systemd"
AT = "/etc/systemd/system"
WATCHERS = "pgrep -a -x xl"
NO_NETWORK = "systemd-networkd.service systemd-networkd-wait-online.service"  # but lo, which is up


def chapter(machine: Machine, report: Report) -> None:
    dom0 = Dom0(machine)
    report.title("the agent as a service, with the shipped unit and its drop-in for Xen")
    install(dom0)
    dom0.start("mosquitto", f"mosquitto -c {INSIDE}/mosquitto.conf")
    domid = living_guest(dom0)
    dom0.text(f"systemctl start {UNIT}", START_SECONDS)
    dom0.wait(lambda: bool(dom0.lines("broker_connected", AGENT_LOG)), START_SECONDS, "the broker")
    dom0.wait(lambda: shown(dom0, "StatusText") == "well", START_SECONDS, "the agent to be well")
    report.check(shown(dom0, "SubState") == "running", f"systemd says: {state_of(dom0)}")
    (mfn,) = dom0.told("picking", "PAGES", domid, 1)["guest"]
    retired(dom0, report, mfn)
    stopped(dom0, report)


def install(dom0: Dom0) -> None:
    for command in (
        f"mkdir -p {AT}/{UNIT}.d /etc/pagewarden /opt/pagewarden/.venv/bin",
        f"cp {UNITS}/{UNIT} {AT}/ && cp {UNITS}/pagewarden-xen.conf {AT}/{UNIT}.d/xen.conf",
        f"cp {INSIDE}/service/log.conf {AT}/{UNIT}.d/",
        f"cp {CONFIG} /etc/pagewarden/agent.toml",
        f"install -m 0755 {INSIDE}/service/pagewarden /opt/pagewarden/.venv/bin/pagewarden",
        f"systemctl mask {NO_NETWORK}",
        "systemctl daemon-reload",
    ):
        dom0.text(command)


def retired(dom0: Dom0, report: Report, mfn: int) -> None:
    report.title("two errors in a page of the guest; xl saves and restores it from the service")
    begun = dom0.clock()
    dom0.told("erring", "ERRORS", mfn)
    judge_pages(dom0, report, {mfn: GUESTS.as_kind("under systemd, the guest's page")})
    judge_guest(dom0, report, [mfn])
    report.tell(
        f"under systemd, save_restore: the heartbeat was silent for {silence(dom0, begun):.2f} s"
    )


def stopped(dom0: Dom0, report: Report) -> None:
    report.title("systemctl stop")
    watchers = dom0.text(WATCHERS)
    dom0.text(f"systemctl stop {UNIT}", START_SECONDS)
    report.check(shown(dom0, "Result") == "success", f"systemd says: {state_of(dom0)}")
    left = dom0.machine.console.run(WATCHERS).text
    report.check(left == watchers, f"xl still watches over the guest: {left or 'it does not'}")
    beats = len(dom0.beats())
    dom0.wait(lambda: len(dom0.beats()) > beats + 20, 60.0, "the heartbeat to go on")


def shown(dom0: Dom0, what: str) -> str:
    return dom0.text(f"systemctl show {UNIT} -P {what}").strip()


def state_of(dom0: Dom0) -> str:
    return ", ".join(shown(dom0, what) for what in ("ActiveState", "SubState", "StatusText"))
