"""Whole scenarios in no time: their errors, and what the agent's own policy makes of them."""

import subprocess
import sys
from hashlib import sha256
from uuid import UUID

import pytest

from agent.contract.codec import pack
from agent.contract.columns import Batch, Kind
from agent.contract.frames import PAGE_SHIFT
from agent.diagnosis.engines import SerdSettings
from agent.diagnosis.policy import Policy
from emulator import scenario
from emulator.config import EmulatorConfig
from emulator.course import STARTED_NS, course_of
from emulator.errors import EmulatorError
from emulator.scenario import Scenario

BOOT = UUID(int=7)
DAY_NS = 24 * 3600 * 10**9
LOADED = {name: scenario.load(name) for name in scenario.names()}
OF_HARDWARE = [name for name, s in LOADED.items() if s.memory_faults and not s.timeline]


def batches(found: Scenario, seed: int = 1) -> list[Batch]:
    course = course_of(found, EmulatorConfig(seed=seed))
    return list(course.batches("hv-1", BOOT))


def a_scenario(**fields: object) -> Scenario:
    return Scenario.model_validate({"title": "A scenario.", **fields})


@pytest.mark.parametrize("name", OF_HARDWARE)
def test_the_policy_condemns_as_many_pages_as_the_scenario_says(name: str) -> None:
    """With nothing taken out of use meanwhile, and at most a simulated year of it."""
    found = scenario.load(name)
    policy = Policy(SerdSettings(2, DAY_NS, 1_000_000), (512 << 30) >> PAGE_SHIFT)
    verdicts = [v for batch in batches(found) for v in policy.judge(batch).verdicts]
    assert len(verdicts) == found.expect.retired


def test_at_least_a_dozen_scenarios_are_about_errors() -> None:
    assert len(OF_HARDWARE) >= 12


def digest(seed: int) -> str:
    whole = b"".join(map(pack, batches(scenario.load("year-of-a-host"), seed)))
    return sha256(whole).hexdigest()


def test_the_same_seed_makes_the_same_bytes_in_another_process() -> None:
    program = "from tests.unit.emulator.test_course import digest; print(digest(3))"
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert other.stdout.decode().strip() == digest(3)


def test_another_seed_makes_another_course() -> None:
    assert digest(3) != digest(4)


def test_numbers_go_on_from_batch_to_batch() -> None:
    made = batches(scenario.load("dimm-dying"))
    numbers = [seq for batch in made for seq in batch.seq.tolist()]
    assert numbers == list(range(len(numbers)))


def test_a_fault_with_a_place_stays_in_it() -> None:
    fault = {"mode": "row", "errors": 50, "every": "1 s", "dimm": "CPU0_C3_D0", "rank": 1, "row": 9}
    (batch,) = batches(a_scenario(memory_faults=[fault]))
    where = {
        (batch.dimms[d], r, w) for d, r, w in zip(batch.dimm, batch.rank, batch.row, strict=True)
    }
    assert where == {("CPU0_C3_D0", 1, 9)}


def test_what_is_said_of_a_place_moves_nothing_else() -> None:
    fault = {"mode": "row", "errors": 5, "every": "1 s"}
    (free,) = batches(a_scenario(memory_faults=[fault]))
    (bound,) = batches(a_scenario(memory_faults=[{**fault, "rank": int(free.rank[0])}]))
    assert free.same_as(bound)


def test_the_uncorrected_error_comes_after_so_many_corrected_ones() -> None:
    fault = {"mode": "cell", "errors": 9, "every": "1 s", "uncorrected_after": 4}
    (batch,) = batches(a_scenario(memory_faults=[fault]))
    assert batch.kind.tolist() == [Kind.CE] * 4 + [Kind.UE] + [Kind.CE] * 5


def test_a_clock_that_is_put_back_shows_times_again() -> None:
    fault = {"mode": "cell", "errors": 10, "every": "1 min"}
    step = {"at": "5 min", "seconds": -3600.0}
    (batch,) = batches(a_scenario(memory_faults=[fault], clock_steps=[step]))
    since = (batch.time_ns - STARTED_NS) / 1e9
    assert (since[0] >= 0, since[-1] < 0) == (True, True)


def test_a_lump_counts_what_was_polled() -> None:
    fault = {"mode": "cell", "errors": 100, "every": "10 ms"}
    made = batches(a_scenario(memory_faults=[fault], reporting={"how": "poll", "poll": "1 h"}))
    assert [int(batch.errors.sum()) for batch in made] == [100]


def test_firmware_tells_no_count() -> None:
    fault = {"mode": "cell", "errors": 100, "every": "10 ms"}
    reporting = {"how": "firmware-first", "threshold": 20}
    (batch,) = batches(a_scenario(memory_faults=[fault], reporting=reporting))
    assert batch.count.tolist() == [1] * 5


def test_the_inventory_names_the_dimms_that_the_ereports_name() -> None:
    course = course_of(scenario.load("row-failing"), EmulatorConfig())
    inventory = course.inventory("hv-1", BOOT)
    assert {batch.dimms for batch in course.batches("hv-1", BOOT)} == {inventory.dimms}


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"mode": "row", "row": 1 << 30}, "memory_faults.row: must be below"),
        ({"mode": "row", "dimm": "A1"}, "memory_faults.dimm: no 'A1'; there are: CPU0_C0_D0, "),
    ],
)
def test_a_place_that_the_memory_does_not_have_is_refused(
    fault: dict[str, object], says: str
) -> None:
    with pytest.raises(EmulatorError, match=says):
        batches(a_scenario(memory_faults=[fault]))
