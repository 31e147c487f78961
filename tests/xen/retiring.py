"""The second chapter: errors in the machine's banks, and the agent that retires their pages.

The way of an error is the real one: bank, Xen's poller, dom0's /dev/mcelog, bridge, broker, agent;
and back: page-offline call and `xl`. Whether it went well is judged by what Xen says to the lab's
own query, and by the guest: its heartbeat, and its memory, which checks itself.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from tests.xen import banks
from tests.xen.conforming import start_guest
from tests.xen.dom0 import (
    AGENT,
    AGENT_LOG,
    BEATS,
    BRIDGE,
    BRIDGE_LOG,
    CONFIG,
    CONSOLE,
    INSIDE,
    Dom0,
)
from tests.xen.machine import Machine
from tests.xen.report import Report
from tests.xen.trouble import LabError

ERRORS = 2  # in a page, for a verdict
AT_REST = ("retired", "parked", "unretirable")
IMAGE = re.compile(r"New Xen image base address: (0x[0-9a-f]+)")
TEXT_FRAMES = 0x200  # from the base to what Xen says no to: 2 MiB
SETTLED_SECONDS = 400.0
START_SECONDS = 240.0  # of a program, on a machine without KVM that others use too


@dataclass(frozen=True, slots=True)
class Expectation:
    """Of a page: where its case ends, and the word that Xen answers to a query then."""

    kind: str
    state: str
    word: int

    def as_kind(self, kind: str) -> "Expectation":
        """The same of a page that is called otherwise."""
        return replace(self, kind=kind)


FREE = Expectation("nobody's page", "retired", 0x2)
GUESTS = Expectation("the guest's page", "retired", 0x2)
DOM0S = Expectation("dom0's page", "parked", 0x8)
XENS = Expectation("a page of Xen's image", "unretirable", 0x0)


def chapter(machine: Machine, report: Report) -> None:
    dom0 = Dom0(machine)
    domid = prepare(dom0, report)
    pages = dom0.told("picking", "PAGES", domid, 2)
    one, two = pages["guest"]
    errors_travel(dom0, report, pages["free"][0])
    expected = {
        pages["free"][0]: FREE,
        pages["dom0"][0]: DOM0S,
        image_frame(machine): XENS,
        one: GUESTS,
        two: GUESTS,
    }
    each_kind_ends_as_it_must(dom0, report, expected)
    restored = dom0.text("xl domid beats").strip()
    (mfn,) = dom0.told("picking", "PAGES", restored, 1)["guest"]
    killed_in_the_middle(dom0, report, mfn)


def prepare(dom0: Dom0, report: Report) -> int:
    report.title("guest, broker, agent, bridge")
    dom0.text("mkdir -p /var/lib/pagewarden /run/pagewarden")
    dom0.start("mosquitto", f"mosquitto -c {INSIDE}/mosquitto.conf")
    dom0.start("agent", AGENT)
    dom0.wait(lambda: bool(dom0.lines("broker_connected", AGENT_LOG)), START_SECONDS, "the agent")
    doctor(dom0, report)
    dom0.start("bridge", BRIDGE)
    dom0.wait(lambda: bool(dom0.lines("broker_connected", BRIDGE_LOG)), START_SECONDS, "the bridge")
    domid = living_guest(dom0)
    report.tell(f"domain {domid}: {last(dom0.lines('MEMORY', CONSOLE))}")
    report.tell(
        f"without any stop, the longest silence of its heartbeat: {silence(dom0, 0.0):.2f} s"
    )
    return domid


def living_guest(dom0: Dom0) -> int:
    """The guest, once its memory checks itself and its heart beats."""
    domid = start_guest(dom0.machine)
    dom0.wait(lambda: bool(dom0.lines("MEMORY 1 ", CONSOLE)), START_SECONDS, "the guest's memory")
    dom0.start("listening", f"python3 -m tests.xen.inside.listening {BEATS}")
    dom0.wait(lambda: len(dom0.beats()) > 50, START_SECONDS, "the guest's heartbeat")
    return domid


def doctor(dom0: Dom0, report: Report) -> None:
    """What the agent's own check says of this host: told, for what it refuses here is so."""
    asked = f"python3 -m agent doctor --json --config {CONFIG}"
    told = parsed(last(dom0.machine.console.run(asked, START_SECONDS).text.splitlines()))
    if "lines" not in told:
        raise LabError("the agent's doctor gives no answer")
    for line in told["lines"]:
        report.tell(f"doctor: {line['check']}: {line['level']}, {line['what']}")


def errors_travel(dom0: Dom0, report: Report, mfn: int) -> None:
    report.title("an error from a bank to the agent's door")
    for line in banks.mend_masks(dom0.machine):
        report.tell(f"mask of banks to poll, {line}")
    banks.put(dom0.machine, 0, banks.BANKS[0], mfn)
    taken = dom0.wait(lambda: records(dom0) > 0, 60.0, "the error to come out of /dev/mcelog")
    report.check(records(dom0) == 1, f"the bridge read it out of /dev/mcelog after {taken:.1f} s")


def each_kind_ends_as_it_must(dom0: Dom0, report: Report, expected: dict[int, Expectation]) -> None:
    report.title("two errors each in a page of every kind")
    begun = dom0.clock()
    for _ in range(ERRORS):
        damage(dom0, expected)
    judge_pages(dom0, report, expected)
    lost = [mfn for mfn in expected if expected[mfn] is GUESTS]
    judge_guest(dom0, report, lost)
    report.tell(f"rung save_restore: the heartbeat was silent for {silence(dom0, begun):.2f} s")


