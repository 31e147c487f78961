"""Short stories, one for each kind of page, and the power goes off at every line of each.

A random life hits a given line once in a while. Here none is left out: the agent is cut off at its
first await, its second, and so on until the cases are at rest, each time in a life of its own; then
it is started again and must make good whatever it left. In the last stories two pages of one guest
share a stop.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from emulator.scenario import On
from tests.simulation.life import Outcome, live
from tests.simulation.plan import Episode, GoesBad, Plan, told_plan

STORY_SECONDS = 12.0

Story = tuple[On, ...]

STORIES: tuple[Story, ...] = (
    (On.FREE,),
    (On.HVM,),
    (On.PV,),
    (On.PAGE_TABLE,),
    (On.MAPPED,),
    (On.DEVICE,),
    (On.SHADOW,),
    (On.HVM_STATE,),
    (On.DOM0,),
    (On.PV, On.PAGE_TABLE),
    (On.DEVICE, On.DEVICE),
)


@dataclass(frozen=True, slots=True)
class Cut:
    """The story of these pages, with the power off at that line; 0: it stays on."""

    story: Story
    line: int

    def __str__(self) -> str:
        return f"{' and '.join(self.story)}, cut at line {self.line}"


def lived(cut: Cut, *, traced: bool = False) -> Outcome:
    return live(_plan(cut), traced=traced, off_at=cut.line or None)


def every_cut(story: Story, step: int = 1) -> Iterator[Cut]:
    """All cuts of that story; with a `step`, some."""
    lines = lived(Cut(story, 0)).lines_to_rest
    return (Cut(story, line) for line in range(1, lines + 1, step))


def _plan(cut: Cut) -> Plan:
    bad = tuple(GoesBad(at=1.0, on=on, errors=2, errors_per_second=4.0) for on in cut.story)
    episode = Episode(0.0, STORY_SECONDS, is_troubled=False, events=bad)
    return told_plan(str(cut), episode)
