"""Scenarios for `pagewarden feed`: the emulator's end of `agent.contract.sources`."""

from collections.abc import Iterator
from dataclasses import dataclass

from agent.contract.columns import Batch
from agent.contract.ereport import Inventory
from agent.contract.errors import AgentError
from agent.contract.sources import Wanted
from emulator import scenario
from emulator.config import EmulatorConfig
from emulator.course import Course, course_of
from emulator.errors import EmulatorError


@dataclass(frozen=True, slots=True)
class Fed:
    """The course of a scenario, as whoever wanted it signs it."""

    course: Course
    wanted: Wanted

    @property
    def inventory(self) -> Inventory:
        return self.course.inventory(self.wanted.host, self.wanted.boot_id)

    def batches(self, at_most: int) -> Iterator[Batch]:
        return self.course.batches(self.wanted.host, self.wanted.boot_id, at_most)


def provide(wanted: Wanted) -> Fed:
    """The scenario on a host of the documented size.

    Raises:
        AgentError: if there is none of that name, or nothing is wrong with its memory.
    """
    try:
        found = scenario.load(wanted.scenario)
        course = course_of(found, EmulatorConfig(seed=wanted.seed))
        course.check()
    except EmulatorError as error:
        raise AgentError(f"--scenario: {str(error).removeprefix('scenario: ')}") from None
    return Fed(course, wanted)
