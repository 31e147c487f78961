"""One short story for each kind of page, and the power goes off at every line of it.

A random life hits a given line once in a while. Here none is left out: for a page of each kind the
agent is cut off at its first await, its second, and so on until the case is at rest, each time in a
life of its own; then it is started again and must make good whatever it left.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from emulator.scenario import On
from tests.simulation.life import Outcome, live
from tests.simulation.plan import Episode, GoesBad, Plan, told_plan

STORY_SECONDS = 12.0
STORIES = (
    On.FREE,
    On.HVM,
    On.PV,
    On.PAGE_TABLE,
    On.MAPPED,
    On.DEVICE,
    On.SHADOW,
    On.HVM_STATE,
    On.DOM0,
)


@dataclass(frozen=True, slots=True)
class Cut:
    """The story of a page of this kind, with the power off at that line; 0: it stays on."""

    on: On
    line: int

    def __str__(self) -> str:
        return f"{self.on}, cut at line {self.line}"


def lived(cut: Cut, *, traced: bool = False) -> Outcome:
    return live(_plan(cut.on), traced=traced, off_at=cut.line or None)


def every_cut(on: On, step: int = 1) -> Iterator[Cut]:
    """All cuts of that story; with a `step`, some."""
    lines = lived(Cut(on, 0)).lines_to_rest
    return (Cut(on, line) for line in range(1, lines + 1, step))


def _plan(on: On) -> Plan:
    errors = GoesBad(at=1.0, on=on, errors=2, errors_per_second=4.0)
    return told_plan(Episode(0.0, STORY_SECONDS, is_troubled=False, events=(errors,)))
