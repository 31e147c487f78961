"""A living host whose banks are read in different ways: what leaves it, and what it says of it."""

from uuid import UUID

import numpy as np
import pytest

from agent.contract.columns import Batch, Kind
from emulator.config import EmulatorConfig
from emulator.plan import layout_of
from emulator.scenario import Scenario
from emulator.world import World

STARTED_NS = 1_700_000_000_000_000_000
CELL = {"mode": "cell", "at": "1 s", "errors": 200, "every": "10 ms"}


def a_world(config: dict[str, object] | None = None, **fields: object) -> World:
    host = {"memory": "64 MiB", "xen_heap": "2 MiB", "dom0": "4 MiB", **(config or {})}
    configured = EmulatorConfig.model_validate({"host": host, "guests": []})
    scenario = Scenario.model_validate({"title": "A host.", **fields})
    layout = layout_of(configured, scenario)
    return World(configured, scenario, layout, UUID(int=1), STARTED_NS)


def lived(world: World, seconds: float = 60, step: float = 0.05) -> list[Batch]:
    found = [world.step(at * step) for at in range(round(seconds / step))]
    return [batch for batch in found if batch is not None]


def counts(batches: list[Batch]) -> list[int]:
    return [int(count) for batch in batches for count in batch.count]


def test_errors_that_are_polled_come_as_one_record_a_poll() -> None:
    made = lived(a_world(memory_faults=[CELL], reporting={"how": "poll", "poll": "10 s"}))
    assert counts(made) == [200]


def test_a_cmci_comes_when_its_threshold_is_reached() -> None:
    slow = {**CELL, "errors": 20, "every": "500 ms"}
    made = lived(a_world(memory_faults=[slow], reporting={"how": "cmci", "threshold": 5}))
    assert counts(made) == [5] * 4


def test_a_storm_of_cmcis_makes_lumps() -> None:
    made = lived(a_world(memory_faults=[CELL], reporting={"how": "cmci"}))
    assert counts(made)[:15] == [1] * 15
    assert (sum(counts(made)), len(counts(made)) < 25) == (200, True)


def test_the_host_says_that_it_made_what_it_reported() -> None:
    """What an agent could not know of is not held against it."""
    world = a_world(memory_faults=[CELL], reporting={"how": "firmware-first", "threshold": 8})
    assert counts(lived(world)) == [1] * 25
    assert (world.ereports, world.errors) == (25, 25)


def test_a_host_is_not_done_before_its_last_poll() -> None:
    world = a_world(memory_faults=[CELL], reporting={"how": "poll", "poll": "10 s"})
    lived(world, seconds=9)
    assert not world.is_done
    lived(world, seconds=11)
    assert world.is_done


def test_the_configured_way_is_that_of_a_scenario_that_names_none() -> None:
    made = lived(a_world({"reporting": "poll"}, memory_faults=[CELL]))
    assert counts(made) == [200]


def test_firmware_that_lies_tells_no_address_and_any_count() -> None:
    lies = {"without_address": 1.0, "wrong_counts": True}
    made = lived(a_world(memory_faults=[CELL], reporting=lies))
    assert not any(batch.located.any() for batch in made)
    assert len(set(counts(made))) > 20


def test_an_uncorrected_error_is_told_at_once_and_truly() -> None:
    fault = {**CELL, "errors": 3, "uncorrected_after": 2}
    reporting = {"how": "poll", "poll": "10 s", "without_address": 1.0}
    made = lived(a_world(memory_faults=[fault], reporting=reporting), seconds=2)
    (batch,) = made
    assert (batch.kind.tolist(), batch.located.tolist()) == ([Kind.UE], [True])


@pytest.mark.parametrize("how", ["each", "cmci", "poll"])
def test_no_error_is_lost_on_the_way(how: str) -> None:
    made = lived(a_world(memory_faults=[CELL], reporting={"how": how}))
    assert sum(counts(made)) == 200


def test_a_clock_that_steps_shows_in_the_ereports() -> None:
    steps = [{"at": "2 s", "seconds": -3600.0}]
    made = lived(a_world(memory_faults=[CELL], clock_steps=steps))
    times = np.concatenate([batch.time_ns for batch in made]) - STARTED_NS
    assert (int((times < 0).sum()) > 10, int((times > 0).sum()) > 10) == (True, True)
