"""The first chapter: every case of the table, put to the real Xen and to the emulated one.

On a boot of its own, because the cases give back pages that were offlined while they were free,
and after that this release may hand out a page twice.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from tests.xen import emulated
from tests.xen.comparing import Given, compared
from tests.xen.machine import Machine
from tests.xen.report import Report
from tests.xen.table import CASES, Answer
from tests.xen.trouble import LabError

HOST = "real"
GUEST = "tests/xen/inside/guest.cfg"


def chapter(machine: Machine, report: Report) -> None:
    report.title(
        "the page-offline call, case by case: errno and raw words, each different one once"
    )
    start_guest(machine)
    for host, given in ((HOST, asked(machine)), (emulated.HOST, emulated.asked_all(CASES))):
        for finding in compared(host, CASES, given):
            report.check(finding.agrees, f"{host}: {finding.line}")


def start_guest(machine: Machine) -> int:
    """The first guest of this boot, and its number."""
    done = machine.console.run(f"xl create {GUEST}", 120.0)
    number = machine.console.run("xl domid beats")
    if done.code or number.code:
        raise LabError(f"the guest cannot be started: {done.text} {number.text}")
    return int(number.text)


def asked(machine: Machine) -> Given:
    done = machine.console.run("python3 -m tests.xen.inside.words 1", 240.0)
    lines = [line for line in done.text.splitlines() if line.startswith("WORDS ")]
    if done.code or not lines:
        raise LabError(f"dom0's program ended with {done.code}: {done.text[-800:]}")
    return answers_of([json.loads(line.removeprefix("WORDS ")) for line in lines])


def answers_of(told: Iterable[Mapping[str, Any]]) -> Given:
    """What a program of dom0's told of each case."""
    return {each["title"]: _answers(each["answers"]) for each in told}


def _answers(raw: list[tuple[str, list[int]]] | None) -> tuple[Answer, ...] | None:
    if raw is None:
        return None
    return tuple(Answer(errno, tuple(words)) for errno, words in raw)
