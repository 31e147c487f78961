"""A handful of lives in every test run; `make sim LIVES=1000` has them by the thousand."""

import os
import subprocess
import sys

import pytest

from emulator.scenario import On
from tests.simulation import systematic
from tests.simulation.__main__ import main, regressions
from tests.simulation.life import live
from tests.simulation.plan import plan_of
from tests.simulation.plants import planted

LIVES = 20
FIRST = int(os.environ.get("PAGEWARDEN_FIRST_SEED", "0"))


@pytest.mark.parametrize("seed", range(FIRST, FIRST + LIVES))
def test_a_life_goes_well(seed: int) -> None:
    outcome = live(plan_of(seed))
    assert not outcome.found, f"make sim SEED={seed}"


@pytest.mark.parametrize("seed", regressions())
def test_what_was_found_once_is_mended(seed: int) -> None:
    assert not live(plan_of(seed)).found, f"make sim SEED={seed}"


@pytest.mark.parametrize("story", systematic.STORIES, ids="-".join)
def test_whatever_a_power_cut_leaves_is_made_good(story: tuple[On, ...]) -> None:
    cuts = list(systematic.every_cut(story, step=11))
    assert len(cuts) > 5
    assert not {cut: found for cut in cuts if (found := systematic.lived(cut).found)}


@pytest.mark.parametrize(
    "plant", ["resumes-by-the-fast-path", "forgets-to-attach-the-device", "ignores-the-cap"]
)
def test_a_planted_bug_is_found_before_long(plant: str) -> None:
    with planted(plant):
        assert any(live(plan_of(seed)).found for seed in range(20))


def _told(seed: int, hash_seed: str) -> str:
    """A life as another process tells it, in which sets of strings are in another order."""
    command = (sys.executable, "-m", "tests.simulation", "--seed", str(seed))
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False
    ).stdout


@pytest.mark.parametrize("seed", [3, 11])
def test_the_same_seed_is_the_same_life_to_the_line(seed: int) -> None:
    first = _told(seed, "1")
    assert first.count("\n") > 50
    assert first == _told(seed, "2")


def test_a_run_says_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "1"]) == 0
    assert "1 lives of" in capsys.readouterr().out
