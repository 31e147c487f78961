"""Every scenario does what its sentence says, played with real processes as an operator does."""

import asyncio
import json
import sys
from collections.abc import Mapping
from functools import cache

import pytest

from emulator import scenario as scenarios
from emulator.demo.stage import PAGEWARDEN

# Those of simulated days are played by tests/unit/emulator/test_course.py.
LIVE = [name for name in scenarios.names() if scenarios.load(name).is_live]
AT_ONCE = 4
SECONDS_MAX = 90

Summary = Mapping[str, object]


async def _played(name: str, turn: asyncio.Semaphore) -> tuple[str, int | None, Summary]:
    """How the demo ended, and what it said last."""
    options = ("--scenario", name, "--seconds", str(SECONDS_MAX), "--json")
    async with turn:
        demo = await asyncio.create_subprocess_exec(
            *PAGEWARDEN,
            "demo",
            *options,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complained = await demo.communicate()
    sys.stderr.write(f"{name}: {complained.decode()}\n")
    summary: Summary = json.loads(said.splitlines()[-1])
    return name, demo.returncode, summary


async def _all_played() -> dict[str, tuple[int | None, Summary]]:
    turn = asyncio.Semaphore(AT_ONCE)
    ends = await asyncio.gather(*(_played(name, turn) for name in LIVE))
    return {name: (code, summary) for name, code, summary in ends}


@cache
def all_played() -> dict[str, tuple[int | None, Summary]]:
    """Some at once: most of their time they wait."""
    return asyncio.run(_all_played())


@pytest.mark.parametrize("name", LIVE)
def test_a_scenario_comes_to_what_it_says(name: str) -> None:
    expect = scenarios.load(name).expect
    code, summary = all_played()[name]
    assert summary["cases"] == {
        "retired": expect.retired,
        "parked": expect.parked,
        "unretirable": expect.unretirable,
        "open": 0,
    }
    assert (code, summary["truth_agrees"]) == ((1, False) if expect.corruptions else (0, True))