def killed_in_the_middle(dom0: Dom0, report: Report, mfn: int) -> None:
    report.title("kill -9 while the guest is being saved")
    begun = dom0.clock()
    for _ in range(ERRORS):
        damage(dom0, [mfn])
    dom0.wait(lambda: states(dom0).get(mfn) == "saving", 120.0, "the guest to be saved")
    dom0.kill("agent")
    report.tell(f"killed; the domains then: {domains(dom0)}")
    dom0.start("agent", AGENT)
    judge_pages(dom0, report, {mfn: GUESTS.as_kind("after its next start")})
    judge_guest(dom0, report, [mfn])
    report.tell(f"the same, agent killed and started again: {silence(dom0, begun):.2f} s")


def judge_pages(dom0: Dom0, report: Report, expected: dict[int, Expectation]) -> None:
    """Their cases come to rest where they must, and Xen's own word says the same."""
    moved = wait_for_rest(dom0, expected)
    words = dom0.words(expected)
    for mfn, wanted in expected.items():
        state, word = moved[mfn], words[mfn]
        holds = state == wanted.state and word.words == (wanted.word,)
        report.check(holds, f"{wanted.kind} {mfn:#x} is {state}; Xen's word: {word}")


def judge_guest(dom0: Dom0, report: Report, lost: Sequence[int]) -> None:
    """It runs, has none of the lost pages, and its memory is as it was, judged after the stop."""
    rounds = len(dom0.lines("MEMORY", CONSOLE))

    def checked() -> bool:
        return len(dom0.lines("MEMORY", CONSOLE)) > rounds + 1

    dom0.wait(checked, 120.0, "the guest to check its memory")
    damaged = dom0.lines("damaged", CONSOLE)
    report.check(not damaged, f"the guest's memory: {last(dom0.lines('MEMORY', CONSOLE))}")
    domid = dom0.text("xl domid beats").strip()
    held = dom0.told("held", "HELD", domid, *lost)
    report.check(not held, f"domain {domid} has none of the pages that it lost")
    for pause in dom0.lines("guest_paused", AGENT_LOG):
        report.tell(f"the agent says: {pause}")


def damage(dom0: Dom0, mfns: Iterable[int]) -> None:
    """One error in each, in banks of their own at the same time, and wait until all were read."""
    before = records(dom0)
    places = [(cpu, bank) for bank in banks.BANKS for cpu in (0, 1)]
    damaged = [*mfns]
    for mfn, (cpu, bank) in zip(damaged, places, strict=False):
        banks.put(dom0.machine, cpu, bank, mfn)
    wanted = before + len(damaged)
    dom0.wait(lambda: records(dom0) >= wanted, 90.0, f"{len(damaged)} errors to be read")


def wait_for_rest(dom0: Dom0, mfns: Iterable[int]) -> dict[int, str]:
    """Where their cases are when all are at rest."""
    asked = [*mfns]

    def rested() -> bool:
        now = states(dom0)
        return all(now.get(mfn) in AT_REST for mfn in asked)

    dom0.wait(rested, SETTLED_SECONDS, "the cases to come to rest")
    return states(dom0)


def states(dom0: Dom0) -> dict[int, str]:
    """Where each page's case is, by the agent's log."""
    found: dict[int, str] = {}
    for line in dom0.lines('"case_', AGENT_LOG):
        told = parsed(line)
        if "mfn" in told and ("to" in told or "verdict" in told):
            found[int(told["mfn"], 16)] = told.get("to", told.get("state", "open"))
    return found


def parsed(line: str) -> dict[str, Any]:
    """A line of a log; what was cut off by a kill says nothing."""
    try:
        told: dict[str, Any] = json.loads(line)
    except ValueError:
        return {}
    return told


def records(dom0: Dom0) -> int:
    """How many ereports the bridge has read, of all that it can."""
    text = dom0.text("/bin/busybox wget -q -O - http://127.0.0.1:9465/metrics")
    found = re.search(r"^pagewarden_bridge_ereports_total(?:{[^}]*})? (\S+)$", text, re.MULTILINE)
    if found is None:
        raise LabError("the bridge's metrics do not say how many ereports it has read")
    return int(float(found[1]))


def silence(dom0: Dom0, since: float, path: str = BEATS) -> float:
    """The longest time between two beats of the guest, on dom0's clock."""
    beats = [beat.arrived for beat in dom0.beats(path) if beat.arrived >= since]
    if len(beats) < 2:
        raise LabError("the guest's heartbeat was not heard")
    return max(after - before for before, after in pairwise(beats))


def image_frame(machine: Machine) -> int:
    """A frame of Xen's own text: where it moved itself, it says when it boots."""
    found = IMAGE.search(machine.said())
    if found is None:
        raise LabError("Xen did not say where its image is")
    return (int(found[1], 16) >> 12) + TEXT_FRAMES


def domains(dom0: Dom0) -> str:
    rows = [line.split() for line in dom0.text("xl list").splitlines()[1:]]
    return ", ".join(f"{row[0]} (domain {row[1]}, {row[4]})" for row in rows)


def last(lines: Sequence[str]) -> str:
    return lines[-1].strip() if lines else "nothing yet"
